"""Requests to be written as Converse, and the judge of what is written."""

from __future__ import annotations

from typing import Any

from bedrock_model import MODEL, check_body
from msgspec.structs import replace

from tidegate.formats import converse
from tidegate.formats.words import Ask, Part, Text, Tool, ToolResult, ToolUse, Turn

Json = dict[str, Any]

PNG = "iVBORw0KGgo="
MARK = {"type": "ephemeral"}
CLAUDE_3 = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_46 = "eu.anthropic.claude-sonnet-4-6"
CLAUDE_47 = "global.anthropic.claude-opus-4-7"
NOVA = "amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
MODELS = (
    MODEL, CLAUDE_3, CLAUDE_46, CLAUDE_47, NOVA, NOVA_2, LLAMA, GPT_OSS, PROFILE,
    "cohere.command-r-plus-v1:0", "mistral.mistral-7b-instruct-v0:2", "qwen.qwen3-32b-v1:0",
    "anthropic.claude-3-7-sonnet-20250219-v1:0", "anthropic.claude-opus-5-20260801-v1:0",
    "anthropic.claude-fable-5", "deepseek.r1-v1:0",
)  # fmt: skip

WEATHER = Tool(
    "weather",
    "Weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def user(*parts: Part | str) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Turn:
    return replace(user(*parts), role="assistant")


def system(*parts: Part | str) -> Turn:
    return replace(user(*parts), role="system")


def ask(*turns: Turn, model: str = MODEL, **fields: Any) -> Ask:
    return Ask(model=model, turns=turns or (user("Hi"),), **fields)


def written(*turns: Turn, model: str = MODEL, **fields: Any) -> tuple[Json, list[str]]:
    body, dropped = converse.write_ask(ask(*turns, model=model, **fields))
    check_body(body, model=model)
    return body, dropped


TOOL_ROUND = (
    user("Weather in Kiel and Bonn?"),
    assistant(
        "I look.",
        ToolUse("call_1", "weather", '{"city":"Kiel"}'),
        ToolUse("call_2", "weather", '{"city":"Bonn"}'),
    ),
    user(ToolResult("call_1", (Text("7 degrees"),)), ToolResult("call_2", (), failed=True)),
)
