"""Answers of Converse, whole and streamed, as botocore reads them; and never trusted."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any, cast

import pytest
from bedrock_model import parsed, parsed_stream
from converse_answers import (
    CALL,
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
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import (
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.formats import converse
from tidegate.formats.words import (
    Began,
    Finished,
    Foreign,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Used,
)
from tidegate.types import Usage

# Whole answers


def test_every_kind_of_block_is_read() -> None:
    reply = converse.read_reply(
        answer(
            {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
            {"text": "Look:"},
            {"citationsContent": {"content": [{"text": "It "}, {"text": "is."}], "citations": []}},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": [1, "ü"]}}},
            {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}, "type": "server_tool_use"}},
            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
            {"video": {}},
            reason="tool_use",
            usage={"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
            metrics={"latencyMs": 9},
        )
    )
    (said,) = reply.choices
    assert said.parts[:5] == (
        Thinking("Hm", "c2ln"),
        Thinking(redacted="c2VjcmV0"),
        Text("Look:"),
        Text("It is."),
        ToolUse("t1", "f", '{"a": [1, "\\u00fc"]}'),
    )
    assert [part.format for part in said.parts[5:] if isinstance(part, Foreign)] == ["converse"] * 3
    assert said.finish == "tool_calls"
    assert reply.usage == Usage(3, 2)
    assert reply.model is None


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "other"),
    ],
)
def test_reasons_have_their_common_words(reason: str, finish: str) -> None:
    assert converse.read_reply(answer(reason=reason)).choices[0].finish == finish
    assert Finished(finish) in read(STARTED, ("messageStop", {"stopReason": reason}))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_a_model_that_broke_off_is_malformed(reason: str) -> None:
    with pytest.raises(UpstreamMalformed):
        converse.read_reply(answer({"text": "x"}, reason=reason))
    with pytest.raises(UpstreamMalformed):
        read(STARTED, ("messageStop", {"stopReason": reason}))


def test_the_stop_sequence_is_told() -> None:
    more = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    reply = converse.read_reply(answer({"text": "x"}, reason="stop_sequence", **more))
    assert reply.choices[0].stop_sequence == "END"
    deltas = read(STARTED, ("messageStop", {"stopReason": "stop_sequence", **more}))
    assert deltas[-1] == Finished("stop", "END")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ((10, 5, 15, None, None), Usage(10, 5)),
        ((10, 5, 15, 0, 0), Usage(10, 5, 0, 0)),
        # As documented: what was read and written is beside the input, and in the total.
        ((10, 5, 1_115, 1_000, 100), Usage(1_110, 5, 1_000, 100)),
        # A total without it shows that the input holds it already.
        ((1_110, 5, 1_115, 1_000, 100), Usage(1_110, 5, 1_000, 100)),
        ((10, 5, None, 1_000, None), Usage(1_010, 5, 1_000)),
        ((10, 5, 15, 1_000, None), Usage(1_000, 5, 1_000)),
    ],
)
def test_classes_of_tokens_add_up(counts: tuple[int | None, ...], usage: Usage) -> None:
    names = (
        "inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens",
        "cacheWriteInputTokens",
    )  # fmt: skip
    told = {name: value for name, value in zip(names, counts, strict=True) if value is not None}
    assert converse.read_reply(answer(usage=told)).usage == usage
    assert read(STARTED, STOPPED, ("metadata", {"usage": told}))[-1] == Used(usage)


# As botocore reads them

_texts = st.text(min_size=1, max_size=10)
_data = st.binary(max_size=9).map(lambda data: b64encode(data).decode())


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(fields)


_inputs = st.dictionaries(_texts, st.integers(-9, 9) | _texts, max_size=3)
_answers: st.SearchStrategy[list[Json]] = st.lists(
    st.one_of(
        _object(text=_texts),
        _object(toolUse=_object(toolUseId=_texts, name=_texts, input=_inputs)),
        _object(reasoningContent=_object(reasoningText=_object(text=_texts, signature=_data))),
        _object(reasoningContent=_object(redactedContent=_data)),
    ),
    max_size=5,
)


def as_botocore(block: Json) -> Any:
    match block:
        case {"text": text}:
            return Text(text)
        case {"toolUse": told}:
            return told["toolUseId"], told["name"], told["input"]
        case {"reasoningContent": {"reasoningText": told}}:
            return Thinking(told["text"], told["signature"])
        case _:
            data = block["reasoningContent"]["redactedContent"]
            return Thinking(redacted=b64encode(data).decode())


@given(_answers)
def test_a_whole_answer_is_read_as_botocore_reads_it(blocks: list[Json]) -> None:
    body = answer(*blocks)
    (said,) = converse.read_reply(body).choices
    seen = [
        (part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolUse) else part
        for part in said.parts
    ]
    content = parsed(body)["output"]["message"]["content"]
    assert seen == [as_botocore(block) for block in content]


@settings(max_examples=40)
@given(_answers, st.integers(1, 4))
def test_a_streamed_answer_says_what_the_whole_one_says(blocks: list[Json], size: int) -> None:
    events: list[Event] = [STARTED]
    for place, block in enumerate(blocks):
        events += in_pieces(block, place, size)
    events += [STOPPED, COUNTED]
    assert len(parsed_stream(stream(*events))) == len(events)
    deltas = read(*events)
    (said,) = converse.read_reply(answer(*blocks)).choices
    for kind, part in ((TextDelta, Text), (ThinkingDelta, Thinking)):
        text = "".join(each.text for each in deltas if isinstance(each, kind))
        assert text == "".join(each.text for each in said.parts if isinstance(each, part))
    calls = [each for each in deltas if isinstance(each, ToolBegan)]
    arguments = [
        "".join(
            each.arguments for each in deltas if isinstance(each, ToolDelta) and each.index == n
        )
        for n in range(len(calls))
    ]
    assert [
        (call.id, call.name, json.loads(told)) for call, told in zip(calls, arguments, strict=True)
    ] == [
        (part.id, part.name, json.loads(part.arguments))
        for part in said.parts
        if isinstance(part, ToolUse)
    ]
    assert deltas[0] == Began(None, None)
    assert deltas[-2:] == [Finished("stop"), Used(Usage(3, 2))]


def in_pieces(block: Json, place: int, size: int) -> list[Event]:
    def cut(text: str) -> list[str]:
        return [text[start : start + size] for start in range(0, len(text), size)]

    end = ("contentBlockStop", {"contentBlockIndex": place})
    match block:
        case {"text": text}:
            return [*(piece({"text": each}, place) for each in cut(text)), end]
        case {"toolUse": told}:
            tool = {"toolUseId": told["toolUseId"], "name": told["name"]}
            start = ("contentBlockStart", {"start": {"toolUse": tool}, "contentBlockIndex": place})
            written = json.dumps(told["input"]) if told["input"] else ""
            return [
                start,
                *(piece({"toolUse": {"input": each}}, place) for each in cut(written)),
                end,
            ]
        case {"reasoningContent": {"reasoningText": told}}:
            return [
                *(piece({"reasoningContent": {"text": each}}, place) for each in cut(told["text"])),
                piece({"reasoningContent": {"signature": told["signature"]}}, place),
                end,
            ]
        case _:
            return [piece(block, place), end]


# Hostile upstreams

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_places = st.sampled_from(
    ("output", "message", "content", "stopReason", "usage", "toolUse", "input", "toolUseId", "text",
     "reasoningContent", "reasoningText", "inputTokens", "citationsContent", "stop_sequence",
     "additionalModelResponseFields", "delta", "start", "contentBlockIndex", "signature",
     "redactedContent", "name")
)  # fmt: skip
WHOLE: Json = json.loads(
    answer(
        {"text": "a"},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
        {"reasoningContent": {"reasoningText": {"text": "x", "signature": "y"}}},
        {"reasoningContent": {"redactedContent": "eA=="}},
        {"citationsContent": {"content": [{"text": "x"}]}},
        usage={"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        additionalModelResponseFields={"stop_sequence": "x"},
    )
)


def spoilt(value: Any, place: str, by: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("Json", value)
        return {k: by if k == place else spoilt(v, place, by) for k, v in fields.items()}
    if isinstance(value, list):
        return [spoilt(each, place, by) for each in cast("list[Any]", value)]
    return value


@given(_places, _json)
def test_wrong_types_in_an_answer_are_malformed_at_worst(place: str, by: Any) -> None:
    with suppress(UpstreamMalformed):
        converse.read_reply(json.dumps(spoilt(WHOLE, place, by)).encode())


@given(st.binary(max_size=40) | st.just(b"[" * 100_000))
def test_an_answer_that_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        converse.read_reply(body)


@given(
    st.lists(
        st.tuples(
            st.sampled_from((STARTED, CALL, piece({"text": "x"}), STOPPED, COUNTED)), _places
        ),
        max_size=5,
    ),
    _json,
)
def test_wrong_types_in_a_stream_are_errors_of_the_upstream(
    events: list[tuple[Event, str]], by: Any
) -> None:
    reader = converse.reader()
    with suppress(UpstreamError):
        for (name, data), place in events:
            reader.read(name.encode(), json.dumps(spoilt(data, place, by)).encode())


@settings(max_examples=40)
@given(st.sampled_from(("contentBlockDelta", "messageStop", "!x", "metadata")), st.binary())
def test_events_that_are_no_json_are_errors_of_the_upstream(name: str, data: bytes) -> None:
    with pytest.raises(UpstreamError):
        converse.reader().read(name.encode(), data + b"\xff")
