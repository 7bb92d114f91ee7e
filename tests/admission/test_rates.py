"""The sliding window counter against its formula."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.admission.rates import Counter

STEPS = st.lists(st.tuples(st.floats(0, 90), st.integers(0, 8)), max_size=60)


@given(STEPS, st.integers(0, 12))
def test_no_aligned_window_takes_more_than_the_limit(
    steps: list[tuple[float, int]], limit: int
) -> None:
    counter, now_s = Counter(limit, 60, 0.0), 0.0
    windows: dict[int, int] = {}
    for wait_s, count in steps:
        now_s += wait_s
        if counter.take(count, now_s):
            index = int(now_s // 60)
            windows[index] = windows.get(index, 0) + count
            share = 1 - (now_s / 60 - index)
            assert windows[index] + share * windows.get(index - 1, 0) <= limit + 1e-9
    assert all(taken <= limit for taken in windows.values())


@given(STEPS, st.integers(0, 12))
def test_a_refusal_consumes_nothing(steps: list[tuple[float, int]], limit: int) -> None:
    counter, now_s = Counter(limit, 60, 0.0), 0.0
    for wait_s, count in steps:
        now_s += wait_s
        left = counter.left(now_s)
        if not counter.take(count, now_s):
            assert counter.left(now_s) == left


@given(STEPS, st.integers(1, 12), st.integers(1, 12))
def test_retry_after_is_the_truth(steps: list[tuple[float, int]], limit: int, count: int) -> None:
    counter, now_s = Counter(limit, 60, 0.0), 0.0
    for wait_s, taken in steps:
        now_s += wait_s
        counter.take(taken, now_s)
    retry_after_s = counter.retry_after_s(count, now_s)
    if retry_after_s is None:
        assert count > limit
        return
    if retry_after_s > 0.01:
        assert counter.left(now_s + retry_after_s - 0.01) < count
    assert counter.take(count, now_s + retry_after_s)


@given(STEPS, st.integers(1, 12))
def test_all_of_it_is_there_after_the_reset(steps: list[tuple[float, int]], limit: int) -> None:
    counter, now_s = Counter(limit, 60, 0.0), 0.0
    for wait_s, taken in steps:
        now_s += wait_s
        counter.take(taken, now_s)
    later_s = now_s + counter.reset_s(now_s)
    assert counter.left(later_s) == limit
    assert counter.idle(later_s)


@given(st.lists(st.tuples(st.floats(-300, 90), st.integers(0, 8)), max_size=60))
def test_a_clock_that_goes_back_frees_nothing(steps: list[tuple[float, int]]) -> None:
    counter, now_s, latest_s = Counter(10, 60, 1_000.0), 1_000.0, 1_000.0
    windows: dict[int, int] = {}
    for wait_s, count in steps:
        now_s += wait_s
        latest_s = max(latest_s, now_s)
        if counter.take(count, now_s):
            index = int(latest_s // 60)
            windows[index] = windows.get(index, 0) + count
    assert all(taken <= 10 for taken in windows.values())


def test_what_was_taken_is_corrected_in_its_own_window() -> None:
    counter = Counter(100, 60, 0.0)
    assert counter.take(80, 10.0)
    assert not counter.take(40, 20.0)
    counter.roll(70.0)
    counter.correct(-60, 10.0)
    assert (counter.previous, counter.current) == (20, 0)
    counter.roll(130.0)
    counter.correct(-20, 10.0)
    assert (counter.previous, counter.current) == (0, 0)


def test_more_than_was_taken_counts_against_the_next_ones() -> None:
    counter = Counter(100, 60, 0.0)
    assert counter.take(50, 10.0)
    counter.correct(100, 10.0)
    assert counter.left(10.0) == -50
    assert counter.retry_after_s(1, 10.0) is not None


def test_more_than_the_limit_never_fits() -> None:
    assert Counter(10, 60, 0.0).retry_after_s(11, 0.0) is None
