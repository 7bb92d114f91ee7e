"""Whole answers of the Messages format: read from a vendor, and written so that the SDK reads
them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, ToolUseBlock
from messages_judge import parsed_message

from tidegate.errors import ContentFiltered, UpstreamFailed, UpstreamMalformed, UpstreamRateLimited
from tidegate.formats.messages import learn, read_reply, write_reply
from tidegate.formats.messages.counting import learn as learn_count
from tidegate.formats.messages.counting import write_count
from tidegate.formats.messages.counting import write_reply as write_counted
from tidegate.formats.words import (
    Audio,
    Finish,
    Foreign,
    Part,
    Refusal,
    Reply,
    Said,
    Text,
    Thinking,
    ToolUse,
)
from tidegate.types import Facts, Usage


def answer(*content: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(
        {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
         "content": content, "stop_reason": "end_turn", "stop_sequence": None,
         "usage": {"input_tokens": 10, "output_tokens": 5}} | fields
    ).encode()  # fmt: skip


def reply(*parts: Part, finish: Finish = "stop", usage: Usage | None = None) -> Reply:
    return Reply("msg_1", "claude-x", (Said(parts, finish),), usage)


def text(of: str) -> dict[str, Any]:
    return {"type": "text", "text": of}


def test_every_block_of_an_answer_is_read() -> None:
    server: dict[str, Any] = {
        "type": "server_tool_use",
        "id": "s",
        "name": "web_search",
        "input": {},
    }
    read = read_reply(
        answer(
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "d"},
            text("x") | {"citations": [{"type": "char_location"}]},
            server,
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            stop_reason="tool_use",
        )
    )
    assert (read.id, read.model) == ("msg_1", "claude-x")
    assert read.choices[0].finish == "tool_calls"
    assert read.choices[0].parts == (
        Thinking("hm", "sig"),
        Thinking(redacted="d"),
        Text("x", notes=({"type": "char_location"},)),
        Foreign("messages", server),
        ToolUse("a", "f", '{"x":1}'),
    )


FINISHES: dict[str | None, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
    "new_reason": "other",
    None: "other",
}


@pytest.mark.parametrize("reason", FINISHES)
def test_why_an_answer_ended_is_read(reason: str | None) -> None:
    assert read_reply(answer(stop_reason=reason)).choices[0].finish == FINISHES[reason]


def test_the_classes_of_tokens_add_up() -> None:
    usage = {
        "input_tokens": 2,
        "cache_read_input_tokens": 1590,
        "cache_creation_input_tokens": 100,
        "output_tokens": 162,
        "output_tokens_details": {"thinking_tokens": 112},
    }
    read = read_reply(answer(usage=usage)).usage
    assert read == Usage(1692, 162, cached_input=1590, cache_write=100, reasoning=112)
    written = json.loads(write_reply(reply(Text("x"), usage=read), "m"))["usage"]
    assert written == usage
    assert read_reply(answer(usage={"output_tokens": 3})).usage == Usage(0, 3)
    assert read_reply(answer(usage=None)).usage is None


async def test_what_is_written_is_read_by_the_sdk() -> None:
    cited = {
        "type": "char_location", "cited_text": "x", "document_index": 0,
        "document_title": None, "start_char_index": 0, "end_char_index": 1, "file_id": None,
    }  # fmt: skip
    written = write_reply(
        reply(
            Thinking("hm", "sig"),
            Thinking("unsigned"),
            Thinking(redacted="d"),
            Text("x", notes=(cited, {"type": "url_citation"})),
            Text(""),
            Foreign("gemini", {"x": 1}),
            Audio("x", "wav"),
            ToolUse("a", "f", '{"x":1}', signature="s"),
            ToolUse("b", "g", ""),
            usage=Usage(10, 5, reasoning=2),
        ),
        "m",
    )
    message = await parsed_message(written)
    assert [block.type for block in message.content] == [
        "thinking", "thinking", "redacted_thinking", "text", "thinking", "tool_use", "tool_use",
    ]  # fmt: skip
    assert [block.input for block in message.content if isinstance(block, ToolUseBlock)] == [
        {"x": 1}, {},
    ]  # fmt: skip
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 5)


async def test_an_answer_without_id_model_and_usage_gets_them() -> None:
    written = write_reply(Reply(None, None, (Said((Text("x"),), "stop"),), None), "asked")
    message = await parsed_message(written)
    assert message.id.startswith("msg_")
    assert message.model == "asked"
    assert message.usage.input_tokens == 0


REASONS: dict[str, tuple[Said, str]] = {
    "stop": (Said((), "stop"), "end_turn"),
    "stop sequence": (Said((), "stop", "END"), "stop_sequence"),
    "length": (Said((), "length"), "max_tokens"),
    "filter": (Said((), "content_filter"), "refusal"),
    "refusal": (Said((), "refusal"), "refusal"),
    "refusal by its content": (Said((Refusal("no"),), "stop"), "refusal"),
    "call by its content": (Said((ToolUse("a", "f", "{}"),), "stop"), "tool_use"),
    "call cut short": (Said((ToolUse("a", "f", "{}"),), "length"), "max_tokens"),
    "pause": (Said((), "pause"), "pause_turn"),
    "other": (Said((), "other"), "end_turn"),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_an_answer_ended_is_written(name: str) -> None:
    said, reason = REASONS[name]
    message = Message.model_validate_json(write_reply(Reply("m", "m", (said,), None), "m"))
    assert message.stop_reason == reason
    assert message.stop_sequence == said.stop_sequence


@pytest.mark.parametrize("arguments", ['{"x"', "[1]", '"x"'])
def test_arguments_that_are_no_object_cannot_be_written(arguments: str) -> None:
    with pytest.raises(UpstreamMalformed):
        write_reply(reply(ToolUse("a", "f", arguments)), "m")


def test_an_answer_that_passes_is_looked_at() -> None:
    facts = Facts()
    learn(facts, answer(text("x"), stop_reason="pause_turn"))
    assert facts.finish_reason == "pause_turn"
    assert facts.model == "claude-x"
    assert facts.usage == Usage(10, 5)


BROKEN: dict[str, bytes] = {
    "no JSON": b"<html>",
    "not UTF-8": b'{"content": "\xff"}',
    "no object": b"[]",
    "no content": b'{"type": "message"}',
    "content no list": answer(content="x"),
    "block no object": b'{"content": [1]}',
    "block without a type": answer({}),
    "text no string": answer({"type": "text", "text": 3}),
    "input no object": answer({"type": "tool_use", "id": "a", "name": "f", "input": "x"}),
    "tokens below nothing": answer(usage={"input_tokens": -1}),
    "tokens beyond counting": answer(usage={"input_tokens": 10**30}),
    "too many blocks": answer(*[text("x")] * 257),
    "nested": b'{"content": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_malformed(name: str) -> None:
    with pytest.raises(UpstreamMalformed):
        read_reply(BROKEN[name])


def test_an_error_in_the_place_of_an_answer_is_what_it_says() -> None:
    def told(kind: str, message: str = "") -> bytes:
        return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()

    for kind, error in {
        "rate_limit_error": UpstreamRateLimited,
        "overloaded_error": UpstreamFailed,
        "unheard_of": UpstreamFailed,
    }.items():
        with pytest.raises(error):
            read_reply(told(kind))
    with pytest.raises(ContentFiltered):
        learn(Facts(), told("invalid_request_error", "Output blocked by content filtering policy"))


def test_counting_is_answered_with_one_number() -> None:
    assert write_count(7) == b'{"input_tokens":7}'
    assert write_counted(reply(usage=Usage(8, 0)), "m") == b'{"input_tokens":8}'
    learn_count(Facts(), b'{"input_tokens": 7}')
    for broken in (b"{}", b"x", b'{"input_tokens": "7"}'):
        with pytest.raises(UpstreamMalformed):
            learn_count(Facts(), broken)
