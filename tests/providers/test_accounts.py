from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.providers.accounts import Account, Accounts
from tidegate.providers.quota import Window


def accounts(*names: str) -> tuple[Accounts, list[Account]]:
    made = [Account(name, f"key-{name}".encode()) for name in names]
    return Accounts("openai", made), made


def limited(wait_s: float | None = None) -> UpstreamRateLimited:
    return UpstreamRateLimited("Slower.", retry_after_s=wait_s)


DENIED = UpstreamDenied("No.")


def shares(some: Accounts, picks: int, now_s: float = 0.0) -> Counter[str]:
    return Counter(some.pick(now_s).name for _ in range(picks))


def test_the_only_account_is_always_taken() -> None:
    some, (only,) = accounts("a")
    assert not some.several
    for error in (None, DENIED, limited(60)):
        some.ended(only, error, 0.0)
        assert some.pick(1.0) is only
        assert not some.spare(1.0)


def test_accounts_of_which_nothing_is_known_take_turns() -> None:
    some, _ = accounts("a", "b", "c")
    assert shares(some, 300) == {"a": 100, "b": 100, "c": 100}


def test_accounts_are_used_by_what_is_left_of_each() -> None:
    some, (a, b) = accounts("a", "b")
    some.heard(a, [Window("requests", 900, 1000, 60)], 0.0)
    some.heard(b, [Window("requests", 100, 1000, 60)], 0.0)
    assert shares(some, 1000) == {"a": 900, "b": 100}


def test_the_scarcest_allowance_decides() -> None:
    some, (a, b) = accounts("a", "b")
    some.heard(a, [Window("requests", 500), Window("tokens", 1_000)], 0.0)
    some.heard(b, [Window("requests", 500), Window("tokens", 9_000)], 0.0)
    # Of a there is a tenth of the tokens, of b half of the requests: one to five.
    taken = shares(some, 600)
    assert taken["a"] == pytest.approx(100, abs=1)


def test_what_is_known_of_some_accounts_only_says_nothing() -> None:
    some, (a, _) = accounts("a", "b")
    some.heard(a, [Window("requests", 1)], 0.0)
    assert shares(some, 10) == {"a": 5, "b": 5}


def test_an_allowance_is_full_again_after_its_reset() -> None:
    some, (a, b) = accounts("a", "b")
    some.heard(a, [Window("requests", 1, 100, 10)], 0.0)
    some.heard(b, [Window("requests", 99, 100, 10)], 0.0)
    assert shares(some, 100, 5.0) == {"a": 1, "b": 99}
    assert a.left("requests", 10.0) == 100
    assert shares(some, 100, 10.0) == {"a": 50, "b": 50}


def test_an_account_that_is_used_up_rests_until_its_reset() -> None:
    some, (a, b) = accounts("a", "b")
    some.heard(a, [Window("tokens", 0, 1000, 30)], 100.0)
    assert {some.pick(129.9) for _ in range(5)} == {b}
    assert {some.pick(130.0) for _ in range(5)} == {a, b}


def test_a_429_lets_an_account_rest_for_as_long_as_it_says() -> None:
    some, (a, b) = accounts("a", "b")
    some.ended(a, limited(20), 0.0)
    assert {some.pick(19.9) for _ in range(5)} == {b}
    assert a in {some.pick(20.0) for _ in range(5)}


def test_a_later_verdict_never_shortens_an_earlier_one() -> None:
    some, (a, _) = accounts("a", "b")
    some.ended(a, limited(60), 0.0)
    some.ended(a, limited(1), 1.0)
    some.heard(a, [Window("requests", 0, 10, 5)], 2.0)
    some.ended(a, None, 3.0)
    assert a.free_s == 60.0


def test_a_429_without_a_time_lets_it_rest_longer_each_time_in_a_row() -> None:
    some, (a, _) = accounts("a", "b")
    rests: list[float] = []
    for _ in range(9):
        now_s = a.free_s
        some.ended(a, limited(), now_s)
        rests.append(a.free_s - now_s)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    some.ended(a, None, 1000.0)
    some.ended(a, limited(), 1000.0)
    assert a.free_s == 1001.0


