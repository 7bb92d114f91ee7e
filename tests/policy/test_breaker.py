"""When a target is left alone, for how long, and who finds out that it is back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.breaker import Breaker, BreakerSettings, Change
from tidegate.policy.window import BUCKETS, Window

SETTINGS = BreakerSettings(
    failures=3, share=0.5, window_s=30.0, min_requests=10, cooldown_s=10.0, max_cooldown_s=60.0,
    probes=1,
)  # fmt: skip


class Tried:
    """A breaker and what it told."""

    def __init__(self, settings: BreakerSettings = SETTINGS) -> None:
        self.changes: list[Change] = []
        self.breaker = Breaker("p/m", settings, self.changes.append)

    def moves(self) -> list[tuple[str, str]]:
        return [(change.old, change.new) for change in self.changes]

    def fail(self, now_s: float, times: int = 1) -> None:
        for _ in range(times):
            ticket = self.breaker.admit(now_s)
            assert ticket
            self.breaker.failed(ticket, now_s)

    def answer(self, now_s: float, times: int = 1) -> None:
        for _ in range(times):
            ticket = self.breaker.admit(now_s)
            assert ticket
            self.breaker.succeeded(ticket, now_s)
            self.breaker.finished(ticket)


@pytest.fixture
def tried() -> Tried:
    return Tried()


def test_failures_in_a_row_open_it(tried: Tried) -> None:
    tried.fail(0.0, 2)
    tried.answer(0.0)
    tried.fail(1.0, 2)
    assert tried.breaker.state(1.0) == "closed"
    tried.fail(1.0)
    assert tried.breaker.state(1.0) == "open"
    assert tried.changes == [
        Change("p/m", "closed", "open", "3 failures in a row", 1.0, 11.0, heard=False)
    ]
    assert not tried.breaker.admits(10.9)
    assert tried.breaker.retry_in_s(5.0) == 6.0


def test_share_of_failures_opens_it_once_there_are_enough(tried: Tried) -> None:
    for second in range(4):
        tried.fail(float(second))
        tried.answer(float(second))
    assert tried.breaker.state(4.0) == "closed"
    tried.answer(4.0)
    tried.fail(4.0)
    assert tried.breaker.state(4.0) == "open"
    assert tried.changes[-1].reason == "5 of 10 requests failed in 30 s"


def test_failures_that_left_the_window_do_not_count(tried: Tried) -> None:
    for second in range(4):
        tried.fail(float(second))
        tried.answer(float(second))
    tried.answer(40.0)
    tried.fail(40.0)
    assert tried.breaker.state(40.0) == "closed"


def test_cut_answers_in_a_row_open_it_though_each_began_well(tried: Tried) -> None:
    for second in range(3):
        ticket = tried.breaker.admit(float(second))
        tried.breaker.succeeded(ticket, float(second))
        tried.breaker.failed(ticket, float(second), answered=True)
    assert tried.breaker.state(2.0) == "open"
    assert tried.changes[-1].reason == "3 answers in a row were cut"


def test_good_end_is_what_clears_cut_answers(tried: Tried) -> None:
    for second in range(6):
        ticket = tried.breaker.admit(float(second))
        tried.breaker.succeeded(ticket, float(second))
        if second % 3 == 2:
            tried.breaker.finished(ticket)
        else:
            tried.breaker.failed(ticket, float(second), answered=True)
    assert tried.breaker.cuts == 0
    assert tried.breaker.state(6.0) == "closed"


def test_half_open_admits_one_probe_and_its_answer_closes(tried: Tried) -> None:
    tried.fail(0.0, 3)
    assert tried.breaker.state(10.0) == "half_open"
    probe = tried.breaker.admit(10.0)
    assert probe
    assert not tried.breaker.admits(10.0)
    assert tried.breaker.admit(10.0) == 0
    tried.breaker.succeeded(probe, 12.0)
    assert tried.breaker.state(12.0) == "closed"
    assert tried.moves() == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


def test_several_probes_must_all_answer() -> None:
    tried = Tried(BreakerSettings(failures=1, probes=2))
    tried.fail(0.0)
    first, second = tried.breaker.admit(10.0), tried.breaker.admit(10.0)
    assert first
    assert second
    assert not tried.breaker.admits(10.0)
    tried.breaker.succeeded(first, 11.0)
    assert tried.breaker.state(11.0) == "half_open"
    assert tried.breaker.admits(11.0)
    tried.breaker.succeeded(second, 11.0)
    assert tried.breaker.state(11.0) == "closed"


def test_rest_doubles_with_each_failed_probe_up_to_its_bound(tried: Tried) -> None:
    tried.fail(0.0, 3)
    now_s, waits = 0.0, list[float]()
    for _ in range(5):
        waits.append(tried.breaker.retry_in_s(now_s))
        now_s += waits[-1]
        tried.fail(now_s)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_rest_is_short_again_after_a_whole_window_of_health_but_not_before(tried: Tried) -> None:
    tried.fail(0.0, 3)
    tried.answer(10.0)
    tried.fail(39.0, 3)
    assert tried.breaker.retry_in_s(39.0) == 20.0
    tried.answer(59.0)
    tried.fail(89.0, 3)
    assert tried.breaker.retry_in_s(89.0) == 10.0


def test_cancelled_probe_leaves_its_slot(tried: Tried) -> None:
    tried.fail(0.0, 3)
    probe = tried.breaker.admit(10.0)
    tried.breaker.cancelled(probe)
    assert tried.breaker.state(10.0) == "half_open"
    tried.answer(10.0)
    assert tried.breaker.state(10.0) == "closed"


def test_slot_of_a_probe_that_never_ends_is_free_again(tried: Tried) -> None:
    tried.fail(0.0, 3)
    lost = tried.breaker.admit(10.0)
    assert not tried.breaker.admits(69.9)
    assert tried.breaker.admits(70.0)
    probe = tried.breaker.admit(70.0)
    assert probe
    assert not tried.breaker.admits(70.0)
    tried.breaker.cancelled(probe)
    assert tried.breaker.admits(70.0)
    tried.breaker.cancelled(lost)
    tried.answer(70.0)
    assert tried.breaker.state(70.0) == "closed"


def test_attempt_begun_before_it_opened_neither_closes_it_nor_fails_a_probe(tried: Tried) -> None:
    early, late = tried.breaker.admit(0.0), tried.breaker.admit(0.0)
    tried.fail(0.0, 3)
    tried.breaker.succeeded(early, 5.0)
    assert tried.breaker.state(5.0) == "open"
    probe = tried.breaker.admit(10.0)
    tried.breaker.succeeded(early, 11.0)
    tried.breaker.failed(late, 11.0)
    tried.breaker.cancelled(late)
    assert tried.breaker.state(11.0) == "half_open"
    assert not tried.breaker.admits(11.0)
    tried.breaker.succeeded(probe, 12.0)
    assert tried.breaker.state(12.0) == "closed"
    tried.breaker.failed(late, 13.0)
    assert tried.breaker.failures == 0


def test_probe_of_an_earlier_half_open_time_counts_no_more() -> None:
    tried = Tried(BreakerSettings(failures=1, cooldown_s=10.0, probes=2))
    tried.fail(0.0)
    slow, quick = tried.breaker.admit(10.0), tried.breaker.admit(10.0)
    tried.breaker.failed(quick, 11.0)
    assert tried.breaker.retry_in_s(11.0) == 20.0
    tried.breaker.succeeded(slow, 12.0)
    assert tried.breaker.state(12.0) == "open"
    assert tried.breaker.admit(31.0)
    assert tried.breaker.admit(31.0)
    assert not tried.breaker.admits(31.0)


def test_what_was_counted_before_it_recovered_counts_no_more(tried: Tried) -> None:
    for _ in range(2):
        ticket = tried.breaker.admit(0.0)
        tried.breaker.succeeded(ticket, 0.0)
        tried.breaker.failed(ticket, 0.0, answered=True)
    tried.fail(0.0, 3)
    tried.breaker.succeeded(tried.breaker.admit(10.0), 10.0)
    ticket = tried.breaker.admit(11.0)
    tried.breaker.succeeded(ticket, 11.0)
    tried.breaker.failed(ticket, 11.0, answered=True)
    for second in range(4):
        tried.answer(float(12 + second), 2)
        tried.fail(float(12 + second))
    assert tried.breaker.state(16.0) == "closed"


def test_429_opens_until_its_time_and_a_shorter_one_does_not_shorten(tried: Tried) -> None:
    one, two, three = (tried.breaker.admit(0.0) for _ in range(3))
    tried.breaker.failed(one, 0.0, rest_s=20.0)
    assert tried.breaker.retry_in_s(0.0) == 20.0
    tried.breaker.failed(two, 1.0, rest_s=5.0)
    assert tried.breaker.retry_in_s(1.0) == 19.0
    tried.breaker.failed(three, 2.0, rest_s=30.0)
    assert tried.breaker.retry_in_s(2.0) == 30.0
    assert tried.moves() == [("closed", "open"), ("open", "open")]


def test_rest_asked_for_is_bounded_and_does_not_lengthen_the_next_one(tried: Tried) -> None:
    tried.breaker.failed(tried.breaker.admit(0.0), 0.0, rest_s=86_400.0)
    assert tried.breaker.retry_in_s(0.0) == 60.0
    tried.fail(60.0)
    assert tried.breaker.retry_in_s(60.0) == 10.0


@pytest.mark.parametrize("rest_s", [0.0, -1.0, math.nan])
def test_rest_of_no_length_is_a_failure_like_others(tried: Tried, rest_s: float) -> None:
    tried.breaker.failed(tried.breaker.admit(0.0), 0.0, rest_s=rest_s)
    assert tried.breaker.state(0.0) == "closed"
    assert tried.breaker.failures == 1


def test_opening_of_another_gateway_is_adopted_and_never_shortens(tried: Tried) -> None:
    tried.breaker.adopt(15.0, "told", 0.0)
    assert tried.breaker.heard
    assert tried.breaker.retry_in_s(0.0) == 15.0
    tried.breaker.adopt(8.0, "told", 1.0)
    assert tried.breaker.retry_in_s(1.0) == 14.0
    tried.breaker.adopt(1e9, "told", 1.0)
    assert tried.breaker.retry_in_s(1.0) == 60.0
    assert all(change.heard for change in tried.changes)


def test_past_opening_is_not_adopted(tried: Tried) -> None:
    tried.breaker.adopt(0.0, "told", 0.0)
    assert tried.changes == []


def test_own_probes_outweigh_hearsay(tried: Tried) -> None:
    tried.breaker.adopt(10.0, "told", 0.0)
    probe = tried.breaker.admit(10.0)
    tried.breaker.adopt(30.0, "told", 11.0)
    assert tried.breaker.state(11.0) == "half_open"
    tried.breaker.succeeded(probe, 12.0)
    assert tried.breaker.state(12.0) == "closed"
    tried.breaker.adopt(100.0, "told", 71.0)
    assert tried.breaker.state(71.0) == "closed"
    tried.breaker.adopt(100.0, "told", 73.0)
    assert tried.breaker.state(73.0) == "open"


def test_attempt_made_anyway_closes_what_was_only_heard(tried: Tried) -> None:
    tried.breaker.adopt(10.0, "told", 0.0)
    assert tried.breaker.admit(1.0) == 0
    ticket = tried.breaker.admit(1.0, anyway=True)
    assert ticket
    tried.breaker.succeeded(ticket, 2.0)
    assert tried.breaker.state(2.0) == "closed"


def test_attempt_made_anyway_does_not_shorten_an_own_verdict(tried: Tried) -> None:
    tried.fail(0.0, 3)
    ticket = tried.breaker.admit(1.0, anyway=True)
    tried.breaker.succeeded(ticket, 2.0)
    assert tried.breaker.retry_in_s(2.0) == 8.0
    tried.breaker.failed(tried.breaker.admit(3.0, anyway=True), 3.0)
    assert tried.breaker.retry_in_s(3.0) == 7.0


def test_attempt_made_anyway_takes_no_probes_slot(tried: Tried) -> None:
    tried.fail(0.0, 3)
    probe = tried.breaker.admit(10.0)
    forced = tried.breaker.admit(10.0, anyway=True)
    assert forced
    tried.breaker.cancelled(forced)
    assert not tried.breaker.admits(10.0)
    tried.breaker.cancelled(probe)
    assert tried.breaker.admits(10.0)


def test_new_settings_leave_the_state(tried: Tried) -> None:
    tried.fail(0.0, 3)
    tried.breaker.settings = BreakerSettings(failures=1, window_s=5.0, cooldown_s=1.0)
    assert tried.breaker.retry_in_s(0.0) == 10.0


@given(
    width_s=st.floats(1e-3, 1e4),
    steps=st.lists(st.tuples(st.floats(0.0, 2.0), st.booleans()), max_size=100),
)
def test_window_holds_what_happened_within_it_to_a_tenth(
    width_s: float, steps: list[tuple[float, bool]]
) -> None:
    window, now_s = Window(width_s), 1000.0
    events: list[tuple[float, bool]] = []
    for part, bad in steps:
        now_s += part * width_s
        if now_s >= window.ends_s:
            window.turn(now_s)
        window.calls += 1
        window.bad += bad
        events.append((now_s, bad))
        for counted, chosen in (
            (window.all_calls, events),
            (window.all_bad, [event for event in events if event[1]]),
        ):
            least_s = width_s * (BUCKETS - 1) / BUCKETS
            assert counted >= sum(now_s - at_s < least_s * 0.999 for at_s, _ in chosen)
            assert counted <= sum(now_s - at_s < width_s * 1.001 for at_s, _ in chosen)
