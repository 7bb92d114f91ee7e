"""Random quantities written as text: `200ms`, `normal:200ms,50ms`, `uniform:100ms..300ms`.

    200ms                  always 200 ms
    normal:200ms,50ms      mean, standard deviation
    uniform:100ms..300ms   least, most
    lognormal:200ms,0.5    median, sigma of the logarithm
    exp:25ms               mean

Times carry a unit (us, ms, s, m; a bare `0` is fine), lengths are tokens and carry none.
A draw is never negative.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m)")
_FORMS = "200ms, normal:200ms,50ms, uniform:100ms..300ms, lognormal:200ms,0.5 or exp:25ms"


@dataclass(frozen=True, slots=True)
class Distribution:
    """One of five shapes and its two parameters, in the order they are written."""

    kind: Literal["constant", "normal", "uniform", "lognormal", "exp"]
    first: float
    second: float = 0.0

    @property
    def constant(self) -> float | None:
        """The value every draw has, or None when draws differ."""
        return self.first if self.kind == "constant" else None

    def draw(self, rng: Random) -> float:
        """One value, at least 0."""
        match self.kind:
            case "constant":
                return self.first
            case "normal":
                return max(0.0, rng.gauss(self.first, self.second))
            case "uniform":
                return rng.uniform(self.first, self.second)
            case "lognormal":
                return rng.lognormvariate(math.log(self.first), self.second)
            case "exp":
                return rng.expovariate(1.0 / self.first)


def duration_s(text: str) -> float:
    """Seconds of `200ms`, `1.5s`, `2m` or `0`; ValueError for anything else."""
    text = text.strip()
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 200ms")
    return float(found[1]) * _UNITS_S[found[2]]


def count(text: str) -> float:
    """A whole number of at least 0; ValueError for anything else."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return float(text)


def delays(text: str) -> Distribution:
    """A distribution of seconds."""
    return _parse(text, duration_s)


def lengths(text: str) -> Distribution:
    """A distribution of tokens."""
    return _parse(text, count)


def _parse(text: str, quantity: Callable[[str], float]) -> Distribution:
    kind, colon, rest = text.strip().partition(":")
    if not colon:
        return Distribution("constant", quantity(kind))
    if kind == "exp":
        return Distribution("exp", _above_zero(text, quantity(rest)))
    if kind == "uniform":
        least, _, most = rest.partition("..")
        low, high = quantity(least), quantity(most)
        if low > high:
            raise ValueError(f"{text!r}: the least is more than the most")
        return Distribution("uniform", low, high)
    middle, _, spread = rest.partition(",")
    if kind == "normal":
        return Distribution("normal", quantity(middle), quantity(spread))
    if kind == "lognormal":
        if not re.fullmatch(r"\s*\d+(\.\d+)?\s*", spread):
            raise ValueError(f"{text!r}: sigma is a number without unit, such as 0.5")
        return Distribution("lognormal", _above_zero(text, quantity(middle)), float(spread))
    raise ValueError(f"{text!r} is not a distribution: write {_FORMS}")


def _above_zero(text: str, value: float) -> float:
    if value <= 0:
        raise ValueError(f"{text!r}: {value:g} must be more than 0 here")
    return value
