"""Which of the usable replicas is asked: one function for each `balance`, all of them pure.

Each looks at `warm` (the weight for now) and at what is under way; `draw` in [0, 1) is the chance.
`replicas` holds two at least.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from tidegate.providers.replicas.affinity import Key, conversation_key, prefix_key
from tidegate.providers.replicas.replica import Replica
from tidegate.types import Call

Balance = Callable[[Sequence[Replica], Call, float, float], Replica]
"""From the usable replicas, the call, the time in s and a draw to the one that is asked."""

OVERLOAD: Final = 1.25
"""How much more than its part a replica may have under way for the sake of its cache."""

NEVER_OVERLOADED: Final = 4
"""So many at once are no load, whatever the others have: otherwise a quiet service would spread
what belongs together."""

_MASK: Final = (1 << 64) - 1


def weighted(replicas: Sequence[Replica], _call: Call, _now_s: float, draw: float) -> Replica:
    """By chance, each as often as its weight says."""
    bounds = list(accumulate(each.warm for each in replicas))
    return replicas[min(bisect(bounds, draw * bounds[-1]), len(replicas) - 1)]


def least_outstanding(
    replicas: Sequence[Replica], _call: Call, _now_s: float, draw: float
) -> Replica:
    """The one with the fewest requests under way for its weight; among equals by chance."""
    start = int(draw * len(replicas))
    return min(
        (*replicas[start:], *replicas[:start]), key=lambda each: (each.outstanding + 1) / each.warm
    )


def peak_ewma(replicas: Sequence[Replica], _call: Call, now_s: float, draw: float) -> Replica:
    """Of two by chance, the one that would answer sooner.

    The cost of a replica is its latency's peak-sensitive moving average times the requests that
    would be under way. Two choices are nearly as good as knowing the best, and do not send
    everybody to the same one at once.

    Sources: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS
    12(10), 2001); Finagle's `PeakEwma` (twitter.github.io/finagle/guide/Clients.html).
    """
    count = len(replicas)
    scaled = draw * count
    first = min(int(scaled), count - 1)
    second = min(int((scaled - first) * (count - 1)), count - 2)
    one, other = replicas[first], replicas[second + (second >= first)]
    return one if _cost(one, now_s) <= _cost(other, now_s) else other


def _cost(replica: Replica, now_s: float) -> float:
    # One of which nothing is known is worth a try; a second one waits for what the first brings.
    latency_s = replica.latency_s(now_s) or (1.0 if replica.outstanding else 0.0)
    return latency_s * (replica.outstanding + 1) / replica.warm


def sticky(key_of: Key) -> Balance:
    """Calls of one key to the same replica, as long as that is not overloaded by it.

    Weighted rendezvous hashing: each replica draws a number for the key, the highest wins. When a
    replica goes, only its own keys move; when it comes back they return. One that has more than
    `OVERLOAD` times its part under way is passed over for the next.

    Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (IEEE/ACM ToN
    6(1), 1998); Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads"
    (SODA 2018).
    """

    def choose(replicas: Sequence[Replica], call: Call, _now_s: float, draw: float) -> Replica:
        key = key_of(call)
        if key is None:
            key = int(draw * (_MASK + 1))
        total = 1 + sum(each.outstanding for each in replicas)
        fair = OVERLOAD * total / sum(each.warm for each in replicas)
        ranked = sorted(replicas, key=lambda each: -_score(each, key))
        for each in ranked:
            if each.outstanding < max(NEVER_OVERLOADED, math.ceil(fair * each.warm)):
                return each
        return ranked[0]

    return choose


def _score(replica: Replica, key: int) -> float:
    """The replica's number for `key`; the chance that it is the highest goes with its weight."""
    mixed = _mixed(key ^ replica.seed)
    return -replica.warm / math.log(((mixed >> 11) + 0.5) * 2.0**-53)


def _mixed(number: int) -> int:
    """64 bits that look drawn by chance.

    Source: the finalizer of splitmix64 (S. Vigna, prng.di.unimi.it/splitmix64.c).
    """
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31


BALANCES: Final[dict[str, Balance]] = {
    "weighted": weighted,
    "least_outstanding": least_outstanding,
    "peak_ewma": peak_ewma,
    "sticky_conversation": sticky(conversation_key),
    "sticky_prefix": sticky(prefix_key),
}
"""By the word in the configuration."""
