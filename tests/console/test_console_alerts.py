"""The page Alerts: seen, acknowledged, silenced; and the runbooks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from console_browser import Browsing
from console_house import House, busy, house, target
from console_records import HOSTILE
from playwright.sync_api import Browser, expect

from tidegate.alerts.links import link
from tidegate.alerts.rules import DEFAULTS
from tidegate.console.pages.alerts import labels_of
from tidegate.console.pages.alerts.runbooks import Runbooks
from tidegate.console.refusals import Refusal

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def troubled_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which the breaker of a target with a hostile name is open."""
    with house(tmp_path_factory.mktemp("troubled")) as at:
        busy(at, targets=[target(HOSTILE, "open", reason=HOSTILE), target("openai/gpt-5-mini")])
        yield at


@pytest.fixture
def troubled(browser: Browser, troubled_house: House) -> Iterator[Browsing]:
    """Before the alerts of that house."""
    window = Browsing(browser, troubled_house)
    page = window.sign_in(path="/alerts")
    expect(page.locator(".alert")).to_have_count(1, timeout=PATIENCE_MS)
    expect(page.locator(".alert")).to_contain_text("breaker-open")
    yield window
    window.close()


def test_alert_is_acknowledged(troubled: Browsing) -> None:
    page = troubled.page
    page.get_by_role("button", name="Acknowledge").click(timeout=PATIENCE_MS)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Note").fill(f"asked the vendor {HOSTILE}")
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status").first).to_contain_text("You look at breaker-open")
    expect(page.locator(".alert")).to_contain_text("seen by first")
    expect(page.locator(".alert")).to_contain_text(f"asked the vendor {HOSTILE}")
    entry = troubled.house.api("GET", "/audit?limit=1")["items"][0]
    assert entry["action"] == "alert.acknowledge"


def test_silence_is_made_and_ended(troubled: Browsing) -> None:
    page = troubled.page
    page.locator(".alert").get_by_role("button", name="Silence").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Only with these labels")).to_have_value(re.compile("machine="))
    dialog.get_by_label("For").select_option("4h")
    dialog.get_by_label("Why").fill("known")
    dialog.get_by_role("button", name="Silence").click()
    expect(page.get_by_role("status").first).to_contain_text("Silent until")
    (made,) = troubled.house.api("GET", "/alerts")["silences"]
    assert (made["rule"], made["why"], made["by"]) == ("breaker-open", "known", "first")
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(page.get_by_role("status").first).to_contain_text("It is told again")
    assert troubled.house.api("GET", "/alerts")["silences"] == []


def test_silence_of_everything_is_asked_for_and_says_so(troubled: Browsing) -> None:
    page = troubled.page
    page.get_by_role("button", name="New silence").click()
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()
    expect(page.get_by_role("status").first).to_contain_text("or of everything")
    page.get_by_role("button", name="New silence").click()
    page.get_by_role("dialog").get_by_label("Every alert").check()
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()
    expect(page.get_by_role("status").first).to_contain_text("Every alert is")
    (made,) = troubled.house.api("GET", "/alerts")["silences"]
    troubled.house.api("DELETE", f"/silences/{made['id']}")


def test_refusal_is_told_where_the_form_was(troubled: Browsing) -> None:
    page = troubled.page
    page.get_by_role("button", name="New silence").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Only with these labels").fill("nonsense")
    dialog.get_by_role("button", name="Silence").click()
    expect(page.get_by_role("status").first).to_contain_text("A label is written name=value.")
    assert page.url.endswith("/console/alerts")


def test_hostile_names_are_text_on_every_page(troubled: Browsing) -> None:
    page = troubled.page
    for path in ("/alerts", "/now"):
        troubled.open(path)
        expect(page.locator("main")).to_contain_text(HOSTILE)
        assert page.locator("main img").count() == 0


def test_runbook_is_read(troubled: Browsing) -> None:
    page = troubled.page
    page.get_by_role("link", name="Runbook").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("breaker-open")
    expect(page.get_by_role("heading", name="First minute")).to_be_visible()
    troubled.look("/alerts/runbooks/breaker-open", "runbook")


def test_viewer_sees_no_buttons(troubled: Browsing) -> None:
    page = troubled.page
    page.get_by_role("button", name="Sign out").click()
    troubled.sign_in(troubled.house.token_of("viewer"), "/alerts")
    expect(page.locator(".alert")).to_have_count(1)
    assert page.get_by_role("button", name="Silence").count() == 0
    assert page.get_by_role("button", name="Acknowledge").count() == 0


def test_alerts_can_be_seen(troubled: Browsing) -> None:
    troubled.look("/alerts", "alerts")
    troubled.page.get_by_role("button", name="New silence").click()
    expect(troubled.page.get_by_role("dialog")).to_be_visible()
    troubled.page.keyboard.press("Escape")
    expect(troubled.page.get_by_role("dialog")).to_be_hidden()


def test_every_rule_has_its_runbook() -> None:
    runbooks = Runbooks()
    for rule in DEFAULTS:
        runbook = runbooks.find(rule)
        assert runbook is not None
        assert "<h2>" in runbook.html
    assert runbooks.find("../../pyproject") is None


def test_links_lead_to_the_time_and_to_whom_it_concerns() -> None:
    times = (1_000_000 * 10**9, 1_000_600 * 10**9)
    of = {"alias": "a b&c"}
    assert link("https://x", "errors", of, times) == (
        "https://x/console/requests?from=999100&to=1000900&alias=a+b%26c"
    )
    budget = {"kind": "team", "name": "search", "period": "month"}
    assert link("", "budget", budget, times) == "/console/cost?from=999100&to=1000900&team=search"
    assert link("", "redis-lost", {"worker": "gw-0"}, times) == "/console/now"
    assert link("", "refusals", of, times).startswith("/console/quality?")


def test_labels_are_one_in_each_line() -> None:
    assert labels_of(" a=b \n\nc=d=e\r\n") == {"a": "b", "c": "d=e"}
    with pytest.raises(Refusal, match="name=value"):
        labels_of("a")


def test_alerts_of_a_busy_day_can_be_seen(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/alerts")
    firing = page.locator("section", has=page.locator("#firing")).locator(".alert")
    expect(firing.first).to_be_visible(timeout=PATIENCE_MS)
    browsing.picture("/alerts", "alerts")
