"""Bins: every value is in the one whose edges are around it, percentiles are near."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.quality.bins import LAST, bin_of, edge, percentile


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_value_is_between_the_edges_of_its_bin(value: float) -> None:
    number = bin_of(value)
    assert 0 <= number <= LAST
    if value >= 1.0:
        assert edge(number) <= value
        assert number == LAST or value < edge(number + 1)
    else:
        assert number == 0


@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_edge_belongs_to_the_bin_that_it_begins(number: int) -> None:
    assert bin_of(edge(number)) == number
    assert bin_of(math.nextafter(edge(number), 0.0)) == number - 1


def test_percentiles_of_bins_are_within_a_bin_of_those_of_the_values() -> None:
    draw = random.Random(7)
    values = sorted(round(draw.lognormvariate(5.5, 1.2)) for _ in range(10_000))
    bins: dict[int, int] = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    for share in (0.1, 0.5, 0.9, 0.99):
        exact, told = values[int(share * len(values))], percentile(bins, share)
        assert told is not None
        assert 1 / math.sqrt(2) <= told / exact <= math.sqrt(2)
        assert told / exact == pytest.approx(1.0, abs=0.05)


def test_percentile_of_nothing_is_not_known_and_of_zeros_is_zero() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({0: 3}, 0.5) == 0.0
