"""Streamed answers of the Messages format: read, looked at, and written so that the SDK reads
them."""

from __future__ import annotations

from typing import Any

import pytest
from messages_judge import parsed_stream, read_stream, sse, streamed, written_stream

from tidegate.errors import UpstreamFailed, UpstreamMalformed, UpstreamRateLimited
from tidegate.formats.gather import gathered
from tidegate.formats.messages import END, read_ask, reader, watch, writer
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finished,
    RefusalDelta,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Used,
)
from tidegate.types import Facts, Usage

Json = dict[str, Any]

CITED = {
    "type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
    "start_char_index": 0, "end_char_index": 1, "file_id": None,
}  # fmt: skip


def began(**usage: int) -> Json:
    return {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1} | usage,
    }}  # fmt: skip


def block(index: int, **fields: Any) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def piece(index: int, kind: str, **fields: Any) -> Json:
    delta = {"type": f"{kind}_delta", **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str | None = "end_turn", sequence: str | None = None, **usage: int) -> Json:
    return {"type": "message_delta", "usage": {"output_tokens": 9} | usage,
            "delta": {"stop_reason": reason, "stop_sequence": sequence}}  # fmt: skip


STOP: Json = {"type": "message_stop"}
PING: Json = {"type": "ping"}


def read(*events: Json) -> list[Delta]:
    return read_stream(reader(), streamed(*events))


def test_text_thinking_and_citations_are_read() -> None:
    assert read(
        began(),
        PING,
        block(0, type="thinking", thinking="", signature=""),
        piece(0, "thinking", thinking="hm"),
        piece(0, "signature", signature="sig"),
        stop(0),
        block(1, type="redacted_thinking", data="d"),
        stop(1),
        block(2, type="text", text="", citations=[]),
        piece(2, "text", text="He"),
        piece(2, "citations", citation=CITED),
        piece(2, "unheard_of", wave=1),
        stop(2),
        {"type": "unheard_of"},
        ended("stop_sequence", "END"),
        STOP,
    ) == [
        Began("msg_1", "claude-x", usage=Usage(10, 1)),
        ThinkingDelta("hm"),
        ThinkingDelta(signature="sig"),
        ThinkingDelta(redacted="d"),
        TextDelta("He"),
        TextDelta("", notes=(CITED,)),
        Finished("stop", "END"),
        Used(Usage(10, 9)),
    ]


def test_calls_are_counted_and_those_of_the_provider_left_out() -> None:
    assert read(
        began(),
        block(0, type="server_tool_use", id="s", name="web_search", input={}),
        piece(0, "input_json", partial_json='{"q"'),
        stop(0),
        block(1, type="web_search_tool_result", tool_use_id="s", content=[{"type": "x"}]),
        stop(1),
        block(2, type="tool_use", id="a", name="f", input={}),
        piece(2, "input_json", partial_json=""),
        piece(2, "input_json", partial_json='{"x":'),
        piece(2, "input_json", partial_json="1}"),
        stop(2),
        block(3, type="tool_use", id="b", name="g", input={}),
        stop(3),
        block(4, type="tool_use", id="c", name="h", input={"whole": True}),
        stop(4),
        ended("tool_use"),
        STOP,
    )[1:-1] == [
        ToolBegan(0, "a", "f"),
        ToolDelta(0, '{"x":'),
        ToolDelta(0, "1}"),
        ToolBegan(1, "b", "g"),
        ToolDelta(1, "{}"),
        ToolBegan(2, "c", "h"),
        ToolDelta(2, '{"whole":true}'),
        Finished("tool_calls"),
    ]


def test_what_stands_in_the_beginning_of_a_block_is_read() -> None:
    assert read(
        began(),
        block(0, type="thinking", thinking="hm", signature="s"),
        block(1, type="text", text="He", citations=[CITED]),
        ended(),
    )[1:3] == [ThinkingDelta("hm", "s"), TextDelta("He", notes=(CITED,))]


