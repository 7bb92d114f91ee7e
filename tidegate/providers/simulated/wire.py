"""How a reply becomes bytes, and how the faults spoil them.

A `Wire` is pieces of bytes, the pause before each, and how it ends. Everything here is lazy: a
piece is made when it is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from itertools import chain, islice, repeat
from typing import Final

from tidegate.providers.simulated.faults import Faults
from tidegate.providers.simulated.reply import Reply, Request

NOT_HTTP: Final = b"SSH-2.0-Tide_1.0\r\n\x00\x01\xfe\xff not what you wanted\r\n"
_SEGMENT_S: Final = 0.001  # below this, pieces would leave in one TCP segment
_BODYLESS: Final = (204, 304)


class Ending(Enum):
    """What happens after the last piece."""

    DONE = auto()  # the answer is over; the connection serves on if it may
    CLOSE = auto()
    RESET = auto()
    HANG = auto()  # nothing, until the other side leaves


_SILENCES: Final = (
    ("hang", b"", Ending.HANG),
    ("reset", b"", Ending.RESET),
    ("not-http", NOT_HTTP, Ending.CLOSE),
)
_BREAKS: Final = (
    ("cut", Ending.CLOSE),
    ("reset-after", Ending.RESET),
    ("hang-after-first", Ending.HANG),
)
SILENT: Final = tuple(name for name, _, _ in _SILENCES)
"""Faults after which there is no HTTP answer at all."""


@dataclass(slots=True)
class Wire:
    """What to send: each piece after its delay, `head` with the first, `last` when none is left.

    `complete` says that the reader gets all of the answer.
    """

    pieces: Iterator[bytes]
    delays: Iterator[float]
    last: bytes = b""
    ending: Ending = Ending.DONE
    complete: bool = True
    head: bytes = b""


def whole(reply: Reply, request: Request) -> bytes:
    """Head and body of a reply that needs no time and has no faults."""
    if reply.status in _BODYLESS:
        return _head(reply, request, b"")
    return _head(reply, request, b"content-length: %d\r\n" % len(reply.body)) + reply.body


def put_on_wire(reply: Reply, request: Request) -> Wire:
    """The reply with its faults, in time."""
    faults = reply.faults
    first_s = next(reply.delays) if reply.events is not None else reply.wait_s
    for name, said, ending in _SILENCES:
        if name in faults:
            delays = chain((first_s,), repeat(0.0))
            return Wire(iter(()), delays, said, ending, complete=False)
    reply.delays = chain((first_s,), reply.delays)
    if (kind := faults.text("wrong-content-type")) is not None:
        reply.content_type = kind.encode()
    if reply.events is not None:
        framing, wire = _stream(reply, reply.events, request)
    else:
        framing, wire = _body(reply, request)
    if wire.ending is Ending.DONE and not request.keeps_alive:
        wire.ending = Ending.CLOSE
    _lead_with(_head(reply, request, framing), wire, faults)
    return wire


def _head(reply: Reply, request: Request, framing: bytes) -> bytes:
    interim, status = b"", reply.status
    if status < HTTPStatus.OK:
        interim, status = b"HTTP/1.1 %d %b\r\n\r\n" % (status, _phrase(status)), 200
    return b"%bHTTP/1.1 %d %b\r\ncontent-type: %b\r\n%b%b%b\r\n" % (
        interim,
        status,
        _phrase(status),
        reply.content_type,
        reply.headers,
        framing,
        b"" if request.keeps_alive else b"connection: close\r\n",
    )


_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def _phrase(status: int) -> bytes:
    return _PHRASES.get(status, b"Simulated")


def _stream(reply: Reply, events: Iterator[bytes], request: Request) -> tuple[bytes, Wire]:
    tail, ending, complete, cut = reply.tail, Ending.DONE, True, b""
    if reply.faults:
        events, tail, ending, complete, cut = _spoil(reply, events)
    if not request.chunks_allowed:
        request.keeps_alive = False
        return b"", Wire(events, reply.delays, tail + cut, ending, complete)
    last = b"%x\r\n%b\r\n" % (len(tail), tail) if tail else b""
    if ending is Ending.DONE:
        last += b"0\r\n\r\n"
    if cut:
        last = b"%x\r\n%b" % (len(cut) * 8, cut)
    wire = Wire(_chunks(events), reply.delays, last, ending, complete)
    return b"transfer-encoding: chunked\r\n", wire


_Spoilt = tuple[Iterator[bytes], bytes, Ending, bool, bytes]


def _spoil(reply: Reply, events: Iterator[bytes]) -> _Spoilt:
    """Events, tail, ending, completeness and what is cut, as the faults want them."""
    faults, framing = reply.faults, reply.framing
    tail, ending, complete, cut = reply.tail, Ending.DONE, True, b""
    if "malformed-json" in faults:
        events = chain(islice(events, 1), (framing.broken,), events)
    if "corrupt" in faults:
        events = chain(islice(events, 1), map(framing.spoilt, islice(events, 1)), events)
    if "odd-framing" in faults:
        events, tail = framing.odd(chain(events, (tail,))), b""
        reply.delays = map(max, reply.delays, repeat(_SEGMENT_S))
    if (after := faults.number("error-event")) is not None:
        # made when it is due: what it says depends on what was said before
        events = chain(islice(events, after), (reply.trouble() for _ in range(1)))
        tail, complete = b"", False
    for name, how in (("truncate", Ending.DONE), *_BREAKS):
        if name in faults:
            after = faults.number(name)
            events = islice(events, 1 if after is None else after)
            tail, ending, complete = b"", how, False
            cut = framing.cut if name == "cut" else b""
    return events, tail, ending, complete, cut


def _chunks(events: Iterable[bytes]) -> Iterator[bytes]:
    for event in events:
        yield b"%x\r\n%b\r\n" % (len(event), event)


def _body(reply: Reply, request: Request) -> tuple[bytes, Wire]:
    faults, body = reply.faults, reply.body
    wire = Wire(iter(()), chain((reply.wait_s,), repeat(0.0)), body)
    if reply.status in _BODYLESS:
        wire.last = b""
        return b"", wire
    half = body[: len(body) // 2]
    if "truncate" in faults and request.chunks_allowed:
        wire.last, wire.complete = b"%x\r\n%b\r\n0\r\n\r\n" % (len(half), half), False
        return b"transfer-encoding: chunked\r\n", wire
    for name, ending in _BREAKS:
        if name in faults:
            wire.last, wire.ending, wire.complete = half, ending, False
            return b"content-length: %d\r\n" % len(body), wire
    if "malformed-json" in faults or "corrupt" in faults:
        wire.last, wire.complete = half, False
    elif "error-event" in faults:
        wire.last, wire.complete = reply.trouble(), False
    elif "odd-framing" in faults:
        wire.last = b"\n\n\r\n" + body  # some providers keep the connection warm with blank lines
    return b"content-length: %d\r\n" % len(wire.last), wire


def _lead_with(head: bytes, wire: Wire, faults: Faults) -> None:
    """Put the head before the pieces, and send by single bytes what is to be sent so."""
    wire.head = head
    if (apart_s := faults.seconds("drip")) is not None:
        wire.pieces = _bytewise(chain(wire.pieces, (wire.last,)))
        wire.last = b""
        wire.delays = chain(islice(wire.delays, 1), repeat(apart_s))
    if (apart_s := faults.seconds("slow-headers")) is not None:
        wire.pieces = chain(_bytewise((head,)), wire.pieces)
        wire.delays = chain(islice(wire.delays, 1), repeat(apart_s, len(head)), wire.delays)
        wire.head = b""
    elif "early-headers" in faults:
        wire.pieces = chain((b"",), wire.pieces)
        wire.delays = chain((0.0,), wire.delays)


def _bytewise(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return (piece[at : at + 1] for piece in pieces for at in range(len(piece)))