def test_with_all_resting_the_one_that_is_free_soonest_is_taken() -> None:
    some, (a, b, c) = accounts("a", "b", "c")
    for account, wait_s in ((a, 30), (b, 10), (c, 20)):
        some.ended(account, limited(wait_s), 0.0)
    assert some.pick(5.0) is b
    assert not some.spare(5.0)
    assert some.spare(10.0)


def test_a_refused_account_is_retired_with_one_loud_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    some, (a, b) = accounts("a", "b")
    for _ in range(3):
        some.ended(a, DENIED, 0.0)
    assert {some.pick(1e9) for _ in range(5)} == {b}
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.__dict__["fields"] == {"provider": "openai", "account": "a", "accounts_left": 1}
    assert "key-a" not in caplog.text
    assert some.snapshot(0.0)[0].times_retired == 3


def test_all_retired_are_tried_all_the_same_and_come_back_when_accepted() -> None:
    some, (a, b) = accounts("a", "b")
    some.ended(a, DENIED, 0.0)
    some.ended(b, DENIED, 0.0)
    assert {some.pick(1.0) for _ in range(4)} == {a, b}
    assert not some.spare(1.0)
    some.ended(b, None, 2.0)
    assert {some.pick(3.0) for _ in range(4)} == {b}


def test_a_resting_account_is_preferred_to_a_retired_one() -> None:
    some, (a, b) = accounts("a", "b")
    some.ended(a, DENIED, 0.0)
    some.ended(b, limited(60), 0.0)
    assert some.pick(1.0) is b


@pytest.mark.parametrize("error", [UpstreamFailed("5xx"), UpstreamRefused("400")])
def test_what_is_not_the_accounts_fault_changes_nothing(error: UpstreamError) -> None:
    some, (a, _) = accounts("a", "b")
    some.ended(a, error, 0.0)
    assert not a.retired
    assert a.free_s == 0.0


def test_the_status_board_shows_states_and_no_secret() -> None:
    some, (a, b, c) = accounts("a", "b", "c")
    some.heard(a, [Window("requests", 7, 10, 60)], 0.0)
    some.ended(b, limited(30), 0.0)
    some.ended(c, DENIED, 0.0)
    board = some.snapshot(10.0)
    assert [(each.name, each.state, each.rests_s) for each in board] == [
        ("a", "usable", 0.0),
        ("b", "resting", 20.0),
        ("c", "retired", 0.0),
    ]
    assert board[0].left == {"requests": 7}
    assert "key-" not in repr(board)


def test_quotas_that_run_down_run_down_together() -> None:
    some, made = accounts("a", "b", "c")
    left = {"a": 600.0, "b": 300.0, "c": 100.0}
    for account in made:
        some.heard(account, [Window("requests", left[account.name], 1000, 1e6)], 0.0)
    for _ in range(900):
        account = some.pick(0.0)
        left[account.name] -= 1
        some.heard(account, [Window("requests", left[account.name], 1000, 1e6)], 0.0)
    assert left["a"] == pytest.approx(60, abs=5)
    assert left["b"] == pytest.approx(30, abs=5)
    assert left["c"] == pytest.approx(10, abs=5)


_WINDOWS = st.builds(
    Window,
    st.sampled_from(["requests", "tokens"]),
    st.floats(0, 1e9),
    st.none() | st.floats(0, 1e9),
    st.none() | st.floats(0, 1e6),
)
_ENDS = st.sampled_from([None, DENIED, UpstreamFailed("x")]) | st.builds(
    limited, st.none() | st.floats(0, 1e4)
)
_STEPS = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 100), _WINDOWS, _ENDS), max_size=30)


@given(_STEPS)
def test_whatever_happens_some_account_is_picked_and_rests_never_shrink(
    steps: list[tuple[int, float, Window, UpstreamError | None]],
) -> None:
    some, made = accounts("a", "b", "c")
    now_s = 0.0
    for which, passed_s, window, error in steps:
        now_s += passed_s
        free_s = [each.free_s for each in made]
        some.heard(made[which], [window], now_s)
        some.ended(made[which], error, now_s)
        assert all(each.free_s >= before for each, before in zip(made, free_s, strict=True))
        picked = some.pick(now_s)
        usable = [each for each in made if not each.retired and each.free_s <= now_s]
        assert bool(usable) is some.spare(now_s)
        assert picked in (usable or made)
        assert len(some.snapshot(now_s)) == 3
