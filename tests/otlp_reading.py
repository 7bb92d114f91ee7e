"""Reads OTLP's protobuf by the field numbers of its `.proto` files, without code of ours."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = divmod(key, 8)
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 1:
            value, at = data[at : at + 8], at + 8
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
            assert len(value) == length
        else:
            assert kind == 5
            value, at = data[at : at + 4], at + 4
        yield number, value


def traces(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The resource's attributes, and every span of an `ExportTraceServiceRequest`."""
    [(_, resource_spans)] = fields(body)
    found = list(fields(resource_spans))
    resource = dict(_pair(each) for _, each in fields(dict(found)[1]))
    [scope_spans] = [each for number, each in found if number == 2]
    return resource, [_span(each) for number, each in fields(scope_spans) if number == 2]


def _span(data: bytes) -> dict[str, Any]:
    found = list(fields(data))
    once = dict(found)
    status = dict(fields(once.get(15, b"")))
    return {
        "trace_id": once[1].hex(),
        "span_id": once[2].hex(),
        "parent_id": once.get(4, b"").hex(),
        "name": once[5].decode(),
        "kind": once[6],
        "start_ns": struct.unpack("<Q", once[7])[0],
        "end_ns": struct.unpack("<Q", once[8])[0],
        "attributes": dict(_pair(each) for number, each in found if number == 9),
        "events": [_event(each) for number, each in found if number == 11],
        "status": status.get(3, 0),
        "message": status.get(2, b"").decode(),
        "flags": struct.unpack("<I", once[16])[0],
    }


def _event(data: bytes) -> dict[str, Any]:
    found = list(fields(data))
    once = dict(found)
    return {
        "name": once[2].decode(),
        "at_ns": struct.unpack("<Q", once[1])[0],
        "attributes": dict(_pair(each) for number, each in found if number == 3),
    }


def _pair(data: bytes) -> tuple[str, Any]:
    found = dict(fields(data))
    return found[1].decode(), _value(found[2])


def _value(data: bytes) -> Any:
    [(number, value)] = fields(data)
    if number == 1:
        return value.decode()
    if number == 2:
        return bool(value)
    if number == 3:
        return value - (1 << 64) if value >> 63 else value
    if number == 4:
        return struct.unpack("<d", value)[0]
    assert number == 5
    return [_value(each) for _, each in fields(value)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
