"""Events come out the same however their bytes were cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate import errors
from tidegate.net.sse import Event, SseDecoder

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)


def decode(pieces: list[bytes], max_event_bytes: int = 1 << 20) -> list[Event]:
    decoder = SseDecoder(max_event_bytes)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.close()
    return events


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A stream and the events in it that have data."""
    end = draw(LINE_ENDS)
    stream = draw(st.sampled_from(["", "\ufeff"]))
    expected: list[tuple[bytes, bytes]] = []
    for _ in range(draw(st.integers(1, 5))):
        lines: list[str] = []
        data = draw(st.lists(TEXT.filter(lambda text: not text.startswith(" ")), max_size=3))
        name = draw(st.none() | TEXT.filter(lambda text: not text.startswith(" ")))
        space = draw(st.sampled_from(["", " "]))
        lines += [f"data:{space}{line}" for line in data]
        if name is not None:
            lines.insert(draw(st.integers(0, len(lines))), f"event:{space}{name}")
        for extra in draw(st.lists(st.sampled_from([":", ": hi", "id: 1", "x"]), max_size=2)):
            lines.insert(draw(st.integers(0, len(lines))), extra)
        # Blank lines too many are events of their own, without data.
        stream += "".join(line + end for line in lines) + end * draw(st.integers(1, 3))
        if any(data):
            expected.append(("\n".join(data).encode(), (name or "").encode()))
    return stream.encode(), expected


def cut(stream: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(stream) + 1) for point in points), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=12))
@example((b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"a", b""), (b"b", b"")]), list(range(25)))
def test_any_cut_gives_the_same_events_and_loses_no_byte(
    case: tuple[bytes, list[tuple[bytes, bytes]]], points: list[int]
) -> None:
    stream, expected = case
    events = decode(cut(stream, points))
    assert [(event.data, event.event) for event in events if event.data.strip(b"\n")] == [
        pair for pair in expected if pair[0].strip(b"\n")
    ]
    assert b"".join(event.raw for event in events) == stream


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_arbitrary_bytes_lose_no_byte(stream: bytes, points: list[int]) -> None:
    decoder = SseDecoder()
    raw = b"".join(event.raw for piece in cut(stream, points) for event in decoder.feed(piece))
    assert stream.startswith(raw)
    if raw != stream:
        with pytest.raises(errors.UpstreamCut):
            decoder.close()


def test_event_goes_out_with_its_last_byte() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        decoder = SseDecoder()
        stream = b"data: x" + end + end
        pieces = [stream[n : n + 1] for n in range(len(stream))]
        # A lone CR ends the line; the LF that may follow it is passed on by itself.
        awaited = len(stream) - (end == b"\r\n")
        for number, piece in enumerate(pieces, 1):
            events = decoder.feed(piece)
            assert bool(events) == (number == awaited or number > awaited)


def test_several_events_in_one_piece() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: first\n\n")
    stream = b"data: a\n\nevent: e\ndata: b\ndata: c\n\n: ping\n\n\ndata: [DONE]\n\n"
    events = decoder.feed(stream)
    assert [(event.data, event.event) for event in events if event.data] == [
        (b"a", b""),
        (b"b\nc", b"e"),
        (b"[DONE]", b""),
    ]
    assert b"".join(event.raw for event in events) == stream


@given(streams().filter(lambda case: not case[0].startswith("\ufeff".encode())))
def test_whole_events_in_one_piece_are_read_as_byte_by_byte(
    case: tuple[bytes, list[tuple[bytes, bytes]]],
) -> None:
    stream, expected = case
    decoder = SseDecoder()
    decoder.feed(b"data: first\n\n")
    told = [(event.data, event.event) for event in decoder.feed(stream) if event.data.strip(b"\n")]
    assert told == [pair for pair in expected if pair[0].strip(b"\n")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_named_and_nameless_events_come_in_one_piece(end: bytes) -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: first" + end * 2)
    blocks = [[b"event: a", b"data: 1"], [b"data: 2"], [b"data: 3", b"event: b"], [b"event: c"]]
    pieces = [end.join(lines) + end * 2 for lines in blocks]
    assert decoder.feed(b"".join(pieces)) == [
        Event(b"1", b"a", pieces[0]),
        Event(b"2", b"", pieces[1]),
        Event(b"3", b"b", pieces[2]),
        Event(b"", b"c", pieces[3]),
    ]


def test_character_cut_in_two_is_whole_again() -> None:
    stream = "data: é🌊\n\n".encode()
    for point in range(len(stream)):
        events = decode([stream[:point], stream[point:]])
        assert [event.data.decode() for event in events] == ["é🌊"]


def test_stream_that_ends_within_an_event_is_cut() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\ndata: b\n") == [Event(b"a", b"", b"data: a\n\n")]
    with pytest.raises(errors.UpstreamCut):
        decoder.close()


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_event_longer_than_the_limit_is_refused(end: bytes, size: int) -> None:
    stream = b"data: fine\n\ndata: " + b"x" * 100 + end
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    with pytest.raises(errors.UpstreamMalformed):
        decode(pieces, max_event_bytes=100)


def test_many_events_within_the_limit_pass_in_one_piece() -> None:
    decoder = SseDecoder(max_event_bytes=100)
    assert len(decoder.feed(b"data: x\n\n" * 1000)) == 1000
