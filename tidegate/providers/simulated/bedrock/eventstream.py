"""Amazon's event stream: binary frames with two checksums.

    4 bytes   length of the whole frame
    4 bytes   length of the headers
    4 bytes   CRC-32 of these eight
    headers   each: length of the name (1), name, type (1), length of the value (2), value
    payload   JSON
    4 bytes   CRC-32 of everything before

Source: the AWS SDKs' documentation of `application/vnd.amazon.eventstream`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from typing import Final
from zlib import crc32

from tidegate.providers.simulated.framing import Framing

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
_PRELUDE: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_STRING: Final = 7
_OVERHEAD_BYTES: Final = 16
_ODD_BYTES: Final = (1, 11, 3, 64, 7)


def headers(values: Mapping[str, str]) -> bytes:
    """Headers as a frame holds them; all are strings."""
    said = b""
    for name, value in values.items():
        encoded = value.encode()
        said += struct.pack(">B", len(name)) + name.encode()
        said += struct.pack(">BH", _STRING, len(encoded)) + encoded
    return said


def frame(head: bytes, payload: bytes) -> bytes:
    """One frame: `head` is what `headers` made."""
    prelude = _PRELUDE.pack(len(head) + len(payload) + _OVERHEAD_BYTES, len(head))
    body = b"%b%b%b%b" % (prelude, _CRC.pack(crc32(prelude)), head, payload)
    return body + _CRC.pack(crc32(body))


def event(kind: str) -> bytes:
    """The headers of an event of this kind."""
    return headers(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    )


def exception(kind: str) -> bytes:
    """The headers of an exception in the middle of a stream."""
    return headers(
        {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    )


def _odd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Frames cut and joined without regard to where they end."""
    whole = b"".join(pieces)
    at = 0
    for size in cycle(_ODD_BYTES):
        if at >= len(whole):
            return
        yield whole[at : at + size]
        at += size


def _spoilt(piece: bytes) -> bytes:
    """The last frame of `piece` with one bit of its payload changed."""
    changed = bytearray(piece)
    changed[-_CRC.size - 1] ^= 1
    return bytes(changed)


_DELTA: Final = event("contentBlockDelta")
FRAMING: Final = Framing(
    broken=frame(_DELTA, b'{"contentBlockIndex":0,"delta":{"te'),
    cut=frame(_DELTA, b'{"contentBlockIndex":0,"delta":{"text":"lost"}}')[:40],
    odd=_odd,
    spoilt=_spoilt,
)
