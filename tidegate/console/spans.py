"""The time a page is about: one of a few lengths that end now, or from then to then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.money import NANO

RANGES: Final[Mapping[str, int]] = {
    "15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000,
}  # fmt: skip
"""Seconds of each; as they stand in the URL."""
_STEPS_S: Final = (15, 60, 300, 900, 3_600, 10_800, 21_600, 86_400)
_LAST_S: Final = 7_258_118_400  # 2200


@dataclass(frozen=True, slots=True)
class Span:
    """From `since_ns` until before `until_ns`; `name` is its length's, if it ends now."""

    name: str | None
    since_ns: int
    until_ns: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return max(1, (self.until_ns - self.since_ns) // NANO)

    def step_s(self, most: int) -> int:
        """The shortest round step that cuts it into at most `most` pieces."""
        return next((each for each in _STEPS_S if self.seconds <= each * most), _STEPS_S[-1])


def span_of(query: Mapping[str, str], now_ns: int, usual: str = "1h") -> Span:
    """What `range`, or `from` and `to` in Unix seconds, say in a URL; what is no time is `usual`.

    Links that lead to a moment in the past say `from` and `to`.
    """
    since_s, until_s = _second(query.get("from")), _second(query.get("to"))
    if since_s is not None:
        until_s = now_ns // NANO if until_s is None else until_s
        if since_s < until_s:
            return Span(None, since_s * NANO, until_s * NANO)
    name = query.get("range", usual)
    if name not in RANGES:
        name = usual
    return Span(name, now_ns - RANGES[name] * NANO, now_ns)


def _second(said: str | None) -> int | None:
    if said is None or not said.isascii() or not said.isdigit() or len(said) > len(str(_LAST_S)):
        return None
    return min(int(said), _LAST_S)
