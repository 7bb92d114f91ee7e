"""The page Requests, in a browser."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator

import pytest
from console_browser import Browsing
from console_house import House
from console_records import HOSTILE, one
from playwright.sync_api import Page, expect

from tidegate.telemetry.record import Record

SECOND_NS = 10**9
TALKED, LONG = "req_7a1c00000000000000000001", "req_7a1c00000000000000000002"
BIDI = "user-\u202egnp.exe"


def searched(now_ns: int) -> Iterator[Record]:
    """One that failed in a way of its own, one whose names are hostile, some of a small team."""
    draw = random.Random(3)
    yield one(
        "req_0badc0de0000000000000001", now_ns - 3_600 * SECOND_NS, draw,
        outcome="upstream_timeout", status=504, error="no target answered in time",
        team="billing", key="billing-batch", user="zoe", feature="dunning", alias="careful",
        tags={"version": "7"}, duration_ms=31_000.0, cost_nanousd=None,
    )  # fmt: skip
    yield one(
        "req_0badc0de0000000000000002", now_ns - 3_500 * SECOND_NS, draw,
        user=BIDI, team=HOSTILE, feature="w" * 250, alias="careful", outcome="ok", status=200,
    )  # fmt: skip
    yield from talked(now_ns - 3_000 * SECOND_NS, draw)
    for number in range(120):
        yield one(
            f"req_5ea{number:021x}", now_ns - (7_200 - number) * SECOND_NS, draw,
            team="small", key="small-app", outcome="ok", status=200,
        )  # fmt: skip


def talked(at_ns: int, draw: random.Random) -> Iterator[Record]:
    """Two of which is kept what was said: hostile and masked, and long."""
    call = {"id": "call_1", "type": "function"}
    call["function"] = {"name": "weather_of", "arguments": '{"city": "Kiel"}'}  # type: ignore[assignment]
    said = [
        {"role": "system", "content": HOSTILE + "<script>document.title='taken'</script>"},
        {"role": "user", "content": "I am [EMAIL], pay \u202e00,1$ with [CARD]"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
        {"role": "user", "content": "w" * 5_000},
    ]
    answer = {"role": "assistant", "content": "It is [not] a mark."}
    common = {"alias": "careful", "outcome": "ok", "status": 200, "team": "talkers"}
    yield one(
        TALKED, at_ns, draw, **common, bodies="redacted", findings={"email": 1, "card": 1},
        request_body=json.dumps({"model": "careful", "messages": said}).encode(),
        response_body=json.dumps(
            {"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
        ).encode(),
    )  # fmt: skip
    long = [{"role": "user", "content": f"{number} " * 300} for number in range(1_000)]
    yield one(
        LONG, at_ns + 1, draw, **common, bodies="full", cut=["response"],
        request_body=json.dumps({"model": "careful", "messages": long}).encode(),
        response_body=b'{"choices": [{"message": {"content": "' + b"a<b>" * 50_000,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def told(busy_house: House) -> None:
    busy_house.add(searched(time.time_ns()))


def ids(page: Page) -> list[str]:
    """Of the requests that are shown."""
    links = page.locator("table.requests tbody a")
    return [link.get_attribute("title") or "" for link in links.all()]


def test_failing_request_is_found_by_filters(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests")
    page.get_by_label("Outcome").select_option("errors")
    page.get_by_label("Team").fill("billing")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("table.requests tbody tr")).to_have_count(1)
    assert ids(page) == ["req_0badc0de0000000000000001"]
    assert "outcome=errors" in page.url
    assert "team=billing" in page.url
    assert "alias=" not in page.url
    expect(page.get_by_text("no target answered in time")).to_be_visible()
    page.get_by_role("link", name="Without team").click()
    assert "team=" not in page.url


@pytest.mark.parametrize(
    "query",
    [
        "id=req_0badc0de0000000000000001", "user=zoe", "feature=dunning&alias=careful",
        "tag=version%3D7", "seconds=30.5", "key=billing-batch&outcome=upstream_timeout",
    ],
)  # fmt: skip
def test_filters_find_the_one_meant(browsing: Browsing, query: str) -> None:
    page = browsing.sign_in(path=f"/requests?{query}")
    assert ids(page) == ["req_0badc0de0000000000000001"]


def test_one_goes_to_older_pages_and_back(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests?team=small")
    first = ids(page)
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**after=**")
    second = ids(page)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    third = ids(page)
    shown = first + second + third
    assert len(shown) == len(set(shown)) == 120
    assert shown == sorted(shown, reverse=True)
    page.get_by_role("link", name="Newer").click()
    page.wait_for_url("**before=**")
    assert ids(page) == second
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_role("link", name="Newer")).to_have_count(0)
    assert ids(page) == first
    page.go_back()
    assert ids(page) == second


def test_filters_work_from_the_keyboard(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests")
    page.get_by_label("User").focus()
    page.keyboard.type("zoe")
    page.keyboard.press("Enter")
    page.wait_for_url("**user=zoe**")
    assert ids(page) == ["req_0badc0de0000000000000001"]
    page.locator("table.requests tbody a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/req_0badc0de0000000000000001")


def test_time_can_be_chosen_to_the_minute(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests?team=small")
    page.get_by_text("More filters").click()
    page.get_by_label("From, UTC").fill("2020-01-01T00:00")
    page.get_by_label("Until, UTC").fill("2020-01-02T00:00")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**from=1577836800**")
    expect(page.get_by_text("No request is like that")).to_be_visible()
    assert page.get_by_label("From, UTC").input_value() == "2020-01-01T00:00"


def test_what_is_no_number_is_said(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests?cost=much&seconds=-1&tag=version")
    assert page.get_by_role("alert").count() == 3


def test_hostile_names_are_text(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests?alias=careful&from=1&user=" + "user-%E2%80%AEgnp.exe")
    assert ids(page) == ["req_0badc0de0000000000000002"]
    row = page.locator("table.requests tbody tr")
    expect(row).to_contain_text(r"user-\u202egnp.exe")
    expect(row).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0


def test_nul_and_nonsense_in_the_address_break_nothing(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests?user=a%00b&after=x&before=9-9999999999999999999999")
    expect(page.get_by_text("No request is like that")).to_be_visible()


def test_service_may_not_see_them(browsing: Browsing, busy_house: House) -> None:
    browsing.expected = ["403"]
    page = browsing.sign_in(busy_house.token_of("service"))
    assert page.get_by_role("link", name=re.compile("^Requests$")).count() == 0
    browsing.open("/requests")
    expect(page.get_by_text("may not do this")).to_be_visible()


def test_requests_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look("/requests", "requests")
    browsing.look("/requests?outcome=errors&from=1&tag=a%3Db", "requests-filtered", whole=False)


def test_request_is_explained(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests/req_0badc0de0000000000000001")
    figures = page.get_by_label("Figures")
    expect(figures).to_contain_text("upstream_timeout")
    expect(page.get_by_text("The caller was told: no target answered in time")).to_be_visible()
    expect(page.locator("svg.waterfall")).to_contain_text("attempt 1")
    expect(page.get_by_role("region", name="Attempts").locator("tbody tr")).to_have_count(1)
    expect(page.get_by_text("c0ffee12", exact=True)).to_be_visible()
    page.get_by_role("link", name="zoe").click()
    page.wait_for_url("**/requests?user=zoe")


def test_what_was_said_is_text(browsing: Browsing) -> None:
    page = browsing.sign_in(path=f"/requests/{TALKED}")
    talk = page.locator("ol.talk")
    expect(talk).to_contain_text(HOSTILE)
    expect(talk).to_contain_text("<script>document.title='taken'</script>")
    expect(talk).to_contain_text(r"pay \u202e00,1$")
    expect(talk).to_contain_text("weather_of")
    expect(talk).to_contain_text('"city": "Kiel"')
    expect(talk).to_contain_text("12 degrees")
    assert [each.inner_text() for each in talk.locator("mark").all()] == ["[EMAIL]", "[CARD]"]
    assert page.title() == "Request · Tidegate"
    assert page.locator("main img, main script").count() == 0
    expect(page.get_by_text("1 card, 1 email")).to_be_visible()
    roles = [each.inner_text() for each in talk.locator(".who-said").all()]
    assert [role.split()[0] for role in roles] == [
        "system", "user", "assistant", "tool", "user", "assistant",
    ]  # fmt: skip


def test_long_body_is_cut(browsing: Browsing) -> None:
    page = browsing.sign_in(path=f"/requests/{LONG}")
    shown = page.locator("ol.talk").inner_text()
    assert 30_000 < len(shown) < 70_000
    expect(page.get_by_text("Long: only the newest")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 1440


def test_it_is_said_that_nothing_was_kept(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/requests/req_0badc0de0000000000000001")
    expect(page.get_by_text("Nothing is kept of what was asked")).to_be_visible()


def test_viewer_sees_the_request_and_not_what_was_said(
    browsing: Browsing, busy_house: House
) -> None:
    page = browsing.sign_in(busy_house.token_of("viewer"), f"/requests/{TALKED}")
    expect(page.get_by_label("Figures")).to_be_visible()
    expect(page.get_by_text("may not read what was asked")).to_be_visible()
    assert "weather_of" not in page.content()


def test_request_that_is_not_there(browsing: Browsing) -> None:
    browsing.expected = ["404"]
    page = browsing.sign_in(path="/requests/req_nobody%3Cb%3E%00")
    expect(page.get_by_text("There is no record of req_nobody<b>")).to_be_visible()


def test_request_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look(f"/requests/{TALKED}", "request")
    browsing.picture(f"/requests/{TALKED}", "request")
    browsing.look("/requests/req_0badc0de0000000000000001", "request-failed")
    browsing.look("/requests/req_0badc0de0000000000000002", "request-hostile")