def test_usage_of_beginning_and_end_is_put_together() -> None:
    deltas = read(
        began(cache_read_input_tokens=100, cache_creation_input_tokens=7),
        ended(None, input_tokens=12),
        ended(cache_read_input_tokens=200),
        STOP,
    )
    assert deltas[0] == Began("msg_1", "claude-x", usage=Usage(117, 1, 100, 7))
    assert deltas[-1] == Used(Usage(219, 9, 200, 7))


def test_text_of_a_block_that_was_not_begun_is_text_all_the_same() -> None:
    assert read(began(), piece(0, "text", text="x"), ended())[1] == TextDelta("x")


def test_a_stream_is_good_only_with_its_end() -> None:
    cut = reader()
    for event, data in sse(streamed(began(), block(0, type="text", text="He"), stop(0))):
        cut.read(event, data)
    assert not cut.complete()
    assert not cut.done
    assert read(began(), STOP)[-1] == Finished("other")


BROKEN: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "no type": b"{}",
    "type no string": b'{"type": 3}',
    "index no number": b'{"type": "content_block_start", "index": "0"}',
    "index below nothing": b'{"type": "content_block_start", "index": -1}',
    "no block": b'{"type": "content_block_start", "index": 0}',
    "no delta": b'{"type": "content_block_delta", "index": 0}',
    "arguments of nothing": (
        b'{"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta"}}'
    ),
    "text no string": b'{"type": "content_block_delta", "index": 0, "delta": {"text": []}}',
    "usage no object": b'{"type": "message_delta", "usage": 3}',
    "message no object": b'{"type": "message_start", "message": "x"}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_event_is_malformed(name: str) -> None:
    with pytest.raises(UpstreamMalformed):
        reader().read(b"", BROKEN[name])


def test_blocks_are_bounded() -> None:
    events = streamed(*(block(index, type="text", text="") for index in range(257)))
    with pytest.raises(UpstreamMalformed, match="256"):
        read_stream(reader(), events)


def test_an_error_in_the_stream_is_what_it_says() -> None:
    for kind, error in {
        "overloaded_error": UpstreamFailed,
        "rate_limit_error": UpstreamRateLimited,
    }.items():
        data = streamed({"type": "error", "error": {"type": kind, "message": "x"}})
        (event, told), = sse(data)  # fmt: skip
        with pytest.raises(error):
            reader().read(event, told)
        with pytest.raises(error):
            watch(Facts(), {}, wants_usage=True).passes(event, told)


# Looking on


def passed(*events: Json) -> tuple[Facts, list[bool], list[bool]]:
    """The facts, which events passed, and after which of them content had been seen."""
    facts = Facts()
    watching = watch(facts, {}, wants_usage=False)
    passes: list[bool] = []
    content: list[bool] = []
    for event, data in sse(streamed(*events)):
        passes.append(watching.passes(event, data))
        content.append(facts.content)
    assert watching.done == (not passes[-1])
    assert watching.complete() == (facts.finish_reason is not None)
    return facts, passes, content


def test_all_but_the_end_passes_and_pings_are_no_content() -> None:
    facts, passes, content = passed(
        began(), block(0, type="text", text=""), PING, piece(0, "text", text=""),
        piece(0, "text", text="x"), stop(0), ended("refusal", input_tokens=11), STOP,
    )  # fmt: skip
    assert passes == [True] * 7 + [False]
    assert content == [False] * 4 + [True] * 4
    assert facts.finish_reason == "refusal"
    assert facts.usage == Usage(11, 9)
    assert (facts.model, facts.chunks) == ("claude-x", 2)


