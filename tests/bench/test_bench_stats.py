"""The arithmetic of the benchmark."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import (
    pair_order,
    paired_difference,
    percentile,
    percentiles,
    rotated,
    slope,
    summary,
)

finite = st.floats(-1e6, 1e6)


def test_percentiles_interpolate_between_neighbours() -> None:
    assert percentiles([4.0, 1.0, 3.0, 2.0], (0, 50, 100)) == [1.0, 2.5, 4.0]


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 50))
    assert all(math.isnan(value) for value in percentiles([], (50, 99)))


@given(st.lists(finite, min_size=1), st.floats(0, 100))
def test_percentile_stays_within_the_values(values: list[float], percent: float) -> None:
    assert min(values) - 1e-6 <= percentile(values, percent) <= max(values) + 1e-6


@given(st.lists(finite, min_size=2), st.floats(0, 100), st.floats(0, 100))
def test_percentile_grows_with_the_percent(values: list[float], one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert percentile(values, low) <= percentile(values, high) + 1e-6


def test_summary_gives_median_and_range_and_leaves_out_what_was_not_measured() -> None:
    seen = summary([3.0, math.nan, 1.0, 2.0])
    assert seen == (2.0, 1.0, 3.0)
    assert seen.spread == 1.0
    assert math.isnan(summary([math.nan]).median)


def test_paired_difference_sees_a_small_shift_under_large_common_noise() -> None:
    rng = random.Random(3)
    direct = [rng.lognormvariate(0, 1) for _ in range(1000)]
    through = [value + 0.1 + rng.gauss(0, 0.01) for value in direct]
    seen = paired_difference(direct, through)
    assert seen.low <= 0.1 <= seen.high
    assert seen.high - seen.low < 0.01


def test_paired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(200):
        rng = random.Random(trial)
        differences = [rng.gauss(0, 1) for _ in range(60)]
        seen = paired_difference([0.0] * 60, differences, resamples=200, seed=trial)
        covered += seen.low <= 0 <= seen.high
    assert 180 <= covered <= 199


def test_paired_difference_needs_whole_pairs() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        paired_difference([1.0, 2.0], [1.0])


def test_paired_difference_of_no_pairs_is_not_a_number() -> None:
    assert math.isnan(paired_difference([], []).estimate)


def test_slope_of_a_line_is_its_slope() -> None:
    assert slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) == pytest.approx(2.0)


def test_slope_over_one_moment_is_not_a_number() -> None:
    assert math.isnan(slope([1.0, 1.0], [2.0, 3.0]))
    assert math.isnan(slope([], []))


@given(st.integers(0, 500), st.integers(0, 5))
def test_each_side_goes_first_in_half_of_the_pairs(pairs: int, seed: int) -> None:
    order = pair_order(pairs, seed)
    assert len(order) == pairs
    assert sum(order) == (pairs + 1) // 2


def test_order_of_pairs_is_mixed_and_the_same_for_a_seed() -> None:
    assert pair_order(100, 1) == pair_order(100, 1)
    assert pair_order(100, 1) != pair_order(100, 2)


def test_everybody_is_first_once_in_as_many_rounds() -> None:
    names = ["a", "b", "c"]
    assert [rotated(names, number)[0] for number in range(3)] == names
    assert sorted(rotated(names, 7)) == names
    assert rotated([], 3) == []
