"""A record as one line of the list."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from tidegate.store.search import Hit
from tidegate.store.sums import FINE

_LIMITED: Final = 429
_KINDS: Final = {"ok": "good", "client_gone": ""}


class Line(Struct):
    """The fields are those of `Record`, as far as a list shows them."""

    request_id: str
    started_ns: int
    outcome: str = "ok"
    status: int = 0
    alias: str | None = None
    model: str | None = None
    target: str | None = None
    key: str | None = None
    user: str | None = None
    team: str | None = None
    feature: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    cost_nanousd: int | None = None
    error: str | None = None
    attempts: list[Any] = []
    degraded: str | None = None
    downgraded: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.outcome not in FINE

    @property
    def tone(self) -> str:
        """How grave its outcome is."""
        return tone_of(self.outcome, self.status)


_lines = msgspec.msgpack.Decoder(Line)


def line_of(hit: Hit) -> Line | None:
    """The line of a record; None of one that cannot be read."""
    try:
        return _lines.decode(hit.payload)
    except msgspec.DecodeError:
        return None


def tone_of(outcome: str, status: int) -> str:
    """How grave an outcome is: what we limit on purpose is no failure of ours."""
    if outcome in _KINDS:
        return _KINDS[outcome]
    return "warn" if status == _LIMITED else "bad"