CONTENT: dict[str, Json] = {
    "text": piece(0, "text", text="x"),
    "thinking": piece(0, "thinking", thinking="x"),
    "arguments": piece(0, "input_json", partial_json="{"),
    "call": block(0, type="tool_use", id="a", name="f", input={}),
    "call of the provider": block(0, type="server_tool_use", id="a", name="f", input={}),
    "end": ended(),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_is_seen(name: str) -> None:
    assert passed(began(), CONTENT[name])[2] == [False, True]


def test_a_stream_that_passes_is_complete_only_with_its_reason() -> None:
    facts, _, _ = passed(began(), piece(0, "text", text="x"), ended(None))
    assert facts.finish_reason is None


# Writing

ASK = Ask(model="asked", turns=())


async def test_a_written_stream_is_read_by_the_sdk() -> None:
    events = written_stream(
        writer(ASK),
        [
            Began("msg_1", "claude-x", usage=Usage(10, 1)),
            ThinkingDelta("h"),
            ThinkingDelta("m"),
            ThinkingDelta(signature="sig"),
            ThinkingDelta("more"),
            ThinkingDelta(redacted="d"),
            TextDelta(""),
            TextDelta("He"),
            TextDelta("llo é\n", notes=(CITED, {"type": "url_citation"})),
            ToolBegan(0, "a", "f", signature="s"),
            ToolDelta(0, '{"x":'),
            ToolDelta(0, "1}"),
            ToolBegan(1, "b", "g"),
            TextDelta("of another choice", choice=1),
            Finished("stop"),
            Used(Usage(12, 9, cached_input=2, reasoning=3)),
        ],
    )
    assert events.endswith(END)
    seen, message = await parsed_stream(events)
    assert [found.type for found in message.content] == [
        "thinking", "thinking", "redacted_thinking", "text", "thinking", "tool_use", "tool_use",
    ]  # fmt: skip
    told = [found.model_dump(exclude_none=True) for found in message.content]
    assert told[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert told[3]["text"] == "Hello é\n"
    assert told[5]["input"] == {"x": 1}
    assert (message.stop_reason, message.stop_sequence) == ("tool_use", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 2, 9)
    assert seen[-1].type == "message_stop"


async def test_the_signature_of_a_call_does_not_take_the_thoughts_before_it_along() -> None:
    deltas: list[Delta] = [
        Began("msg_1", "claude"),
        ThinkingDelta("Let me see."),
        ToolBegan(0, "a", "f", signature="sig"),
        ToolDelta(0, "{}"),
        Finished("tool_calls"),
    ]
    message = (await parsed_stream(written_stream(writer(ASK), deltas)))[1]
    blocks = [block.model_dump(exclude_none=True) for block in message.content]
    asked = {"role": "assistant", "content": blocks}
    ask = read_ask({"model": "claude", "messages": [asked]})
    assert ask.turns[0].parts == (
        Thinking("Let me see.", ""),
        ToolUse("a", "f", "{}", signature="sig"),
    )


async def test_an_answer_of_nothing_is_still_an_answer() -> None:
    _, message = await parsed_stream(writer(ASK).end())
    assert (message.content, message.model, message.stop_reason) == ([], "asked", "end_turn")


async def test_a_refusal_is_text_and_a_reason() -> None:
    deltas: list[Delta] = [Began(None, None), RefusalDelta("no"), Finished("stop")]
    _, message = await parsed_stream(written_stream(writer(ASK), deltas))
    assert message.content[0].model_dump()["text"] == "no"
    assert message.stop_reason == "refusal"


def test_no_end_is_written_before_it_is_asked_for() -> None:
    written = writer(ASK).write([Began("a", "b"), TextDelta("x"), Finished("stop")])
    assert b"message_stop" not in written
    assert b"message_delta" not in written


async def test_what_was_read_is_written_again() -> None:
    events = streamed(
        began(), block(0, type="thinking", thinking="", signature=""),
        piece(0, "thinking", thinking="hm"), piece(0, "signature", signature="s"), stop(0),
        block(1, type="text", text=""), piece(1, "text", text="Hello"),
        piece(1, "citations", citation=CITED), stop(1),
        block(2, type="tool_use", id="a", name="f", input={}),
        piece(2, "input_json", partial_json='{"x":1}'), stop(2), ended("tool_use"), STOP,
    )  # fmt: skip
    deltas = read_stream(reader(), events)
    again = written_stream(writer(ASK), deltas)
    assert (await parsed_stream(events))[1].content == (await parsed_stream(again))[1].content
    assert gathered(read_stream(reader(), again)) == gathered(deltas)
