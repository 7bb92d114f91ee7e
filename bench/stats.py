"""The arithmetic of the measurements: percentiles, spread, bootstrap intervals, slopes.

Everything here is a pure function; what is random takes a seed, so a report can be computed again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval."""

    estimate: float
    low: float
    high: float


class Summary(NamedTuple):
    """The median of several rounds and how far they lay apart."""

    median: float
    least: float
    most: float

    @property
    def spread(self) -> float:
        """Range of the rounds as a share of their median; 0 when the median is 0."""
        return (self.most - self.least) / abs(self.median) if self.median else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the sorted or unsorted `values` lie, interpolated.

    NaN for no values: a measurement that did not happen is not a zero.
    """
    if not values:
        return math.nan
    return _of_sorted(sorted(values), percent)


def percentiles(values: Sequence[float], percents: Iterable[float]) -> list[float]:
    """Several percentiles for the price of one sort."""
    ordered = sorted(values)
    return [_of_sorted(ordered, percent) if ordered else math.nan for percent in percents]


def _of_sorted(ordered: Sequence[float], percent: float) -> float:
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def summary(rounds: Sequence[float]) -> Summary:
    """Median, least and most of `rounds`, NaN for none."""
    present = [value for value in rounds if not math.isnan(value)]
    if not present:
        return Summary(math.nan, math.nan, math.nan)
    return Summary(percentile(present, 50), min(present), max(present))


def paired_difference(
    baseline: Sequence[float],
    other: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 1,
) -> Interval:
    """Median of `other[i] - baseline[i]` with its bootstrap percentile interval.

    Pairs are resampled whole. Long series are resampled from their sorted differences through
    order statistics: the median of a resample of size n is the value at a binomial rank, so one
    draw per resample is enough and the interval is the same.
    """
    if len(baseline) != len(other):
        raise ValueError(f"pairs need two equal series, got {len(baseline)} and {len(other)}")
    differences = sorted(b - a for a, b in zip(baseline, other, strict=True))
    count = len(differences)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    estimate = _of_sorted(differences, 50)
    rng = random.Random(seed)
    # The k-th smallest of n uniform ranks is Beta(k, n + 1 - k); its value is read from the data.
    middle = (count + 1) / 2
    medians = sorted(
        differences[min(count - 1, int(rng.betavariate(middle, middle) * count))]
        for _ in range(resamples)
    )
    tail = (1 - confidence) / 2 * 100
    return Interval(estimate, _of_sorted(medians, tail), _of_sorted(medians, 100 - tail))


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least-squares slope of `ys` over `xs`; NaN when `xs` do not differ."""
    if len(xs) != len(ys):
        raise ValueError(f"a slope needs two equal series, got {len(xs)} and {len(ys)}")
    if not xs:
        return math.nan
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    width = sum((x - mean_x) ** 2 for x in xs)
    if width == 0:
        return math.nan
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / width


def pair_order(pairs: int, seed: int = 1) -> list[bool]:
    """For each pair, whether direct goes first: half of them, in random order.

    Whatever the first of a pair pays for the second (warm caches, a woken core) cancels out.
    """
    order = [index % 2 == 0 for index in range(pairs)]
    random.Random(seed).shuffle(order)
    return order


def rotated(items: Sequence[Item], by: int) -> list[Item]:
    """`items` starting elsewhere each round, so that no contender is always first."""
    if not items:
        return []
    start = by % len(items)
    return [*items[start:], *items[:start]]
