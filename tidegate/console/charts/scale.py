"""Where axes have their marks: round numbers, and round moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

_TIME_STEPS_S: Final = (
    15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
    2 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400,
)  # fmt: skip
_ROUND: Final = (1, 2, 2.5, 5, 10)
_DAY_S, _MINUTE_S = 86_400, 60
_LEAST: Final = 1e-9
"""What is less is nothing."""


def marks(top: float, most: int = 4, *, whole: bool = False) -> list[float]:
    """Round numbers from 0 to at least `top`, at most `most` steps; 0 and 1 if `top` is nothing."""
    if not math.isfinite(top) or top < _LEAST:
        return [0.0, 1.0]
    rough = top / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in _ROUND if each * power >= rough * (1 - 1e-9))
    if whole:
        step = float(max(1, math.ceil(step)))
    return [step * number for number in range(max(1, math.ceil(top / step - 1e-6)) + 1)]


def moments(since_s: float, until_s: float, most: int = 6) -> list[tuple[float, str]]:
    """Round moments within the time, at most `most`, with what stands below each; in UTC."""
    span_s = max(1.0, until_s - since_s)
    step_s = next((each for each in _TIME_STEPS_S if span_s / each <= most), _TIME_STEPS_S[-1])
    show = _as_shown(step_s, span_s)
    first = float(math.ceil(since_s / step_s) * step_s)
    found = [first + step_s * number for number in range(most + 1)]
    return [(at, show(at)) for at in found if at <= until_s][:most]


def _as_shown(step_s: int, span_s: float) -> Callable[[float], str]:
    if step_s >= _DAY_S:
        return lambda at: f"{_at(at).day} {_at(at):%b}"
    if step_s < _MINUTE_S:
        return lambda at: f"{_at(at):%H:%M:%S}"
    if span_s > _DAY_S:
        return lambda at: f"{_at(at):%a %H:%M}"
    return lambda at: f"{_at(at):%H:%M}"


def stamp(at_s: float, step_s: float) -> str:
    """A moment as a table says it, no finer than `step_s`."""
    if step_s >= _DAY_S:
        return f"{_at(at_s):%Y-%m-%d}"
    return f"{_at(at_s):%Y-%m-%d %H:%M}" + (f"{_at(at_s):%S}" if step_s < _MINUTE_S else "")


def _at(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
