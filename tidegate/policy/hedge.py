"""When a second target is asked because the first is slow, and how often that may happen.

`hedge_after_s` decides from what the target's first tokens took lately; `HedgeBudget` bounds the
extra requests and the extra cost, so that a slow hour cannot double either. Source: Dean and
Barroso, "The Tail at Scale" (2013): a second request after the 95th percentile costs about 5 %.
"""

from __future__ import annotations

import math
from array import array

from msgspec import Struct

RING = 256
"""How many first tokens a percentile is taken over."""
SAVED = 10.0
"""Most hedges that quiet times may save up."""
FRESH = 64
"""How many more values make the percentiles of a full ring worth being taken anew."""
_SAMPLES = 20
_ONE = 1.0 - 1e-9
"""One value beyond the percentile; a little less, because 20 · (1 - 0.95) may be."""


class HedgeSettings(Struct, frozen=True):
    """`after_s` is a fixed wait; None stands for the percentile."""

    percentile: float = 0.95
    """Of the target's recent times to first token, between 0 and 1."""
    after_s: float | None = None
    min_s: float = 0.1
    """The shortest wait, whatever the percentile says."""
    max_share: float = 0.05
    """Extra requests, as a share of the target's requests."""
    max_cost_share: float = 0.05
    """Extra cost, as a share of what the target's requests cost."""


class Latencies:
    """The last times to first token of one target, and their percentiles.

    At most `RING` values of 8 bytes. A note is O(1); a full ring is sorted again when `FRESH` more
    values have come, so that many requests share the sorting.
    """

    __slots__ = ("_order", "_values_s", "anew", "count")

    def __init__(self) -> None:
        self.count = 0
        """How many were ever noted."""
        self._values_s = array("d", bytes(8 * RING))
        self._order: list[float] = []
        self.anew = 0
        """The count from which on percentiles may be different ones."""

    def note(self, first_token_s: float) -> None:
        """One more first token took `first_token_s`."""
        self._values_s[self.count % RING] = first_token_s
        self.count += 1

    def percentile_s(self, share: float) -> float | None:
        """The smallest value that `share` of the last ones do not exceed; may lag `FRESH` notes.

        None while there are too few values to tell: 20, or more for the far percentiles.
        """
        if self.count >= self.anew:
            self._order = sorted(self._values_s[: self.count])
            self.anew = self.count + (1 if self.count < RING else FRESH)
        count = len(self._order)
        if count < _SAMPLES or count * (1.0 - share) < _ONE:
            return None
        return self._order[max(0, math.ceil(share * count) - 1)]


def hedge_after_s(settings: HedgeSettings, latencies: Latencies) -> float | None:
    """Seconds without a first token after which a second target is asked; None for never.

    None is the answer while the target's times are too few to know what is slow for it.
    """
    if settings.after_s is not None:
        return max(settings.min_s, settings.after_s)
    value_s = latencies.percentile_s(settings.percentile)
    return None if value_s is None else max(settings.min_s, value_s)


class HedgeBudget:
    """How much hedging the requests of one target have paid for, in requests and nano-dollars.

    Each request adds `max_share` of a hedge, and `max_cost_share` of its cost once that is known; a
    hedge takes one and its expected cost. What is saved is bounded: `SAVED` hedges, and
    as many times the mean cost. Where no price is known, only the requests are bounded.
    """

    __slots__ = ("_cost_nanousd", "_requests", "max_cost_share", "max_share", "mean_nanousd")

    def __init__(self, max_share: float, max_cost_share: float) -> None:
        self.max_share = max_share
        self.max_cost_share = max_cost_share
        self.mean_nanousd = 0.0
        """What a request at this target costs, as a mean that forgets."""
        self._requests = 0.0
        self._cost_nanousd = 0.0

    def deposit(self) -> None:
        """A request is made that is no hedge."""
        if self._requests < SAVED:
            self._requests += self.max_share

    def paid(self, cost_nanousd: int) -> None:
        """An answer has cost `cost_nanousd`."""
        mean = self.mean_nanousd or cost_nanousd
        self.mean_nanousd = mean = 0.9 * mean + 0.1 * cost_nanousd
        if self._cost_nanousd < SAVED * mean:
            self._cost_nanousd += self.max_cost_share * cost_nanousd

    def allows(self, expected_nanousd: float = 0.0) -> bool:
        """Whether one more hedge, expected to cost this, is paid for."""
        return self._requests >= 1.0 and self._cost_nanousd >= expected_nanousd

    def withdraw(self, expected_nanousd: float = 0.0) -> None:
        """A hedge begins, which `allows` has just allowed."""
        self._requests -= 1.0
        self._cost_nanousd -= expected_nanousd

    def correct(self, expected_nanousd: float, cost_nanousd: float) -> None:
        """The hedge that was expected to cost the one has cost the other."""
        self._cost_nanousd += expected_nanousd - cost_nanousd
