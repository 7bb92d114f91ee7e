"""Conversations in the Responses format, and what they are in neutral words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.formats.words import (
    Ask,
    File,
    Image,
    JsonOutput,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

Json = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden"
RECORDED = Path("../shared/data/wire/recorded_part.jsonl.gz")

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

BODY: Json = {
    "model": "assistant",
    "instructions": "You are a helpful assistant.",
    "input": [
        {"role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBERi0=",
                },
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Looking."}],
            "encrypted_content": "tg1s:c2lnbmF0dXJl",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
        },
        {
            "type": "function_call",
            "id": "fc_2",
            "call_id": "call_2",
            "name": "weather",
            "arguments": '{"city":"Rome"}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "cold"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [
                {"type": "input_text", "text": "warm"},
                {"type": "input_image", "file_id": "file_1", "detail": "auto"},
            ],
        },
        {"role": "user", "content": "So?"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "weather",
            "description": "Weather.",
            "parameters": SCHEMA,
            "strict": True,
        },
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "name": "weather"},
    "parallel_tool_calls": False,
    "text": {
        "format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low", "summary": "auto"},
    "max_output_tokens": 400,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_logprobs": 2,
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "user": "somebody",
    "metadata": {"case": "7"},
    "service_tier": "flex",
    "truncation": "disabled",
    "store": True,
    "stream": True,
}

TURNS = (
    Turn("system", (Text("You are a helpful assistant."),)),
    Turn("system", (Text("Be brief."),)),
    Turn(
        "user",
        (
            Text("What is this?"),
            Image(url="https://example.com/a.png", detail="low"),
            Image(data="iVBORw0KGgo=", media_type="image/png"),
            File(data="JVBERi0=", media_type="application/pdf", name="a.pdf"),
        ),
    ),
    Turn(
        "assistant",
        (
            Thinking("Looking.", signature="c2lnbmF0dXJl", id="rs_1"),
            Text("Let me look."),
            ToolUse("call_1", "weather", '{"city":"Oslo"}'),
            ToolUse("call_2", "weather", '{"city":"Rome"}'),
        ),
    ),
    Turn(
        "user",
        (
            ToolResult("call_1", (Text("cold"),)),
            ToolResult("call_2", (Text("warm"), Image(file_id="file_1", detail="auto"))),
        ),
    ),
    Turn("user", (Text("So?"),)),
)

ASK = Ask(
    model="assistant",
    turns=(
        Turn("system", (Text("You are a helpful assistant."),)),
        Turn("system", (Text("Be brief."), Text("Be kind."))),
        Turn(
            "user",
            (
                Text("What is this?"),
                Image(url="https://example.com/a.png", detail="low"),
                Image(data="iVBORw0KGgo=", media_type="image/png", detail="auto"),
                File(data="JVBERi0=", media_type="application/pdf", name="a.pdf"),
                File(text="plain words"),
            ),
        ),
        Turn(
            "assistant",
            (
                Thinking("Looking.", signature="rs1:rs_1:gAAAA", id="rs_1"),
                Text("Let me look."),
                Refusal("Not at that."),
                ToolUse("call_1", "weather", '{"city":"Oslo"}'),
            ),
        ),
        Turn(
            "user",
            (
                ToolResult("call_1", (Text("cold"), Image(file_id="file_1"))),
                Text("So?"),
            ),
        ),
    ),
    tools=(Tool("weather", "Weather.", SCHEMA, strict=True), Tool("nothing")),
    tool_choice=ToolChoice("tool", "weather"),
    parallel_tools=False,
    output=JsonOutput(SCHEMA, "place", strict=True, description="A place."),
    reasoning=Reasoning(effort="low", summary="auto"),
    max_tokens=400,
    temperature=0.5,
    top_p=0.9,
    logprobs=True,
    top_logprobs=2,
    user="somebody",
    service_tier="flex",
    stream=True,
    extra={"verbosity": "low", "prompt_cache_key": "k", "metadata": {"case": "7"}},
)


def recorded(kind: str = "responses") -> list[Json]:
    """The recorded exchanges of a kind, with real providers."""
    if not RECORDED.exists():
        pytest.skip(
            f"{RECORDED} is not there: real exchanges are not replayed", allow_module_level=True
        )
    with gzip.open(RECORDED, "rt") as lines:
        exchanges: list[Json] = [json.loads(line) for line in lines]
    return [exchange for exchange in exchanges if exchange["kind"] == kind]
