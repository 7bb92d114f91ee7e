"""Spans as OTLP has them on the wire: protobuf, which every receiver takes.

The few messages are written out here, because they are frozen by OTLP's promise of stability and
need no generated code. OTLP's JSON form would do without this file, but known receivers refuse it.

Source: opentelemetry-proto 1.x, trace/v1/trace.proto, common/v1/common.proto,
collector/trace/v1/trace_service.proto; the Protocol Buffers encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from tidegate import __version__
from tidegate.telemetry.attributes import Value
from tidegate.telemetry.spans import Event, Span

CONTENT_TYPE: Final = "application/x-protobuf"
PATH: Final = "/v1/traces"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WORD: Final = (1 << 64) - 1


class Partial(Struct, frozen=True):
    """What a receiver says of what it took."""

    rejected: int = 0
    why: str = ""


def export_request(spans: Iterable[bytes], service: str) -> bytes:
    """An `ExportTraceServiceRequest`; `spans` come from `encode`."""
    resource: dict[str, Value] = {"service.name": service, "service.version": __version__}
    scope = _text(1, "tidegate") + _text(2, __version__)
    scoped = _field(1, scope) + b"".join(spans)
    return _field(1, _field(1, _attributes(1, resource)) + _field(2, scoped))


def encode(span: Span) -> bytes:
    """`span` as it stands in its request."""
    parts = [
        _field(1, span.trace_id),
        _field(2, span.span_id),
        _field(4, span.parent_id) if span.parent_id else b"",
        _text(5, span.name),
        _number(6, span.kind),
        _fixed64(7, span.start_ns),
        _fixed64(8, span.end_ns),
        _attributes(9, span.attributes),
        *(_field(11, _event(each)) for each in span.events),
    ]
    if span.status:
        parts.append(_field(15, _text(2, span.message) + _number(3, span.status)))
    parts.append(_key(16, _FIXED32) + struct.pack("<I", span.flags))
    return _field(2, b"".join(parts))


def read_answer(body: bytes) -> Partial:
    """What an `ExportTraceServiceResponse` says; nothing where it is none."""
    try:
        partial = dict(_fields(body)).get(1, b"")
        if not isinstance(partial, bytes):
            return Partial()
        said = dict(_fields(partial))
    except (IndexError, ValueError):
        return Partial()
    rejected, why = said.get(1, 0), said.get(2, b"")
    return Partial(
        rejected if isinstance(rejected, int) else 0,
        why.decode(errors="replace") if isinstance(why, bytes) else "",
    )


def _event(event: Event) -> bytes:
    return _fixed64(1, event.at_ns) + _text(2, event.name) + _attributes(3, event.attributes)


def _attributes(number: int, attributes: Mapping[str, Value]) -> bytes:
    return b"".join(
        _field(number, _name(name) + _field(2, _value(value))) for name, value in attributes.items()
    )


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return _text(1, name)


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return _text(1, value)
    if isinstance(value, bool):
        return _number(2, int(value))
    if isinstance(value, int):
        return _number(3, value)
    if isinstance(value, float):
        return _key(4, _FIXED64) + struct.pack("<d", value)
    return _field(5, b"".join(_field(1, _text(1, each)) for each in value))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8", "replace"))


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value & _WORD)


def _fixed64(number: int, value: int) -> bytes:
    return _key(number, _FIXED64) + struct.pack("<Q", value)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    if value < 0x80:  # noqa: PLR2004 - seven bits, as nearly all of them
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes) -> Iterable[tuple[int, int | bytes]]:
    """The fields of a message. Raises: `IndexError`, `ValueError` when it is none."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            length, at = _read_varint(data, at)
        if length is None or at + length > len(data):
            raise ValueError("not a protobuf message")
        yield key >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value & _WORD, at
        shift += 7
        if shift > 63:  # noqa: PLR2004 - no number is longer
            raise ValueError("not a protobuf message")
