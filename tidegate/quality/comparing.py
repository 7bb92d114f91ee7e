"""Tests of whether two sets of answers are alike: pure functions of counts.

Each test says how likely a difference as large is by chance alone; each effect how large the
difference is, whatever the number of answers. Only both together are worth a word: with enough
answers every difference is beyond chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

Counts = Mapping[int, int]

_FEW: Final = 5.0
"""Expected counts below which the normal approximation is no good. Source: Cochran (1954)."""
_TERMS, _TINY = 200, 1e-12
_SIGMA: Final = 1.4826
"""Standard deviations in a median absolute deviation, of normal values."""


def proportions(hits: int, of: int, hits_before: int, of_before: int) -> float:
    """Two-sided p that two shares are the same.

    By the pooled z test; where an expected count is below five, by twice the smaller tail of
    Fisher's exact test. Source: NIST/SEMATECH e-Handbook of Statistical Methods, 7.3.3; Fisher
    (1935), The Design of Experiments.
    """
    if not of or not of_before:
        return 1.0
    all_hits, everything = hits + hits_before, of + of_before
    pooled = all_hits / everything
    if min(of, of_before) * min(pooled, 1.0 - pooled) < _FEW:
        return _fisher(hits, of, all_hits, everything)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / of + 1.0 / of_before))
    z = (hits / of - hits_before / of_before) / error
    return math.erfc(abs(z) / math.sqrt(2.0))


def cohens_h(share: float, before: float) -> float:
    """How far two shares are apart: 0.2 is small, 0.5 medium, 0.8 large.

    Source: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 6.
    """
    return abs(2.0 * math.asin(math.sqrt(share)) - 2.0 * math.asin(math.sqrt(before)))


def kolmogorov_smirnov(counts: Counts, before: Counts) -> tuple[float, float]:
    """The greatest distance of two cumulative distributions, and how likely it is by chance.

    Of values in bins the test is conservative. Source: Stephens (1970), as in Press et al.,
    Numerical Recipes, 14.3.3.
    """
    n, m = sum(counts.values()), sum(before.values())
    if not n or not m:
        return 0.0, 1.0
    distance = up = up_before = 0.0
    for number in sorted({*counts, *before}):
        up += counts.get(number, 0) / n
        up_before += before.get(number, 0) / m
        distance = max(distance, abs(up - up_before))
    root = math.sqrt(n * m / (n + m))
    return distance, kolmogorov((root + 0.12 + 0.11 / root) * distance)


def kolmogorov(x: float) -> float:
    """The chance that the limit of the test's statistic is above `x`."""
    if x < 0.2:  # noqa: PLR2004  where it is 1 but for twelve decimals
        return 1.0
    total, sign = 0.0, 2.0
    for term in range(1, _TERMS):
        part = math.exp(-2.0 * (term * x) ** 2)
        total += sign * part
        if part < _TINY:
            break
        sign = -sign
    return min(1.0, max(0.0, total))


def chi_squared(counts: Counts, before: Counts) -> float:
    """P that two sets fall into kinds alike, by Pearson's test of homogeneity.

    Kinds that are too rare to be expected five times in either are put together.
    """
    n, m = sum(counts.values()), sum(before.values())
    if not n or not m:
        return 1.0
    share = min(n, m) / (n + m)
    kinds, rest = list[tuple[int, int]](), (0, 0)
    for kind in {*counts, *before}:
        pair = counts.get(kind, 0), before.get(kind, 0)
        if sum(pair) * share >= _FEW:
            kinds.append(pair)
        else:
            rest = rest[0] + pair[0], rest[1] + pair[1]
    if any(rest):
        kinds.append(rest)
    if len(kinds) < 2:  # noqa: PLR2004
        return 1.0
    statistic = 0.0
    for pair in kinds:
        for seen, size in zip(pair, (n, m), strict=True):
            expected = sum(pair) * size / (n + m)
            statistic += (seen - expected) ** 2 / expected
    return chi_squared_above(statistic, len(kinds) - 1)


def chi_squared_above(statistic: float, freedom: int) -> float:
    """The chance that chi-squared of so many degrees of freedom is above `statistic`.

    By its finite sums. Source: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    if statistic <= 0.0:
        return 1.0
    half = statistic / 2.0
    if freedom % 2:
        total = math.erfc(math.sqrt(half))
        term = math.exp(-half) * math.sqrt(half) / math.gamma(1.5)
        first = 3
    else:
        total, term, first = 0.0, math.exp(-half), 2
    for step in range(first, freedom + 1, 2):
        total += term
        term *= half / (step / 2.0)
    return min(1.0, total)


def total_variation(counts: Counts, before: Counts) -> float:
    """The share of answers that would have to be of another kind for both to be alike."""
    n, m = sum(counts.values()), sum(before.values())
    if not n or not m:
        return 0.0
    kinds = {*counts, *before}
    return sum(abs(counts.get(kind, 0) / n - before.get(kind, 0) / m) for kind in kinds) / 2.0


def jensen_shannon(counts: Counts, before: Counts) -> float:
    """How unlike two distributions are, in bits: 0 of equal ones, 1 of disjoint ones.

    Source: Lin (1991), Divergence Measures Based on the Shannon Entropy.
    """
    n, m = sum(counts.values()), sum(before.values())
    if not n or not m:
        return 0.0
    total = 0.0
    for kind in {*counts, *before}:
        p, q = counts.get(kind, 0) / n, before.get(kind, 0) / m
        middle = (p + q) / 2.0
        total += sum(part * math.log2(part / middle) for part in (p, q) if part) / 2.0
    return max(0.0, total)


def robust_z(value: float, usual: Sequence[float], least_spread: float) -> float:
    """How many deviations `value` is above the median of `usual`, outliers among them or not.

    Source: Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers: the modified z score.
    """
    middle = median(usual)
    spread = median(abs(each - middle) for each in usual)
    return (value - middle) / max(_SIGMA * spread, least_spread)


def discoveries(chances: Sequence[float], rate: float) -> list[bool]:
    """Which of many tests to believe, so that at most `rate` of the believed ones are chance.

    Source: Benjamini and Hochberg (1995), Controlling the False Discovery Rate.
    """
    ordered = sorted(chances)
    highest = -1.0
    for rank, chance in enumerate(ordered, 1):
        if chance <= rate * rank / len(ordered):
            highest = chance
    return [chance <= highest for chance in chances]


def added(many: Iterable[Counts]) -> dict[int, int]:
    """All counts together."""
    total: dict[int, int] = {}
    for counts in many:
        for kind, count in counts.items():
            total[kind] = total.get(kind, 0) + count
    return total


def _fisher(hits: int, of: int, all_hits: int, everything: int) -> float:
    """Twice the smaller tail of the hypergeometric distribution, at most 1."""
    least, most = max(0, of + all_hits - everything), min(of, all_hits)
    whole = _choose(everything, of)

    def chance(count: int) -> float:
        ways = _choose(all_hits, count) + _choose(everything - all_hits, of - count)
        return math.exp(ways - whole)

    # The smaller tail is the one away from what is expected; its terms fall fast.
    step = 1 if hits * everything >= of * all_hits else -1
    tail = 0.0
    for count in range(hits, (most if step > 0 else least) + step, step):
        part = chance(count)
        tail += part
        if part < _TINY * tail:
            break
    return min(1.0, 2.0 * tail)


def _choose(of: int, count: int) -> float:
    """The logarithm of the number of ways."""
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
