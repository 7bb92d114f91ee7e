"""How it stands with the objectives of aliases: counted from the roll-ups.

A request is bad for `availability` if it failed or was lost; refusals by limits, mistakes of
callers and callers that left are not in it at all. For `latency` only answered requests count, and
those are bad that had their first content later than promised, as it was promised when they were
loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tidegate.alerts.objectives import ALL_WINDOWS_S, HOUR_S, Burn, Events, Objective, Slo
from tidegate.control.brief import Brief
from tidegate.store.database import Database
from tidegate.store.ended import Ended, ended
from tidegate.telemetry.record import Record

SLOS: Final[tuple[Slo, ...]] = ("availability", "latency")
BAD: Final = frozenset({"failed", "lost"})
"""Classes of outcomes that are bad for availability; besides them only `ok` counts."""
_SECOND_NS: Final = 10**9
_MINUTE_NS: Final = 60 * _SECOND_NS
_SOON_NS, _LATER_NS = 10 * _SECOND_NS, _MINUTE_NS
_MS: Final = 1_000.0

_Counts = Mapping[tuple[str, str], Ended]


def is_slow(record: Brief | Record, under_s: float) -> bool:
    """Whether an answered request had its first content, or its end, later than `under_s`."""
    wait_ms = record.duration_ms if record.ttft_ms is None else record.ttft_ms
    return record.outcome == "ok" and wait_ms > under_s * _MS


class Burns:
    """Asks the store no more often than is worth it; one thread at a time."""

    def __init__(
        self, database: Database, objectives: Callable[[], Mapping[str, Objective]]
    ) -> None:
        self._database = database
        self._objectives = objectives
        self._counts: dict[float, tuple[int, _Counts]] = {}
        self._known: Mapping[str, Objective] = {}
        self._bad, self._bad_ns = 0, 0

    def look(self, now_ns: int) -> dict[tuple[str, Slo], Burn]:
        """How each objective stands, by alias. Raises: `SQLAlchemyError`."""
        objectives = self._objectives()
        if objectives != self._known:
            self._known, self._counts = objectives, {}
        if objectives:
            self._look_for_bad(now_ns)
        return {
            (alias, slo): self._burn(alias, slo, share, objective.window_s, now_ns)
            for alias, objective in objectives.items()
            for slo in SLOS
            if (share := objective.of(slo)) is not None
        }

    def _burn(self, alias: str, slo: Slo, share: float, window_s: float, now_ns: int) -> Burn:
        return Burn(
            objective=share,
            window_s=window_s,
            whole=_events(self._in(window_s, now_ns), alias, slo),
            windows={each: _events(self._in(each, now_ns), alias, slo) for each in ALL_WINDOWS_S},
        )

    def _in(self, window_s: float, now_ns: int) -> _Counts:
        at_ns, counts = self._counts.get(window_s, (0, {}))
        # Long windows change slowly, unless something goes wrong just now.
        soon = window_s <= HOUR_S or self._bad_ns > at_ns
        if now_ns - at_ns >= (_SOON_NS if soon else _LATER_NS):
            since_ns = now_ns - round(window_s * _SECOND_NS)
            counts = ended(self._database, self._known.keys(), since_ns, now_ns + _MINUTE_NS)
            self._counts[window_s] = now_ns, counts
        return counts

    def _look_for_bad(self, now_ns: int) -> None:
        counts = self._in(HOUR_S, now_ns)
        bad = sum(each.slow + (of in BAD) * each.requests for (_, of), each in counts.items())
        if bad != self._bad:
            self._bad, self._bad_ns = bad, now_ns


def _events(counts: _Counts, alias: str, slo: Slo) -> Events:
    good = counts.get((alias, "ok"), Ended(0, 0))
    if slo == "latency":
        return Events(good.requests, good.slow)
    bad = sum(counts.get((alias, each), Ended(0, 0)).requests for each in BAD)
    return Events(good.requests + bad, bad)
