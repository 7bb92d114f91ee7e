"""The decoder against its reference, botocore's own, and against whoever means it ill."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise
from typing import Any
from uuid import UUID
from zlib import crc32

import botocore.eventstream
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate import errors
from tidegate.net.eventstream import EventStreamDecoder, encode
from tidegate.net.sse import Event

Header = tuple[str, int, bytes]


def pack(headers: list[Header], payload: bytes) -> bytes:
    """Any message: `headers` are name, type and encoded value."""
    block = b"".join(
        bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value
        for name, kind, value in headers
    )
    return frame(block, payload)


def frame(block: bytes, payload: bytes) -> bytes:
    lengths = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack("!I", crc32(lengths)) + block + payload
    return message + struct.pack("!I", crc32(message))


def text(name: str, value: str) -> Header:
    return name, 7, struct.pack("!H", len(value.encode())) + value.encode()


def decode(pieces: list[bytes], limit: int = 1 << 20) -> list[Event]:
    decoder = EventStreamDecoder(limit)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.close()
    return events


def reference(stream: bytes) -> list[dict[str, Any]]:
    buffer: Any = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(stream)
    return [{"headers": message.headers, "payload": message.payload} for message in buffer]


def cut(stream: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(stream) + 1) for point in points), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


names = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
values = st.one_of(
    st.tuples(st.sampled_from((0, 1)), st.just(b"")),
    st.tuples(st.just(2), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just(3), st.binary(min_size=2, max_size=2)),
    st.tuples(st.just(4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.sampled_from((5, 8)), st.binary(min_size=8, max_size=8)),
    st.tuples(
        st.just(6), st.binary(max_size=50).map(lambda value: struct.pack("!H", len(value)) + value)
    ),
    st.tuples(
        st.just(7),
        st.text(max_size=50)
        .map(str.encode)
        .map(lambda value: struct.pack("!H", len(value)) + value),
    ),
    st.tuples(st.just(9), st.uuids().map(lambda value: UUID(str(value)).bytes)),
)
others = st.lists(
    st.tuples(names.filter(lambda name: not name.startswith(":")), values),
    max_size=5,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [(name, kind, value) for name, (kind, value) in pairs])
kinds = st.sampled_from(("event", "exception"))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    kind = draw(kinds)
    headers = [text(":message-type", kind), text(f":{kind}-type", draw(names)), *draw(others)]
    return pack(draw(st.permutations(headers)), draw(st.binary(min_size=1, max_size=300)))


@settings(max_examples=40)
@given(st.lists(messages(), max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_gives_what_the_reference_gives(stream: list[bytes], points: list[int]) -> None:
    whole = b"".join(stream)
    events = decode(cut(whole, points))
    expected = reference(whole)
    assert [event.data for event in events] == [each["payload"] for each in expected]
    for event, each in zip(events, expected, strict=True):
        kind = each["headers"][":message-type"]
        name = each["headers"][f":{kind}-type"]
        assert event.event.decode() == ("!" if kind == "exception" else "") + name
        assert event.raw == b""


@settings(max_examples=40)
@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_a_damaged_byte_is_never_missed(stream: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(stream))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    damaged, intact = 0, 0
    for message in stream:
        damaged += len(message)
        if place < damaged:
            break
        intact += 1
    decoder = EventStreamDecoder()
    seen: list[Event] = []
    with pytest.raises(errors.UpstreamMalformed):  # noqa: PT012 - what came before is counted
        for event in decoder.feed(bytes(whole)):
            seen.append(event)  # noqa: PERF402
    assert len(seen) == intact


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_arbitrary_bytes_end_as_errors_of_ours(stream: bytes, points: list[int]) -> None:
    decoder = EventStreamDecoder()
    try:
        for piece in cut(stream, points):
            for _ in decoder.feed(piece):
                pass
        decoder.close()
    except (errors.UpstreamMalformed, errors.UpstreamCut):
        return
    assert not stream


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_header_blocks_are_refused_where_the_reference_refuses_them(
    block: bytes, payload: bytes
) -> None:
    told = pack([text(":message-type", "event"), text(":event-type", "e")], b"")[12:-4]
    whole = frame(told + block, payload)
    try:
        reference(whole)
        fine = True
    except Exception:  # noqa: BLE001 - the reference trips over its own indices
        fine = False
    try:
        decode([whole])
    except errors.UpstreamMalformed:
        return
    assert fine


@settings(max_examples=40)
@given(messages(), st.integers(1, 1_000))
def test_stream_that_ends_within_a_message_is_cut(message: bytes, end: int) -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.feed(message + message[: end % (len(message) - 1) + 1]))
    with pytest.raises(errors.UpstreamCut):
        decoder.close()


def test_byte_by_byte_an_event_goes_out_with_its_last_byte() -> None:
    message = encode("metadata", b'{"a":1}')
    decoder = EventStreamDecoder()
    for place in range(len(message)):
        events = list(decoder.feed(message[place : place + 1]))
        assert bool(events) == (place == len(message) - 1)


@pytest.mark.parametrize(
    ("total", "headers"),
    [
        (0, 0),
        (15, 0),
        (16, 1),
        (16, 0xFFFF_FFFF),
        (0xFFFF_FFFF, 0),
        (0xFFFF_FFFF, 0xFFFF_FFF0),
        (101, 0),
    ],
)
def test_hostile_lengths_are_refused_before_anything_is_kept_for_them(
    total: int, headers: int
) -> None:
    lengths = struct.pack("!II", total, headers)
    decoder = EventStreamDecoder(max_message_bytes=100)
    with pytest.raises(errors.UpstreamMalformed):
        list(decoder.feed(lengths + struct.pack("!I", crc32(lengths))))


def test_headers_longer_than_any_vendors_are_refused() -> None:
    with pytest.raises(errors.UpstreamMalformed):
        decode([frame(b"\x01a\x00" * 50_000, b"")])


def test_a_stream_that_never_completes_a_message_holds_no_more_than_the_limit() -> None:
    whole = pack([text(":message-type", "event"), text(":event-type", "e")], b"x" * 100_000)
    decoder = EventStreamDecoder(max_message_bytes=len(whole))
    tracemalloc.start()
    for start in range(0, len(whole) - 1, 7):
        assert not list(decoder.feed(whole[start : min(start + 7, len(whole) - 1)]))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3 * len(whole)
    assert [event.data for event in decoder.feed(whole[-1:])] == [b"x" * 100_000]


def test_different_headers_without_end_are_not_all_remembered() -> None:
    decoder = EventStreamDecoder()
    for number in range(1_000):
        assert list(decoder.feed(encode(f"type{number}", b"{}")))
    assert len(decoder._known) <= 64


def test_exceptions_and_errors_always_have_data_and_a_mark() -> None:
    stream = [
        pack([text(":message-type", "exception"), text(":exception-type", "throttling")], b""),
        pack(
            [
                text(":message-type", "error"),
                text(":error-code", "InternalFailure"),
                text(":error-message", 'it "broke"'),
            ],
            b"",
        ),
        pack([text(":message-type", "error")], b""),
    ]
    assert [(event.event, event.data) for event in decode(stream)] == [
        (b"!throttling", b"{}"),
        (b"!InternalFailure", rb'{"message":"it \"broke\""}'),
        (b"!error", b'{"message":""}'),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [text(":message-type", "event")],
        [text(":message-type", "event"), text(":event-type", "")],
        [text(":message-type", "exception"), text(":event-type", "x")],
        [text(":message-type", "other"), text(":event-type", "x")],
        [text(":event-type", "x")],
        [text(":message-type", "event"), text(":event-type", "x"), text(":event-type", "x")],
        [(":message-type", 6, b"\x00\x05event"), text(":event-type", "x")],
    ],
)
def test_a_message_that_does_not_say_what_it_is_is_refused(headers: list[Header]) -> None:
    with pytest.raises(errors.UpstreamMalformed):
        decode([pack(headers, b"{}")])


@settings(max_examples=40)
@given(names, st.binary(max_size=300), kinds)
def test_what_is_encoded_is_what_the_reference_reads(name: str, payload: bytes, kind: Any) -> None:
    message = encode(name, payload, kind)
    assert reference(message) == [
        {
            "headers": {
                f":{kind}-type": name,
                ":content-type": "application/json",
                ":message-type": kind,
            },
            "payload": payload,
        }
    ]
