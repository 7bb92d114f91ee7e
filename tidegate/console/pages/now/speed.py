"""How fast the last hour was: percentiles of some requests of each minute.

Minutes that are over are looked at once, so a page that keeps itself fresh costs little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from threading import Lock
from typing import Final

import msgspec
from msgspec import Struct

from tidegate.store.minutes import MinuteStore

OF_MINUTE: Final = 150
"""Requests that are looked at of each minute."""
_MINUTE_S: Final = 60
_OVER_S: Final = 300
"""How long after its beginning a minute's records may still come in."""
_FRESH_S: Final = 2
_MOST: Final = 90


class Told(Struct):
    """What matters of a record."""

    outcome: str = "ok"
    ttft_ms: float | None = None
    duration_ms: float = 0.0


class Speed(Struct, frozen=True):
    """Of one minute, in milliseconds; None where there was nothing to measure."""

    requests: int = 0
    """How many were looked at."""
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    duration_p50: float | None = None
    duration_p99: float | None = None


def speed_of(told: Iterable[Told]) -> Speed:
    """The percentiles of the requests that went well."""
    fine = [each for each in told if each.outcome == "ok"]
    firsts = sorted(each.ttft_ms for each in fine if each.ttft_ms is not None)
    wholes = sorted(each.duration_ms for each in fine)
    return Speed(
        len(fine), rank(firsts, 0.5), rank(firsts, 0.99), rank(wholes, 0.5), rank(wholes, 0.99)
    )


def rank(values: list[float], part: float) -> float | None:
    """The value that `part` of the sorted ones do not exceed."""
    return values[max(0, math.ceil(part * len(values)) - 1)] if values else None


class Speeds:
    """What was seen of the last minutes; used by many threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._decoder = msgspec.msgpack.Decoder(Told)
        self._seen: dict[int, tuple[float, list[Told]]] = {}
        """Of each minute: when it was looked at, and what was seen."""

    def look(self, store: MinuteStore, minutes_s: Iterable[int], now_s: float) -> list[list[Told]]:
        """Some requests of each of these minutes. Raises: `SQLAlchemyError`."""
        with self._lock:
            found = [self._minute(store, minute_s, now_s) for minute_s in minutes_s]
            for old in sorted(self._seen)[:-_MOST]:
                del self._seen[old]
        return found

    def _minute(self, store: MinuteStore, minute_s: int, now_s: float) -> list[Told]:
        looked_s, told = self._seen.get(minute_s, (0.0, list[Told]()))
        over = looked_s >= minute_s + _OVER_S
        if over or now_s - looked_s < _FRESH_S:
            return told
        payloads = store.sample(minute_s, minute_s + _MINUTE_S, OF_MINUTE)
        told = [self._decoder.decode(each) for each in payloads]
        self._seen[minute_s] = now_s, told
        return told
