"""How fast a target may be asked, as the provider's own headers tell what is left: pure.

While more than a fifth of an allowance is left nothing is held back. Below it, requests are spread
over the time until it is whole again, so that it does not run dry:

    pace = remaining / each / reset_s

For an allowance that is refilled all at once this is the exact pace. One that is refilled steadily
(a token bucket, as OpenAI and Anthropic have it) gets less than it could bear, fills up, and is
held back no more; on average it is used as fast as it is refilled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

PLENTY = 0.2
"""The share of an allowance above which nothing is held back."""
FEW = 10.0
"""The number of requests that is plenty, where it is not known how much the whole is."""
PROBE_S = 5.0
"""Nothing left: one request in that time finds out whether it is still so."""


class Allowance(Struct, frozen=True):
    """What is left of one kind of allowance, and how much of it one request usually takes."""

    remaining: float
    reset_s: float
    """Seconds until it is whole again."""
    limit: float | None = None
    each: float = 1.0
    """1 for requests; for tokens what a request of this target took lately."""


class Pace(Struct, frozen=True):
    """At most so many requests a second, for so long unless something newer is heard."""

    per_s: float
    lasts_s: float


def pace_of(allowances: Iterable[Allowance]) -> Pace | None:
    """The slowest pace that one of `allowances` asks for; None while there is plenty of all."""
    slowest: Pace | None = None
    for each in allowances:
        left = each.remaining / max(each.each, 1e-9)
        whole = FEW / PLENTY if each.limit is None else each.limit / max(each.each, 1e-9)
        if each.reset_s <= 0.0 or left > PLENTY * whole:
            continue
        per_s = max(left / each.reset_s, 1.0 / max(min(each.reset_s, PROBE_S), 1e-3))
        if slowest is None or per_s < slowest.per_s:
            slowest = Pace(per_s, each.reset_s)
    return slowest if slowest is not None and math.isfinite(slowest.per_s) else None
