"""How far a request has got that holds money: told now and then, and forgotten at its end.

It takes the way of the records, through the spool into the store, so that a request whose gateway
was killed can be charged by what it had delivered. The last one told counts.
"""

from __future__ import annotations

import msgspec

_MARK = slice(1, 10), b"\xa8progress"


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="progress"):
    """Fields are only ever added at the end."""

    request_id: str
    output_tokens: int
    """Delivered so far, about."""
    nanousd: int
    """What it would cost if that were all: input and all earlier tries included."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Progress)


def encode(progress: Progress) -> bytes:
    """`progress` as msgpack, a payload of the spool."""
    return _encoder.encode(progress)


def decode(payload: bytes) -> Progress:
    """What `encode` wrote. Raises: `msgspec.DecodeError`."""
    return _decoder.decode(payload)


def is_progress(payload: bytes) -> bool:
    """Whether a payload of the spool is one of these, and not a record."""
    place, mark = _MARK
    return payload[place] == mark
