"""How events are framed on the wire, and how a frame is spoilt.

Server-sent events for most; Bedrock has frames of its own, see `bedrock/eventstream.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Framing:
    """One way of framing."""

    broken: bytes
    """An event that is framed well and is not JSON."""
    cut: bytes
    """The beginning of an event."""
    odd: Callable[[Iterable[bytes]], Iterator[bytes]]
    """The same events in every legal shape, cut and joined without regard to where they end."""
    spoilt: Callable[[bytes], bytes]
    """The event with one bit changed, which a checksum would show."""


def odd_events(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Server-sent events in every legal shape."""
    kept = b""
    events = (
        event for piece in pieces for event in piece.replace(b"\r\n", b"\n").split(b"\n\n") if event
    )
    for at, event in enumerate(events):
        kept += _reshape(at, event)
        if at % 3 == 2:  # noqa: PLR2004 - every third leaves with its successor
            continue
        cut = max(1, len(kept) - at * 5 % 11)
        yield kept[:cut]
        kept = kept[cut:]
    if kept:
        yield kept


def _reshape(at: int, event: bytes) -> bytes:
    lead, _, data = event.partition(b"data: ")
    if data == DONE[6:-2]:
        return b"data:%b\r\n\r\n" % data
    match at % 4:
        case 0:
            return b": a comment\r\n\r\n%bdata:%b\r\n\r\n" % (lead.replace(b"\n", b"\r\n"), data)
        case 1:
            return b"%bdata: %b\ndata: %b\n\n" % (lead, data[:1], data[1:])
        case 2:
            # no `id:`, after which OpenAI's own SDK takes any comment for an empty event
            return b"retry: 1000\n%bdata: %b\n: between\n\n" % (lead, data)
        case _:
            return b"%bdata: %b\r\n\r\n" % (lead.replace(b"\n", b"\r\n"), data)


def _spoilt(event: bytes) -> bytes:
    """Without a checksum only broken JSON shows."""
    return event.replace(b"{", b"[", 1)


def server_sent(broken: bytes, cut: bytes) -> Framing:
    """Server-sent events with these two."""
    return Framing(broken, cut, odd_events, _spoilt)


CHAT: Final = server_sent(
    b'data: {"id":"chatcmpl-sim","choices":[{"index":0,"delta":{"content":"\n\n',
    b'data: {"id":"chatcmpl-sim","obj',
)
