"""The events of ConverseStream, one by one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from bedrock_model import parsed_stream
from botocore.exceptions import EventStreamError
from converse_answers import (
    CALL,
    CALL_ENDED,
    COUNTED,
    STARTED,
    STOPPED,
    Event,
    Json,
    answer,
    piece,
    read,
    stream,
)

from tidegate.errors import (
    ContextOverflow,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats import converse
from tidegate.formats.words import (
    Began,
    Finished,
    ToolBegan,
    ToolDelta,
)
from tidegate.net.eventstream import EventStreamDecoder

GOLDEN = Path(__file__).parent / "golden" / "converse_stream.json"


def test_a_stream_with_everything_is_read_event_by_event() -> None:
    events: list[Event] = [
        STARTED,
        piece({"reasoningContent": {"text": "H"}}),
        piece({"reasoningContent": {"text": "m"}}),
        piece({"reasoningContent": {"signature": "c2ln"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        piece({"reasoningContent": {"redactedContent": "c2VjcmV0"}}),
        piece({"text": ""}),
        piece({"text": "Lo"}),
        piece({"text": "ok"}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        CALL,
        piece({"toolUse": {"input": ""}}, 1),
        piece({"toolUse": {"input": '{"a"'}}, 1),
        piece({"toolUse": {"input": ":1}"}}, 1),
        CALL_ENDED,
        ("contentBlockStart", {"start": {"image": {"format": "png"}}, "contentBlockIndex": 2}),
        piece({"image": {"source": {"bytes": "aGk="}}}, 2),
        piece({"citation": {"title": "x"}}, 2),
        ("somethingNew", {"a": 1}),
        ("messageStop", {"stopReason": "tool_use"}),
        COUNTED,
    ]
    deltas = read(*events)
    told = msgspec.json.encode(
        [{"kind": type(delta).__name__, **msgspec.to_builtins(delta)} for delta in deltas]
    )
    if not GOLDEN.exists():
        GOLDEN.write_bytes(msgspec.json.format(told, indent=2) + b"\n")
        pytest.fail(f"{GOLDEN.name} was not there and has been written: read it")
    assert msgspec.json.decode(told) == msgspec.json.decode(GOLDEN.read_bytes())


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert read(STARTED, CALL, CALL_ENDED, STOPPED)[1:-1] == [
        ToolBegan(0, "t1", "f"), ToolDelta(0, "{}"),
    ]  # fmt: skip
    other = ("contentBlockStart", {**CALL[1], "contentBlockIndex": 2})
    assert [delta for delta in read(CALL, other, STOPPED) if isinstance(delta, ToolDelta)] == [
        ToolDelta(0, "{}"), ToolDelta(1, "{}"),
    ]  # fmt: skip


def test_a_tool_that_the_provider_ran_itself_is_no_call() -> None:
    tool = {"toolUseId": "t", "name": "search", "type": "server_tool_use"}
    start = ("contentBlockStart", {"start": {"toolUse": tool}, "contentBlockIndex": 1})
    more = piece({"toolUse": {"input": "{}"}}, 1)
    assert read(STARTED, start, more, CALL_ENDED, STOPPED) == [Began(None, None), Finished("stop")]


def test_a_stream_is_complete_with_its_reason_and_done_with_its_counts() -> None:
    reader = converse.reader()
    states: list[tuple[bool, bool]] = []
    for event in EventStreamDecoder().feed(stream(STARTED, piece({"text": "x"}), STOPPED, COUNTED)):
        reader.read(event.event, event.data)
        states.append((reader.complete(), reader.done))
    assert states == [(False, False), (False, False), (True, False), (True, True)]


def test_counts_before_the_reason_do_not_end_the_stream() -> None:
    reader = converse.reader()
    assert reader.read(b"metadata", b"{}") == [Began(None, None)]
    assert not reader.done


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("throttlingException", {"message": "Slow down"}, UpstreamRateLimited),
        ("modelStreamErrorException", {"originalStatusCode": 429}, UpstreamRateLimited),
        ("modelStreamErrorException", {"originalStatusCode": 500}, UpstreamFailed),
        ("internalServerException", {}, UpstreamFailed),
        ("serviceUnavailableException", {"message": "x"}, UpstreamFailed),
        ("modelTimeoutException", {"message": "x"}, UpstreamFailed),
        ("somethingNewException", {"message": 5}, UpstreamFailed),
        ("validationException", {"message": "Bad"}, UpstreamRefused),
        ("validationException", {"message": "Input is too long."}, ContextOverflow),
    ],
)
def test_exceptions_in_a_stream_are_what_they_stand_for(
    name: str, data: Json, error: type[UpstreamError]
) -> None:
    with pytest.raises(error) as caught:
        read(STARTED, piece({"text": "x"}), (name, data))
    assert type(caught.value) is error
    if "New" not in name and name != "modelTimeoutException":
        with pytest.raises(EventStreamError):
            parsed_stream(stream((name, data)))


def test_more_calls_than_any_model_makes_are_refused() -> None:
    events = [
        ("contentBlockStart", {**CALL[1], "contentBlockIndex": place}) for place in range(257)
    ]
    with pytest.raises(UpstreamMalformed):
        read(*events)
    with pytest.raises(UpstreamMalformed):
        converse.read_reply(answer(*[{"text": "x"}] * 257))
