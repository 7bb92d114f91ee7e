"""The same conversation, in any caller's format, becomes the same request of Anthropic's; and
its answers are what the caller's own SDK takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from messages_judge import assert_request, read_stream, sse, streamed
from msgspec.structs import replace
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tidegate.formats import messages
from tidegate.formats.heard import HEARD

GOLDEN = Path(__file__).parent / "golden"
TIME = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
POINT = {
    "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
    "additionalProperties": False,
}  # fmt: skip
PDF = "data:application/pdf;base64,JVBERg=="
PNG = "data:image/png;base64,iVBORw=="

BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What time does this say?"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
            ]},
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "time", "arguments": '{"zone":"UTC"}'}},
                {"id": "call_2", "type": "function",
                 "function": {"name": "time", "arguments": '{"zone":"CET"}'}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
            {"role": "tool", "tool_call_id": "call_2", "content": "one"},
            {"role": "user", "content": "Sure?"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "time", "description": "The time", "parameters": TIME,
        }}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "point", "schema": POINT,
        }},
        "reasoning_effort": "medium",
        "max_completion_tokens": 20_000,
        "stream": True,
    },
    "responses": {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "What time does this say?"},
                {"type": "input_image", "image_url": PNG, "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
            ]},
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "call_1", "name": "time",
             "arguments": '{"zone":"UTC"}'},
            {"type": "function_call", "call_id": "call_2", "name": "time",
             "arguments": '{"zone":"CET"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
            {"type": "function_call_output", "call_id": "call_2", "output": "one"},
            {"role": "user", "content": "Sure?"},
        ],
        "tools": [{
            "type": "function", "name": "time", "description": "The time", "parameters": TIME,
            "strict": False,
        }],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "point", "schema": POINT}},
        "reasoning": {"effort": "medium"},
        "max_output_tokens": 20_000,
        "stream": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-5"])
@pytest.mark.parametrize("wire", BODIES)
def test_any_format_becomes_the_same_request(wire: str, model: str) -> None:
    ask = HEARD[wire].read_ask({"model": "assistant", **BODIES[wire]})
    body, dropped = messages.write_ask(replace(ask, model=model))
    assert_request(body)
    golden = json.loads((GOLDEN / "messages_pairs" / f"{model}.json").read_bytes())
    assert {"said": json.loads(json.dumps(body)), "dropped": dropped} == golden


ANSWER: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "It is "},
        {"type": "tool_use", "id": "toolu_1", "name": "time", "input": {"zone": "UTC"}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {"input_tokens": 2, "cache_read_input_tokens": 8, "output_tokens": 5},
}  # fmt: skip
EVENTS = streamed(
    {"type": "message_start", "message": ANSWER | {"content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0,
     "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0,
     "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0,
     "delta": {"type": "signature_delta", "signature": "sig"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "It is "}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {
        "type": "tool_use", "id": "toolu_1", "name": "time", "input": {},
    }},
    {"type": "content_block_delta", "index": 2,
     "delta": {"type": "input_json_delta", "partial_json": '{"zone":"UTC"}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)  # fmt: skip

WHOLE: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletion),
    "responses": TypeAdapter(Response),
}
PIECES: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
}


@pytest.mark.parametrize("wire", WHOLE)
def test_an_answer_is_one_that_the_callers_sdk_takes(wire: str) -> None:
    reply = messages.read_reply(json.dumps(ANSWER).encode())
    written = HEARD[wire].write_reply(reply, "assistant")
    WHOLE[wire].validate_json(written)
    for said in (b"It is ", b'{\\"zone\\":\\"UTC\\"}', b"toolu_1"):
        assert said in written


@pytest.mark.parametrize("wire", PIECES)
def test_a_stream_is_one_that_the_callers_sdk_takes(wire: str) -> None:
    ask = HEARD[wire].read_ask({"model": "assistant", **BODIES[wire]})
    writer = HEARD[wire].writer(ask)
    written = writer.write(read_stream(messages.reader(), EVENTS)) + writer.end()
    for _, data in sse(written):
        if data != b"[DONE]":
            PIECES[wire].validate_json(data)
    for said in (b"It is ", b"toolu_1", b"zone"):
        assert said in written


def test_reasoning_comes_back_to_its_provider_signed() -> None:
    reply = messages.read_reply(json.dumps(ANSWER).encode())
    items = json.loads(HEARD["responses"].write_reply(reply, "assistant"))["output"]
    again = HEARD["responses"].read_ask({"model": "assistant", "input": items})
    blocks = messages.write_ask(replace(again, model="claude-opus-5"))[0]["messages"][0]["content"]
    assert blocks[0] == ANSWER["content"][0]
