"""The page Now, and that it keeps itself fresh."""

from __future__ import annotations

import random
import time
from typing import Any

from console_browser import Browsing
from console_house import busy, lane, one, target
from playwright.sync_api import expect

from tidegate.console.pages.now import tone_of, traffic_of
from tidegate.console.pages.now.speed import Told, rank, speed_of
from tidegate.console.pages.now.standing import gateways_of, parts_of, targets_of
from tidegate.policy.board import Board, LoadState, PartState
from tidegate.store.minutes import Minute

PATIENCE_MS = 60_000


def board(worker: str, **told: Any) -> Board:
    return Board(worker, 1, None, 10**9, 100.0, **told)


def test_now_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look("/now", "now")
    browsing.picture("/now", "now")


def test_now_shows_what_happens_while_one_looks(browsing: Browsing) -> None:
    page = browsing.sign_in()
    page.locator("summary").first.click()
    page.locator("summary").first.focus()
    states = [target("fresh/target", "half_open")]
    busy(browsing.house, targets=states)
    expect(page.locator("#main")).to_contain_text("fresh/target", timeout=PATIENCE_MS)
    expect(page.locator("#main")).to_contain_text("probed")
    assert page.locator("details[open]").count() == 1
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    busy(browsing.house)


def test_page_goes_to_the_way_in_when_its_session_ends(browsing: Browsing) -> None:
    browsing.expected = ["401"]
    made = browsing.house.api("POST", "/tokens", {"name": "brief", "role": "viewer"})
    page = browsing.sign_in(made["token"], "/now?range=6h")
    browsing.house.api("DELETE", "/tokens/brief")
    expect(page.get_by_label("Admin token")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_label("Admin token").fill(browsing.house.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/now?range=6h")


def test_theme_is_chosen_and_remembered(browsing: Browsing) -> None:
    page = browsing.sign_in()
    page.get_by_role("button", name="Use dark colours").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.get_by_role("button", name="Use light colours").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_target_is_as_ill_as_the_gateway_that_thinks_least_of_it() -> None:
    ill = target("a/b", "open", until_s=130.0, reason="down", calls=10, failed=5)
    boards = [
        board("gw-0", targets=(target("a/b", calls=10, failed=0), target("c/d"))),
        board("gw-1", targets=(ill,), lanes=(lane("a/b", waiting=3, limit=8),)),
    ]
    first, second = targets_of(boards, 10**9)
    assert (first.name, first.tone, first.where) == ("a/b", "bad", "in 1 of 2 gateways")
    assert (first.retry_in_s, first.failed_share, first.waiting, first.limit) == (30.0, 0.25, 3, 8)
    assert (second.name, second.tone, second.where) == ("c/d", "good", "")


def test_account_has_the_least_that_anybody_saw() -> None:
    boards = [
        board("gw-0", parts=(PartState("p", "account", "a", "usable", left={"tokens": 9.0}),)),
        board("gw-1", parts=(PartState("p", "account", "a", "retired", left={"tokens": 4.0}),)),
    ]
    (part,) = parts_of(boards)
    assert (part.state, part.tone, part.left) == ("retired", "bad", {"tokens": 4.0})


def test_gateway_that_told_nothing_yet_is_there() -> None:
    (gateway,) = gateways_of([board("gw-0")])
    assert (gateway.running, gateway.share) == (0, 1.0)
    (busy_one,) = gateways_of([board("gw-0", load=LoadState(running=4, shed=2))])
    assert (busy_one.running, busy_one.shed) == (4, 2)


def test_traffic_is_of_the_minutes_that_are_asked_for() -> None:
    at_s = [0, 60, 120, 180, 240, 300, 360]
    sums = [
        Minute(60, "ok", 10, 1_000, 5, 5), Minute(60, "failed", 2, 0, 0, 0),
        Minute(360, "strange", 1, 0, 0, 0), Minute(999, "ok", 7, 1, 1, 1),
    ]  # fmt: skip
    traffic = traffic_of(at_s, sums)
    assert traffic.whole == (0, 12, 0, 0, 0, 0, 1)
    assert traffic.errors == (0, 2, 0, 0, 0, 0, 1)
    assert traffic.per_minute == 12 / 5
    assert traffic.lately == (3, 13)
    assert traffic.error_share == 3 / 13
    assert tone_of(traffic.error_share) == "bad"
    assert tone_of(None) == ""


def test_speed_is_of_what_went_well() -> None:
    told = [Told("ok", float(n), 10.0 * n) for n in range(1, 101)] + [Told("failed", 1e9, 1e9)]
    speed = speed_of(told)
    assert (speed.ttft_p50, speed.ttft_p99, speed.duration_p99) == (50.0, 99.0, 990.0)
    assert rank([], 0.5) is None


def test_first_record_is_on_the_page_after_it_is_loaded(browsing: Browsing) -> None:
    page = browsing.sign_in()
    record = one("fresh", time.time_ns() - 120 * 10**9, random.Random(1), cost_nanousd=77 * 10**9)
    browsing.house.add([record])
    expect(page.locator("#main")).to_contain_text("$77.", timeout=PATIENCE_MS)
