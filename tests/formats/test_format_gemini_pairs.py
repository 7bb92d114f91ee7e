"""The same conversation, in any caller's format, becomes the same request of Google's; and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from gemini_samples import GOLDEN, PIXEL, answer, encoded, line
from msgspec.structs import replace
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tidegate.formats import gemini
from tidegate.formats.heard import HEARD

SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
ARGUMENTS = '{"zone":"UTC"}'
IMAGE = f"data:image/png;base64,{PIXEL}"

BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What time does this say?"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                ],
            },
            {
                "role": "assistant",
                "content": "I shall look.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "time", "arguments": ARGUMENTS},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
            {"role": "user", "content": "Sure?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "time", "description": "The time", "parameters": SCHEMA},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "time"}},
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.25,
    },
    "messages": {
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What time does this say?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I shall look."},
                    {"type": "tool_use", "id": "call_1", "name": "time", "input": {"zone": "UTC"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "noon"},
                    {"type": "text", "text": "Sure?"},
                ],
            },
        ],
        "tools": [{"name": "time", "description": "The time", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "time"},
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.25,
    },
    "responses": {
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What time does this say?"},
                    {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
                ],
            },
            {"role": "assistant", "content": "I shall look."},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "time",
                "arguments": ARGUMENTS,
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
            {"role": "user", "content": "Sure?"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "time",
                "description": "The time",
                "parameters": SCHEMA,
                "strict": False,
            }
        ],
        "tool_choice": {"type": "function", "name": "time"},
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.25,
    },
}


@pytest.mark.parametrize("wire", BODIES)
def test_any_format_becomes_the_same_request(wire: str) -> None:
    ask = HEARD[wire].read_ask({"model": "assistant", **BODIES[wire]})
    body, dropped = gemini.write_ask(replace(ask, model="gemini-2.5-flash"))
    golden = msgspec.json.decode((GOLDEN / "pairs" / "conversation.json").read_bytes())
    assert msgspec.json.decode(msgspec.json.encode(body)) == golden
    assert dropped == []


ANSWER = answer(
    {"text": "I wonder.", "thought": True},
    {"text": "It is "},
    {"functionCall": {"id": "call_1", "name": "time", "args": {"zone": "UTC"}}},
)
EVENTS = [
    answer({"text": "I wonder.", "thought": True}, finish=None),
    answer({"text": "It is "}, finish=None),
    answer({"functionCall": {"id": "call_1", "name": "time", "args": {"zone": "UTC"}}}),
]


def chat(body: bytes) -> tuple[Any, ...]:
    told = ChatCompletion.model_validate_json(body)
    call: Any = (told.choices[0].message.tool_calls or [None])[0]
    assert told.usage is not None
    return (
        told.choices[0].message.content,
        (call.id, call.function.name, call.function.arguments),
        told.choices[0].finish_reason,
        (told.usage.prompt_tokens, told.usage.completion_tokens),
    )


def messages(body: bytes) -> tuple[Any, ...]:
    told = Message.model_validate_json(body)
    text = "".join(block.text for block in told.content if block.type == "text")
    call = next(block for block in told.content if block.type == "tool_use")
    return (
        text,
        (call.id, call.name, msgspec.json.encode(call.input).decode()),
        {"tool_use": "tool_calls"}.get(str(told.stop_reason)),
        (told.usage.input_tokens, told.usage.output_tokens),
    )


def responses(body: bytes) -> tuple[Any, ...]:
    told = Response.model_validate_json(body)
    call = next(item for item in told.output if item.type == "function_call")
    assert told.usage is not None
    return (
        told.output_text,
        (call.call_id, call.name, call.arguments),
        {"completed": "tool_calls"}.get(str(told.status)),
        (told.usage.input_tokens, told.usage.output_tokens),
    )


READERS = {"chat": chat, "messages": messages, "responses": responses}


@pytest.mark.parametrize("wire", READERS)
def test_an_answer_is_told_in_any_format(wire: str) -> None:
    read: Callable[[bytes], tuple[Any, ...]] = READERS[wire]
    written = HEARD[wire].write_reply(gemini.read_reply(encoded(ANSWER)), "assistant")
    assert read(written) == ("It is ", ("call_1", "time", ARGUMENTS), "tool_calls", (8, 25))


STREAMED: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "responses": TypeAdapter(ResponseStreamEvent),
}


@pytest.mark.parametrize("wire", STREAMED)
def test_a_stream_is_told_in_any_format(wire: str) -> None:
    heard = HEARD[wire]
    ask = heard.read_ask({"model": "assistant", "stream": True, **BODIES[wire]})
    reader, writer = gemini.reader(), heard.writer(ask)
    written = b"".join(writer.write(reader.read(b"", line(event))) for event in EVENTS)
    assert reader.complete()
    events = [
        data
        for block in (written + writer.end()).split(b"\n\n")
        for data in block.split(b"\n")
        if data.startswith(b"data: {")
    ]
    parsed = [STREAMED[wire].validate_json(data[6:]) for data in events]
    assert len(parsed) > len(EVENTS)
    assert b"It is " in written
    assert b"UTC" in written


def test_a_legacy_completion_is_a_conversation() -> None:
    heard = HEARD["completions"]
    ask = heard.read_ask({"model": "assistant", "prompt": "The tides", "max_tokens": 5})
    body, _ = gemini.write_ask(replace(ask, model="gemini-2.5-flash"))
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "The tides"}]}],
        "generationConfig": {"maxOutputTokens": 5},
    }
    reply = gemini.read_reply(encoded(answer({"text": " rise."})))
    told = Completion.model_validate_json(heard.write_reply(reply, "assistant"))
    assert told.choices[0].text == " rise."
