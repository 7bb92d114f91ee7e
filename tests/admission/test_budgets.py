"""Money in periods, and clocks that are wrong."""

from __future__ import annotations

from tidegate.admission.budgets import PERIODS_KEPT, Calendar, Purse
from tidegate.limits import Budget

DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2


def purse(period: str = "day") -> Purse:
    budget = Budget(100, "total" if period == "total" else "day")
    made = Purse(budget, Calendar(), NOON_NS)
    made.fit(budget, known=True)
    return made


def test_a_request_from_before_midnight_settles_where_it_was_held() -> None:
    one = purse()
    yesterday = one.at(NOON_NS)
    yesterday.held += 30
    today = one.at(NOON_NS + DAY_NS)
    assert (today.settled, today.held) == (0, 0)
    assert one.at(NOON_NS) is yesterday


def test_a_clock_that_jumps_ahead_and_back_forgets_no_spending() -> None:
    one = purse()
    one.at(NOON_NS).settled = 70
    for days in (1, 400):
        one.at(NOON_NS + days * DAY_NS)
    assert one.at(NOON_NS).settled == 70


def test_a_time_before_all_that_is_kept_is_paid_by_the_oldest_period() -> None:
    one = purse()
    pots = [one.at(NOON_NS + days * DAY_NS) for days in range(PERIODS_KEPT)]
    assert one.at(NOON_NS - 5 * DAY_NS) is pots[0]


def test_periods_are_bounded() -> None:
    one = purse()
    for days in range(50):
        one.at(NOON_NS + days * DAY_NS)
    assert len(one.pots()) == PERIODS_KEPT


def test_a_total_never_ends() -> None:
    one = purse("total")
    one.at(NOON_NS).settled = 5
    assert one.at(NOON_NS + 10_000 * DAY_NS).settled == 5
    assert one.counts(NOON_NS + 10_000 * DAY_NS)


def test_nothing_goes_through_until_what_was_spent_is_known() -> None:
    one = Purse(Budget(100), Calendar(), NOON_NS)
    assert one.limit < 0
    one.fit(Budget(100), known=True)
    assert one.limit == 100
    one.fit(Budget(50), known=False)
    assert one.limit == 50


def test_money_counts_until_its_period_is_over() -> None:
    one = purse()
    assert not one.counts(NOON_NS)
    one.at(NOON_NS).settled = 1
    assert one.counts(NOON_NS)
    assert not one.counts(NOON_NS + DAY_NS)
    one.at(NOON_NS).held = 1
    assert one.counts(NOON_NS + DAY_NS)
