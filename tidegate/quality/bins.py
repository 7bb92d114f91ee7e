"""Bins as wide as they are far from zero: lengths and waits of any size in a few whole numbers.

Bin 0 is what is below one, bin `b` from `2^((b-1)/2)` until before `2^(b/2)`: two to a doubling.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

LAST: Final = 48
"""Of whatever is 12 million or more."""

_EDGES: Final = tuple(2.0 ** (number / 2) for number in range(LAST))

Bins = Mapping[int, int]
"""How many values fell into which."""


def bin_of(value: float) -> int:
    """The bin of `value`."""
    return bisect_right(_EDGES, value) if value >= 1.0 else 0  # nor is a number that is none


def edge(number: int) -> float:
    """Where the bin begins."""
    return 0.0 if number <= 0 else _EDGES[number - 1]


def percentile(bins: Bins, share: float) -> float | None:
    """The value that `share` of all are not above, as exactly as bins tell; None of none.

    Within a bin values are taken to be spread evenly by their logarithm.
    """
    total = sum(bins.values())
    if not total:
        return None
    rank, below = share * total, 0
    for number in sorted(bins):
        count = bins[number]
        if count and below + count >= rank:
            if number == 0:
                return 0.0
            return edge(number) * 2.0 ** (0.5 * (rank - below) / count)
        below += count
    return edge(LAST)
