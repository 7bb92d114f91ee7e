"""Requests in neutral words, each with a golden body, and answers as Google gives them.

`python tests/formats/gemini_samples.py` writes the golden files anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tidegate.formats import gemini
from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    ForeignTool,
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

GOLDEN = Path(__file__).parent / "golden" / "gemini"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def user(*parts: Any) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any) -> Turn:
    return Turn("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def ask(*turns: Turn, model: str = "gemini-2.5-flash", **rest: Any) -> Ask:
    return Ask(model=model, turns=turns or (user("Hello"),), **rest)


WEATHER = Tool(
    name="weather",
    description="The weather somewhere",
    schema={
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "A city", "minLength": 1},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
)
TIME = Tool(name="time", schema={"type": "object", "properties": {}, "additionalProperties": False})

ASKS: dict[str, Ask] = {
    "plain": ask(
        Turn("system", (Text("Be brief."),)),
        user("What causes the tides?"),
        assistant("The moon."),
        user("Only the moon?"),
        max_tokens=200,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("END", "STOP"),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        n=2,
        logprobs=True,
        top_logprobs=3,
    ),
    "tools": ask(
        user("Weather in Paris and Rome?"),
        assistant(
            "I shall look.",
            ToolUse("call_1", "weather", '{"city": "Paris"}', signature="c2lnbmVk"),
            ToolUse("call_2", "weather", '{"city": "Rome"}'),
        ),
        user(ToolResult("call_1", (Text("20 °C"),))),
        user("And then?", ToolResult("call_2", (Text("no such city"),), failed=True)),
        assistant(ToolUse("call_3", "time", "")),
        user(ToolResult("call_3", (Text("noon"), Image(data=PIXEL, media_type="image/png")))),
        model="gemini-3.5-flash",
        tools=(WEATHER, TIME),
        tool_choice=ToolChoice("tool", "weather"),
    ),
    "older-tools": ask(
        user("What time is it?"),
        assistant(ToolUse("call_1", "time", "{}"), ToolUse("call_2", "time", "{}")),
        user(
            ToolResult("call_1", (Image(data=PIXEL, media_type="image/jpg"),)),
            ToolResult("call_2", (Text("noon"),)),
            "Well?",
        ),
        tools=(TIME,),
        tool_choice=ToolChoice("any"),
        output=JsonOutput(),
    ),
    "media": ask(
        user(
            "What is this?",
            Image(data=PIXEL),
            Image(url="https://example.com/a/tide.JPG?size=2#top", detail="high"),
            Image(url="https://example.com/unknown"),
            Image(url=f"data:image/png;base64,{PIXEL}"),
            Image(file_id="file-abc"),
            Audio(data="UklGRg==", kind="wav"),
            File(data="JVBERi0xLjc=", name="tides.pdf"),
            File(file_id="files/abc-123"),
            File(url="gs://bucket/tides.mp4"),
            File(text="High water at noon."),
        ),
    ),
    "json": ask(
        output=JsonOutput(
            schema={
                "type": "object",
                "properties": {"height": {"$ref": "#/definitions/metres", "title": "Height"}},
                "definitions": {"metres": {"type": "number", "exclusiveMinimum": 0}},
                "required": ["height"],
            },
            name="tide",
            strict=True,
            description="One tide",
        ),
        reasoning=Reasoning(effort="medium", show=True),
        model="gemini-2.5-pro",
    ),
    "thoughts": ask(
        user("Why?"),
        assistant(
            Thinking("The moon pulls.", signature="YW50aHJvcGlj"),
            Text("The moon."),
            Thinking(signature="gemini:dGlkZQ=="),
        ),
        user("Sure?"),
        assistant(Thinking(redacted="secret"), Refusal("I will not say.")),
        user("Please."),
        model="gemini-3.1-pro-preview",
        reasoning=Reasoning(effort="none"),
    ),
    "left-out": ask(
        Turn("system", (Text("Be brief.", cache={"type": "ephemeral"}),)),
        Turn("user", (Text("Hello"),), name="ada"),
        tools=(
            ForeignTool("messages", {"type": "web_search_20250305", "name": "web_search"}),
            Tool("note", schema={"type": "object", "properties": {"x": {"not": {}}}}, strict=True),
            Tool("plain"),
        ),
        parallel_tools=False,
        stop=("1", "2", "3", "4", "5", "6"),
        seed=2**40,
        user="ada",
        service_tier="scale",
        reasoning=Reasoning(effort="high"),
        model="gemini-2.0-flash",
        extra={"logit_bias": {"1": 2}},
    ),
    "instructions-alone": ask(Turn("system", (Text("Say hello."),)), service_tier="flex"),
}


def said(of: Ask) -> dict[str, Any]:
    body, dropped = gemini.write_ask(of)
    return {"body": msgspec.json.decode(msgspec.json.encode(body)), "dropped": dropped}


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **rest: Any) -> dict[str, Any]:
    """An answer, or an event, with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 5,
            "totalTokenCount": 33,
            "thoughtsTokenCount": 20,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "aBcD123",
        **rest,
    }


def encoded(value: Any) -> bytes:
    """As Google prints it."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def line(value: Any) -> bytes:
    """As it stands in an event."""
    return msgspec.json.encode(value)


if __name__ == "__main__":
    for name, each in ASKS.items():
        golden = msgspec.json.format(msgspec.json.encode(said(each)), indent=2)
        (GOLDEN / f"{name}.json").write_bytes(golden + b"\n")
