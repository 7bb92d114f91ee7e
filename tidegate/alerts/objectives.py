"""Service level objectives of an alias, and how fast their error budgets are used up.

An error budget is the share of requests that an objective allows to be bad, over its window. The
burn rate is how many times as fast as allowed it is being used: 1 uses all of it by the end of the
window, 14.4 a fiftieth of a window of 30 days in an hour. Source: Google, "The Site Reliability
Workbook", chapter 5, "Alerting on SLOs", table 5-8 (multiwindow, multi-burn-rate alerts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Slo = Literal["availability", "latency"]
HOUR_S: Final = 3_600.0
WINDOWS_S: Final[Mapping[str, tuple[float, float]]] = {
    "slo-fast-burn": (HOUR_S, 300.0),
    "slo-burn": (6 * HOUR_S, 1_800.0),
    "slo-slow-burn": (72 * HOUR_S, 6 * HOUR_S),
}
"""By rule: the long window, and the short one, by which an alert is soon over when its cause is."""
ALL_WINDOWS_S: Final = tuple(sorted({each for both in WINDOWS_S.values() for each in both}))


class Objective(Struct, frozen=True):
    """What is promised of an alias; None is not promised."""

    availability: float | None = None
    """Share of requests that do not fail."""
    latency: float | None = None
    """Share of answered requests that have their first content within `under_s`."""
    under_s: float = 0.0
    window_s: float = 30 * 24 * HOUR_S

    def of(self, slo: Slo) -> float | None:
        """The share that has to be good."""
        return self.availability if slo == "availability" else self.latency


class Events(Struct, frozen=True):
    """What was counted for an objective in a window."""

    requests: int
    bad: int

    def burn(self, objective: float) -> float:
        """How many times as fast as allowed the error budget was used."""
        return self.bad / self.requests / (1.0 - objective) if self.requests else 0.0


class Burn(Struct, frozen=True):
    """How it stands with one objective of an alias."""

    objective: float
    window_s: float
    whole: Events
    """Of the objective's own window."""
    windows: Mapping[float, Events]
    """Of each of `ALL_WINDOWS_S`."""

    @property
    def left(self) -> float:
        """What is left of the error budget: 1.0 is all of it, below 0.0 it is overdrawn."""
        return 1.0 - self.whole.burn(self.objective)
