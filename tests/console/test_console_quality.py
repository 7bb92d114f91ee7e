"""The page Quality, in a browser: signals, what has drifted, and what people say."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

import pytest
from console_browser import Browsing
from console_house import PATIENCE_S, House
from console_records import HOSTILE, one
from playwright.sync_api import Browser, expect

from tidegate.console.pages.quality import Window, window_of
from tidegate.console.spans import Span
from tidegate.ledger.feedback import Feedback, encode
from tidegate.money import NANO
from tidegate.telemetry.record import Record

HOUR_NS = 3_600 * NANO
JUDGED = 30
TURNED = "careful\u202e" + HOSTILE
"""Text that tries to be markup, and to be read from the other side."""


def answers(count: int, now_ns: int, hours: tuple[float, float], version: str) -> Iterator[Record]:
    """Of `assistant`, between so many hours ago; the second version is cut and malformed often."""
    draw, worse = random.Random(version), version == "2"
    said = "Please look at the second page of the handbook and tell me what you find there."
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]}
    for number in range(count):
        ago_h = hours[0] + (hours[1] - hours[0]) * number / count
        bad = worse and draw.random() < 0.4
        yield one(
            f"ans-{version}-{number:04d}", now_ns - round(ago_h * HOUR_NS), draw,
            alias="assistant", target="openai/gpt-5-mini", model="gpt-5-mini", provider="openai",
            outcome="ok", status=200, output_tokens=150, cost_nanousd=300_000, ttft_ms=300.0,
            finish_reason="length" if bad else "stop", form="repaired" if bad else "good",
            tags={"prompt_version": version}, response_body=json.dumps(body).encode(),
            key="search-web", team="search",
        )  # fmt: skip


def judged(request_id: str, at_ns: int, text: str | None, rating: int) -> bytes:
    return encode(
        Feedback(request_id, None, at_ns, "search-web", "search", None, None, rating, text, {})
    )


@pytest.fixture(scope="module")
def told(busy_house: House) -> House:
    now_ns = time.time_ns()
    busy_house.add(answers(900, now_ns, (26, 190), "1"))
    busy_house.add(answers(400, now_ns, (0.1, 23), "2"))
    busy_house.spool(
        judged(f"ans-2-{number:04d}", now_ns - number * HOUR_NS // 4, TURNED, number % 5 + 1)
        for number in range(JUDGED)
    )
    until_s = time.monotonic() + PATIENCE_S
    while len(busy_house.api("GET", "/feedback")["items"]) < JUDGED:
        assert time.monotonic() < until_s, "the feedback is not loaded"
    return busy_house


@pytest.fixture
def browsing(browser: Browser, told: House) -> Iterator[Browsing]:
    window = Browsing(browser, told)
    yield window
    window.close()


def test_time_is_whole_hours() -> None:
    noon_ns = 500_004 * HOUR_NS
    assert window_of(Span("24h", 0, noon_ns)) == Window(noon_ns, 24, 168)
    assert window_of(Span("15m", 0, noon_ns)).hours == 1
    assert window_of(Span(None, noon_ns - HOUR_NS, noon_ns)) == Window(noon_ns - 1, 1, 7)
    assert window_of(Span(None, noon_ns - HOUR_NS // 2, noon_ns + HOUR_NS // 2)).hours == 2
    assert window_of(Span(None, 0, noon_ns)).hours == window_of(Span(None, 0, noon_ns)).before_h


def test_drift_is_told_with_its_test_and_figures(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/quality?alias=assistant")
    drift = page.get_by_role("region", name="Drift", exact=True)
    form = drift.locator("tr", has_text="Format compliance").first
    expect(form).to_contain_text("assistant")
    expect(form).to_contain_text("two proportions, z or Fisher's exact test")
    expect(form).to_contain_text("< 0.0001")
    row = page.get_by_role("region", name="Signals by alias").locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator("[data-name='format compliance']")).to_contain_text("drifted")


def test_one_looks_at_an_alias_and_at_its_versions(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/quality")
    table = page.get_by_role("region", name="Signals by alias")
    expect(table.locator("tbody tr")).to_have_count(3)
    table.get_by_role("link", name="assistant").click()
    page.wait_for_url("**alias=assistant**")
    expect(table.locator("tbody tr")).to_have_count(1)
    page.get_by_label("By", exact=True).get_by_role("link", name="prompt version").click()
    page.wait_for_url("**by=version**")
    table = page.get_by_role("region", name="Signals by version")
    expect(table.locator("tbody tr")).to_have_count(2)
    table.get_by_role("link", name="2", exact=True).click()
    page.wait_for_url("**version=2**")
    expect(table.locator("tbody tr [data-name=answers]")).to_contain_text("400")
    length = page.locator("figure.plot", has_text="Length, tokens")
    expect(length.locator(".legend li")).to_have_text(["p50", "p90"])
    page.get_by_role("link", name="Without version").click()
    expect(table.locator("tbody tr")).to_have_count(2)


def test_charts_are_on_one_time_and_have_tables(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/quality?alias=assistant&version=2")
    titles = page.locator("figure.plot figcaption strong").all_inner_texts()
    assert {"Format compliance", "Refusals", "Length, tokens", "Liked, of judged"} <= {*titles}
    assert titles[-2:] == ["Latency: first token, or the whole", "Cost"]
    rows = page.locator("figure.plot").evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('tbody tr')]"
        ".map(row => row.cells[0].textContent).join())"
    )
    assert len(rows) == len(titles)
    assert len(set(rows)) == 1
    assert rows[0].count(",") == 23
    refusals = page.locator("figure.plot", has_text="Refusals").first
    expect(refusals.locator("svg.chart")).to_have_count(1)


def test_feedback_is_text_whatever_it_says(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/quality?alias=assistant")
    rows = page.get_by_role("region", name="Latest feedback").locator("tbody tr")
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text("careful\\u202e" + HOSTILE)
    assert page.locator("main img").count() == 0
    expect(rows.first).to_contain_text("rated 1")
    rows.first.get_by_role("link", name="ans-2-0000").click()
    page.wait_for_url("**/console/requests/ans-2-0000")
    page = browsing.open("/quality?alias=fast")
    expect(page.get_by_text("Nobody said anything in this time")).to_be_visible()


def test_names_in_the_address_are_text(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/quality?alias=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%00")
    expect(page.get_by_text("No answers in this time")).to_be_visible()
    assert page.locator("main img").count() == 0


def test_who_may_not_read_feedback_sees_none(browsing: Browsing, told: House) -> None:
    page = browsing.sign_in(told.token_of("service"), "/quality?alias=assistant")
    expect(page.get_by_role("region", name="Drift", exact=True)).to_be_visible()
    expect(page.get_by_text("Latest feedback")).to_have_count(0)
    assert "careful" not in page.content()


def test_quality_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look("/quality", "quality")
    browsing.picture("/quality", "quality")
    browsing.look("/quality?alias=assistant&by=version&range=7d", "quality-versions")
