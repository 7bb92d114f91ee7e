"""When a second target is asked, and what that may cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.hedge import (
    FRESH,
    RING,
    SAVED,
    HedgeBudget,
    HedgeSettings,
    Latencies,
    hedge_after_s,
)

times_s = st.floats(0.0, 600.0)


def noted(values_s: list[float]) -> Latencies:
    latencies = Latencies()
    for value_s in values_s:
        latencies.note(value_s)
    return latencies


@pytest.mark.parametrize(("share", "enough"), [(0.5, 20), (0.95, 20), (0.99, 100), (0.999, 1000)])
def test_few_values_say_nothing_of_a_percentile(share: float, enough: int) -> None:
    assert noted([1.0] * (enough - 1)).percentile_s(share) is None
    assert (noted([1.0] * enough).percentile_s(share) is None) == (enough > RING)


@given(values_s=st.lists(times_s, min_size=20, max_size=600), share=st.floats(0.0, 0.95))
def test_percentile_is_the_value_of_that_rank_among_the_last_ones(
    values_s: list[float], share: float
) -> None:
    last = sorted(values_s[-RING:])
    assert noted(values_s).percentile_s(share) == last[max(0, math.ceil(share * len(last)) - 1)]


@given(values_s=st.lists(times_s, max_size=700))
def test_percentile_that_was_asked_before_lags_no_more_than_it_may(values_s: list[float]) -> None:
    latencies, known = Latencies(), list[float | None]()
    for value_s in values_s:
        latencies.note(value_s)
        known.append(noted(values_s[: len(known) + 1]).percentile_s(0.5))
        assert latencies.percentile_s(0.5) in known[-FRESH:]


def test_old_times_are_forgotten() -> None:
    latencies = noted([9.0] * RING)
    assert latencies.percentile_s(0.95) == 9.0
    for _ in range(RING):
        latencies.note(1.0)
    assert latencies.percentile_s(0.95) == 1.0


def test_wait_is_the_percentile_but_never_shorter_than_the_least() -> None:
    slow = noted([float(value) for value in range(1, 101)])
    assert hedge_after_s(HedgeSettings(percentile=0.9), slow) == 90.0
    assert hedge_after_s(HedgeSettings(percentile=0.9, min_s=95.0), slow) == 95.0
    assert hedge_after_s(HedgeSettings(), Latencies()) is None


def test_fixed_wait_needs_no_values() -> None:
    assert hedge_after_s(HedgeSettings(after_s=0.8), Latencies()) == 0.8
    assert hedge_after_s(HedgeSettings(after_s=0.01, min_s=0.1), Latencies()) == 0.1


def test_hedges_are_paid_for_by_requests_and_by_their_cost() -> None:
    budget = HedgeBudget(max_share=0.1, max_cost_share=0.05)
    assert not budget.allows()
    for _ in range(11):
        budget.deposit()
    assert budget.allows()
    assert not budget.allows(1000.0)
    for _ in range(21):
        budget.paid(1000)
    assert budget.mean_nanousd == pytest.approx(1000.0)
    assert budget.allows(1000.0)
    budget.withdraw(1000.0)
    assert not budget.allows()


def test_hedge_that_cost_more_than_expected_delays_the_next() -> None:
    budget = HedgeBudget(max_share=1.0, max_cost_share=0.5)
    for _ in range(10):
        budget.deposit()
        budget.paid(1000)
    budget.withdraw(1000.0)
    budget.correct(1000.0, 9000.0)
    assert not budget.allows(1000.0)
    for _ in range(30):
        budget.paid(1000)
    assert budget.allows(1000.0)


def test_nothing_is_hedged_without_a_share() -> None:
    budget = HedgeBudget(0.0, 0.0)
    for _ in range(1000):
        budget.deposit()
        budget.paid(5)
    assert not budget.allows()


@given(
    share=st.floats(0.0, 1.0), cost_share=st.floats(0.0, 1.0),
    costs_nanousd=st.lists(st.integers(0, 10**12), max_size=200),
)  # fmt: skip
def test_extra_requests_and_extra_cost_stay_within_their_shares(
    share: float, cost_share: float, costs_nanousd: list[int]
) -> None:
    budget, hedges, extra_nanousd = HedgeBudget(share, cost_share), 0, 0.0
    for number, cost_nanousd in enumerate(costs_nanousd, start=1):
        budget.deposit()
        budget.paid(cost_nanousd)
        expected = budget.mean_nanousd
        if budget.allows(expected):
            budget.withdraw(expected)
            hedges += 1
            extra_nanousd += expected
        paid_nanousd = sum(costs_nanousd[:number])
        assert hedges <= share * number * (1 + 1e-9)
        assert extra_nanousd <= cost_share * paid_nanousd * (1 + 1e-9)


def test_quiet_times_save_up_a_bounded_burst() -> None:
    budget = HedgeBudget(0.5, 0.5)
    for _ in range(10_000):
        budget.deposit()
        budget.paid(100)
    burst = 0
    while budget.allows(100.0):
        budget.withdraw(100.0)
        burst += 1
    assert burst == SAVED
