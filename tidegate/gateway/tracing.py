"""What providers are told of a request's place in a trace: `traceparent`, for each try.

Where traces are sent, a try is a span of its own, and the provider's spans become its children: its
id is made from the request's id, so it is known before the record is written. Where none are sent,
the caller's own place is passed on as it came, for no span of ours would ever join the two.

Source: W3C Trace Context, sections 3.2 and 3.3: `tracestate` goes with `traceparent`, several of it
are one list, and what is too long may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tidegate.telemetry.record import Record
from tidegate.telemetry.spans import sampled, span_id, trace_id

STATE: Final = b"tracestate"
STATE_BYTES: Final = 2_048
HEADERS: Final = frozenset({b"traceparent", STATE})
_SPAN, _FLAGS = 36, 52
"""Where the span's id begins and ends in a `traceparent`."""
_STATE: Final = re.compile(rb"[\x20-\x7e\t]+")


class Tracing(Struct, frozen=True):
    """Who is told, and whether traces are sent."""

    providers: frozenset[str] = frozenset()
    """By name."""
    share: float | None = None
    """The share of traces that are sent; None where none is."""

    def lines(self, headers: Iterable[tuple[bytes, bytes]], record: Record, number: int) -> bytes:
        """Header lines for the try `number` of `record`; empty where there is nothing to say.

        `headers` are the caller's.
        """
        given = record.trace_parent
        if self.share is not None:
            span = span_id(record.request_id, f"attempt {number}").hex()
            if given is not None:
                parent = f"{given[:_SPAN]}{span}{given[_FLAGS:]}"
            else:
                trace = trace_id(record.request_id, None)
                flags = "01" if sampled(trace, self.share) else "00"
                parent = f"00-{trace.hex()}-{span}-{flags}"
        elif given is not None:
            parent = given
        else:
            return b""
        lines = b"traceparent: %b\r\n" % parent.encode()
        state = b"" if given is None else _state(headers)
        return lines + b"tracestate: %b\r\n" % state if state else lines


def _state(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    state = b",".join(value for name, value in headers if name == STATE and value)
    return state if len(state) <= STATE_BYTES and _STATE.fullmatch(state) else b""
