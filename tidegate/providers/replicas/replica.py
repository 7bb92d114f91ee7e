"""One of several servers behind a provider: its load, its speed, whether it is fit to be asked.

    usable ──failures in a row──▶ ejected ──time over, probe good──▶ warming ──slow start──▶ usable
       └──────probes failing──────▶ down  ──probe good──────────────────┘

Changed by its `Replicas` alone; every time is given by the caller.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final, Literal

from msgspec import Struct

_DOUBLINGS: Final = 30

COLDEST: Final = 0.1
"""The part of its weight that a warming replica begins with. Source: Envoy's slow start."""

DECAY_S: Final = 10.0
"""How fast old latencies are forgotten. Source: Finagle's `PeakEwma`."""

FAILED_S: Final = 5.0
"""What a failed answer counts as at least: a server that fails at once must not look fast."""


class Health(Struct, frozen=True):
    """When a replica is let out and in. Seconds; `max_ejected` is a share of the replicas."""

    failures: int = 5
    ejection_s: float = 10.0
    longest_ejection_s: float = 300.0
    """Ejections double up to here, as a replica that is repaired must be found again."""
    max_ejected: float = 0.5
    slow_start_s: float = 30.0
    probe: str | None = None
    """Path asked for regularly; None asks nothing."""
    interval_s: float = 5.0
    timeout_s: float = 2.0


class ReplicaState(Struct, frozen=True):
    """A replica for the status board."""

    url: str
    state: Literal["usable", "warming", "ejected", "down"]
    weight: float
    outstanding: int
    latency_s: float
    """Moving average of its answers' first bytes; 0 if none is known."""
    failures: int
    """In a row, until now."""
    times_ejected: int
    returns_s: float
    """Seconds until an ejected replica is tried again."""


class Replica:
    """A server, and how it fares.

    Args:
        url: its base URL.
        pool: connections to it.
        weight: its part of the requests, relative to the others'.
        probe_pool: connections that probes use, whose base is the server's root; `pool` if None.
    """

    __slots__ = (
        "_average_s",
        "_observed_s",
        "back_s",
        "down",
        "ejected_until_s",
        "ejections",
        "failures",
        "failures_of_probes",
        "outstanding",
        "pool",
        "probe_pool",
        "seed",
        "times_ejected",
        "url",
        "warm",
        "weight",
    )

    def __init__(self, url: str, pool: Any, weight: float = 1.0, probe_pool: Any = None) -> None:
        self.url = url
        self.pool = pool
        self.probe_pool = pool if probe_pool is None else probe_pool
        self.weight = weight
        self.warm = weight
        """Its weight for now: less while it starts slowly. Kept by `Replicas`."""
        self.seed = int.from_bytes(hashlib.blake2b(url.encode(), digest_size=8).digest())
        """Tells it from the others when keys are hashed; the same in every process."""
        self.outstanding = 0
        self.failures = 0
        self.failures_of_probes = 0
        self.ejections = 0
        """In a row; a good time as long as the last one ends the row."""
        self.times_ejected = 0
        self.ejected_until_s = -math.inf
        self.down = False
        """Whether probes say so."""
        self.back_s = -math.inf
        """When it was, or will be, let in again: the beginning of its slow start."""
        self._average_s = 0.0
        self._observed_s = -math.inf

    def begin(self) -> None:
        """A request is sent to it; `Replicas.ended` must follow, however that ends."""
        self.outstanding += 1

    def usable(self, now_s: float) -> bool:
        """Whether it is to be asked, if there is a choice."""
        return not self.down and now_s >= self.ejected_until_s

    def warming(self, health: Health, now_s: float) -> bool:
        """Whether it has been let in again only lately."""
        return 0 <= now_s - self.back_s < health.slow_start_s

    def weight_at(self, health: Health, now_s: float) -> float:
        """Its weight at `now_s`: a tenth when it is let in, growing to all of it."""
        if not self.warming(health, now_s):
            return self.weight
        return self.weight * max(COLDEST, (now_s - self.back_s) / health.slow_start_s)

    def latency_s(self, now_s: float) -> float:
        """The moving average, less the longer nothing has been seen of it: it earns another try."""
        if not self._average_s:
            return 0.0
        return self._average_s * math.exp(min(0.0, self._observed_s - now_s) / DECAY_S)

    def observe(self, latency_s: float, now_s: float) -> None:
        """Take one answer into the average: a slower one at once, faster ones bit by bit."""
        if latency_s < self._average_s:
            kept = math.exp(min(0.0, self._observed_s - now_s) / DECAY_S)
            latency_s = self._average_s * kept + latency_s * (1 - kept)
        self._average_s, self._observed_s = latency_s, max(now_s, self._observed_s)

    def eject(self, health: Health, now_s: float) -> None:
        """Let it out, each time in a row for twice as long."""
        if now_s - self.ejected_until_s > self._last_ejection_s(health):
            self.ejections = 0
        self.ejections += 1
        self.times_ejected += 1
        self.failures = 0
        self.ejected_until_s = self.back_s = now_s + self._last_ejection_s(health)

    def let_in(self, now_s: float) -> None:
        """A probe is good again."""
        self.down = False
        self.failures_of_probes = 0
        self.back_s = max(now_s, self.ejected_until_s)

    def state(self, health: Health, now_s: float) -> ReplicaState:
        """What the status board shows."""
        told: Literal["usable", "warming", "ejected", "down"] = "usable"
        if self.down:
            told = "down"
        elif now_s < self.ejected_until_s:
            told = "ejected"
        elif self.warming(health, now_s):
            told = "warming"
        return ReplicaState(
            url=self.url,
            state=told,
            weight=self.weight_at(health, now_s) if told == "warming" else self.weight,
            outstanding=self.outstanding,
            latency_s=self.latency_s(now_s),
            failures=max(self.failures, self.failures_of_probes),
            times_ejected=self.times_ejected,
            returns_s=max(0.0, self.ejected_until_s - now_s),
        )

    def _last_ejection_s(self, health: Health) -> float:
        doublings = min(max(0, self.ejections - 1), _DOUBLINGS)
        return min(health.ejection_s * 2.0**doublings, health.longest_ejection_s)
