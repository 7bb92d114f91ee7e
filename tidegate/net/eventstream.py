"""AWS's event stream out of bytes that may be split anywhere, and into them.

A message is: its length, the length of its headers, a checksum of these two; headers; payload; a
checksum of all that. Lengths are checked before anything is kept for them, so no message makes the
decoder hold more than its limit, and whatever does not add up ends the stream: behind a wrong
length nothing can be found again.

Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, Literal
from zlib import crc32

import msgspec

from tidegate.errors import UpstreamCut, UpstreamMalformed
from tidegate.net.sse import Event

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
FAILED: Final = b"!"
"""Begins the type of an event that is an exception or an error."""

_MAX_HEADER_BYTES: Final = 128 << 10
_MAX_KNOWN: Final = 64
_PRELUDE: Final = Struct("!III")
_CRC: Final = Struct("!I")
_LENGTHS_BYTES: Final = 8
_LEAST_BYTES: Final = _PRELUDE.size + _CRC.size

# The types of header values: true, false, byte, short, integer, long, bytes, string, time, UUID.
_BYTES, _STRING = 6, 7
_VALUE_BYTES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}

_encode_json = msgspec.json.Encoder().encode


class EventStreamDecoder:
    """Feed bytes, get events; one decoder per answer.

    An event has its `:event-type` as type and its payload as data. An exception has `!` before its
    type, so that none passes for an event, and always data. An error, which has only headers, has
    its code as type and `{"message": …}` as data.
    """

    __slots__ = ("_known", "_max_message_bytes", "_pending", "_wanted_bytes")

    def __init__(self, max_message_bytes: int = 4 << 20) -> None:
        self._max_message_bytes = max_message_bytes
        self._pending = bytearray()
        self._wanted_bytes = _PRELUDE.size
        # What headers mean: a stream has few different ones, each many times.
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes; those before a failure come before it is raised.

        Raises:
            UpstreamMalformed: The bytes are no event stream, or a message passes the limit.
        """
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self._wanted_bytes:
                return
            data = bytes(pending)
            pending.clear()
        start, end = 0, len(data)
        self._wanted_bytes = _PRELUDE.size
        while end - start >= _PRELUDE.size:
            total_bytes, headers_bytes, crc = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + _LENGTHS_BYTES]) != crc:
                raise UpstreamMalformed("The upstream's event stream has a wrong checksum.")
            self._check_lengths(total_bytes, headers_bytes)
            if end - start < total_bytes:
                self._wanted_bytes = total_bytes
                break
            yield self._event(data[start : start + total_bytes], headers_bytes, crc)
            start += total_bytes
        if start < end:
            pending += data[start:]

    def close(self) -> None:
        """Say that nothing more will come.

        Raises:
            UpstreamCut: In the middle of a message.
        """
        if self._pending:
            raise UpstreamCut("The upstream's stream ended in the middle of an event.")

    def _check_lengths(self, total_bytes: int, headers_bytes: int) -> None:
        if total_bytes > self._max_message_bytes:
            raise UpstreamMalformed(
                f"An event of the upstream's stream is longer than {self._max_message_bytes} bytes."
            )
        if headers_bytes > min(total_bytes - _LEAST_BYTES, _MAX_HEADER_BYTES):
            raise UpstreamMalformed("The lengths in the upstream's event stream do not fit.")

    def _event(self, message: bytes, headers_bytes: int, crc: int) -> Event:
        """Read one whole message; `crc` is the checksum of its two lengths."""
        payload_at = _PRELUDE.size + headers_bytes
        (told,) = _CRC.unpack_from(message, len(message) - _CRC.size)
        if crc32(message[_LENGTHS_BYTES : -_CRC.size], crc) != told:
            raise UpstreamMalformed("The upstream's event stream has a wrong checksum.")
        headers = message[_PRELUDE.size : payload_at]
        known = self._known.get(headers)
        if known is None:
            known = _meaning(_read_headers(headers))
            if len(self._known) < _MAX_KNOWN:
                self._known[headers] = known
        name, stand_in = known
        return Event(message[payload_at : -_CRC.size] or stand_in, name, b"")


def encode(name: str, payload: bytes, kind: Literal["event", "exception"] = "event") -> bytes:
    """One message: an event of the type `name`, or an exception."""
    headers = b"".join(
        b"%c%b%c%b%b" % (len(key), key, _STRING, len(value).to_bytes(2, "big"), value)
        for key, value in (
            (f":{kind}-type".encode(), name.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", kind.encode()),
        )
    )
    lengths = _PRELUDE.pack(_LEAST_BYTES + len(headers) + len(payload), len(headers), 0)[:-4]
    message = lengths + _CRC.pack(crc32(lengths)) + headers + payload
    return message + _CRC.pack(crc32(message))


def _meaning(headers: dict[str, str]) -> tuple[bytes, bytes]:
    """An event's type, and what stands for its payload where it has none."""
    match headers.get(":message-type"):
        case "event":
            name, stand_in = headers.get(":event-type", ""), b""
        case "exception":
            name, stand_in = headers.get(":exception-type", ""), b"{}"
        case "error":
            name = headers.get(":error-code", "") or "error"
            stand_in = _encode_json({"message": headers.get(":error-message", "")})
        case _:
            raise UpstreamMalformed("The upstream's event stream holds a message of no known type.")
    if not name:
        raise UpstreamMalformed("The upstream's event stream holds a message without its type.")
    return (FAILED if stand_in else b"") + name.encode(), stand_in


def _read_headers(data: bytes) -> dict[str, str]:
    """The headers that are text; the others are checked and left out.

    Raises: `UpstreamMalformed`.
    """
    texts: dict[str, str] = {}
    names: set[str] = set()
    at, end = 0, len(data)
    try:
        while at < end:
            name_end = at + 1 + data[at]
            name = data[at + 1 : name_end].decode()
            kind = data[name_end]
            at = name_end + 1
            if kind in (_BYTES, _STRING):
                value_at = at + 2
                at = value_at + int.from_bytes(data[at:value_at], "big")
                if kind == _STRING:
                    texts[name] = data[value_at:at].decode()
            else:
                at += _VALUE_BYTES[kind]
            if name in names:
                raise UpstreamMalformed("A header in the upstream's event stream is there twice.")
            names.add(name)
    except (IndexError, KeyError, UnicodeDecodeError):
        at = -1
    if at != end:
        raise UpstreamMalformed("The headers in the upstream's event stream cannot be read.")
    return texts
