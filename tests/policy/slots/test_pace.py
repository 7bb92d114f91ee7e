"""From what is left of an allowance to how fast it may be used."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.slots.pace import Allowance, pace_of


def test_nothing_is_held_back_while_there_is_plenty() -> None:
    assert pace_of([Allowance(30, 60.0, 100), Allowance(50_000, 60.0, 200_000, each=500)]) is None
    assert pace_of([]) is None


def test_what_is_left_is_spread_over_the_time_until_it_is_whole_again() -> None:
    pace = pace_of([Allowance(12, 30.0, 100)])
    assert pace is not None
    assert (pace.per_s, pace.lasts_s) == (0.4, 30.0)


def test_tokens_count_as_the_requests_they_are_enough_for() -> None:
    pace = pace_of([Allowance(15_000, 30.0, 100_000, each=1000)])
    assert pace is not None
    assert pace.per_s == pytest.approx(0.5)


def test_slowest_allowance_decides() -> None:
    pace = pace_of([Allowance(60, 30.0, 1000), Allowance(15_000, 30.0, 100_000, each=1000)])
    assert pace is not None
    assert pace.per_s == pytest.approx(0.5)


def test_allowance_that_is_used_up_is_probed_now_and_then() -> None:
    pace = pace_of([Allowance(0, 60.0, 100)])
    assert pace is not None
    assert pace.per_s == 0.2


numbers = st.floats(0.0, 1e9)


@given(
    allowances=st.lists(
        st.builds(Allowance, numbers, numbers, st.none() | numbers, st.floats(0.0, 1e6))
    )
)
def test_pace_is_always_one_that_can_be_kept(allowances: list[Allowance]) -> None:
    pace = pace_of(allowances)
    assert pace is None or 0.0 < pace.per_s < math.inf
