"""Recorded exchanges with real providers, read where they are there.

They are not part of this repository: `../shared/data/wire/` beside it holds them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.net.sse import SseDecoder

_WIRE = Path(__file__).parents[3] / "shared" / "data" / "wire" / "recorded_part.jsonl.gz"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, as they were on the wire."""

    name: str
    kind: str
    stream: bool
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: str

    def events(self) -> list[tuple[bytes, bytes]]:
        """Type and data of each event of a streamed answer; comments are left out."""
        decoder = SseDecoder()
        events = [
            (event.event, event.data)
            for event in decoder.feed(self.body.encode() + b"\n\n")
            if event.data
        ]
        decoder.close()
        return events


@cache
def _all() -> tuple[Exchange, ...]:
    with gzip.open(_WIRE) as lines:
        decode = msgspec.json.Decoder(Exchange).decode
        return tuple(decode(line) for line in lines)


def recorded(kind: str, *, stream: bool = False, status: int = 200) -> list[Any]:
    """Test parameters, one for each such exchange; a single skipped one when there are none."""
    if not _WIRE.exists():
        reason = f"{_WIRE} is not there: nothing recorded is replayed"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="nothing-recorded")]
    return [
        pytest.param(each, id=each.name)
        for each in _all()
        if (each.kind, each.stream, each.status) == (kind, stream, status)
    ]
