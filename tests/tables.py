"""Tables of the docs as the code would write them: what each provider is like, cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import structs

from tidegate.formats import chat, converse, gemini, messages, responses
from tidegate.formats.format import Spoken
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Finish, Refusal, Reply, Said, Text
from tidegate.providers.compatible import ROWS, Row
from tidegate.types import Usage

Json = dict[str, Any]

_FORMATS = {"responses": "Responses"}
_SCHEMAS = {"value": "a JSON schema as TGI has it", "object": "a JSON schema in the instructions"}

_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_FUNCTION = {"name": "look", "parameters": _PARAMETERS}
_TOOL = {"type": "function", "function": _FUNCTION}
_STRICT = {"type": "function", "function": _FUNCTION | {"strict": True}}
_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_PDF = "data:application/pdf;base64,JVBERi0="


def _with(part: Json) -> Json:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]}


def _block(source: Json, **more: Any) -> Json:
    return _with({"type": "document", "source": source, **more})


ASKED_AS_CHAT: Mapping[str, Json] = {
    "`temperature` above 1": {"temperature": 1.5},
    "`top_p` beside `temperature`": {"temperature": 0.5, "top_p": 0.9},
    "`stop`": {"stop": ["END"]},
    "`seed`": {"seed": 7},
    "`n`": {"n": 2},
    "`presence_penalty`": {"presence_penalty": 0.1},
    "`frequency_penalty`": {"frequency_penalty": 0.1},
    "`logit_bias`": {"logit_bias": {"50256": -100}},
    "`logprobs`, `top_logprobs`": {"logprobs": True, "top_logprobs": 2},
    "`user`": {"user": "ann"},
    "`tools`": {"tools": [_TOOL]},
    "`strict` of a tool": {"tools": [_STRICT]},
    "`tool_choice: required`": {"tools": [_TOOL], "tool_choice": "required"},
    "`parallel_tool_calls: false`": {"tools": [_TOOL], "parallel_tool_calls": False},
    "JSON by a schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": _PARAMETERS},
        }
    },
    "JSON without a schema": {"response_format": {"type": "json_object"}},
    "`reasoning_effort`": {"reasoning_effort": "low"},
    "`service_tier: flex`": {"service_tier": "flex"},
    "`verbosity`": {"verbosity": "low"},
    "`metadata`": {"metadata": {"a": "b"}},
    "`store: true`": {"store": True},
    "`prompt_cache_key`": {"prompt_cache_key": "a"},
    "`name` of a message": {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]},
    "an image as bytes": _with({"type": "image_url", "image_url": {"url": _PIXEL}}),
    "an image by its address": _with(
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    ),
    "`detail` of an image": _with(
        {"type": "image_url", "image_url": {"url": _PIXEL, "detail": "high"}}
    ),
    "a PDF as bytes": _with({"type": "file", "file": {"filename": "a.pdf", "file_data": _PDF}}),
    "sound": _with({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
}

_CALLED: list[Json] = [
    {"role": "user", "content": "Look."},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}],
    },
]
_FAILED = {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}
_BYTES = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
_LOOK = {"name": "look", "input_schema": _PARAMETERS}

ASKED_AS_MESSAGES: Mapping[str, Json] = {
    "`top_k`": {"top_k": 5},
    "more than four `stop_sequences`": {"stop_sequences": ["a", "b", "c", "d", "e"]},
    "`cache_control`": _with(
        {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    ),
    "`thinking` with a budget": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    "`metadata.user_id`": {"metadata": {"user_id": "ann"}},
    "`tool_choice: any`": {"tools": [_LOOK], "tool_choice": {"type": "any"}},
    "`disable_parallel_tool_use`": {
        "tools": [_LOOK],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "tools that Anthropic runs": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "`is_error` of a result": {"messages": [*_CALLED, {"role": "user", "content": [_FAILED]}]},
    "JSON by a schema": {
        "output_config": {"format": {"type": "json_schema", "schema": _PARAMETERS}}
    },
    "a PDF as bytes": _block(_BYTES),
    "a PDF by its address": _block({"type": "url", "url": "https://example.com/a.pdf"}),
    "`citations` of a document": _block(_BYTES, citations={"enabled": True}),
}

_PASSED = {
    "chat": ("`openai`, chat",),
    "messages": ("`anthropic`, Haiku 4.5", "`anthropic`, Sonnet 5.5"),
}
"""Whom nothing is lost on the way to, for the format is its own."""

_SPOKEN: dict[str, tuple[Spoken, str]] = {
    "`openai`, chat": (chat, "gpt-5.4-mini"),
    "`openai`, Responses": (responses, "gpt-5.4-mini"),
    "`anthropic`, Haiku 4.5": (messages, "claude-haiku-4-5-20251001"),
    "`anthropic`, Sonnet 5.5": (messages, "claude-sonnet-5-5"),
    "`gemini`, `vertex`": (gemini, "gemini-3.8-flash"),
    "`bedrock`, Haiku 4.5": (converse, "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
    "`bedrock`, Nova": (converse, "amazon.nova-pro-v1:0"),
}


def compatible() -> str:
    """The table of the kinds that speak OpenAI's API."""
    rows = [row for row in ROWS.values() if row.kind != "openai"]
    return _table(
        ["kind", "address, if you give none", "passes as it is", "length in", "left out", "else"],
        [
            [
                f"`{row.kind}`",
                f"`{row.base_url}`",
                ", ".join(_FORMATS.get(each, each) for each in row.native),
                f"`{row.output_field}`",
                ", ".join(f"`{each}`" for each in sorted(row.refuses)),
                "; ".join(_else(row)),
            ]
            for row in rows
        ],
    )


def _else(row: Row) -> list[str]:
    told = [
        f"`{ours}` as `{theirs}`"
        for ours, theirs in sorted(row.renames.items())
        if theirs != row.output_field
    ]
    if row.message_fields is not None:
        told.append("of a message only " + ", ".join(f"`{e}`" for e in sorted(row.message_fields)))
    if row.reasoning_field:
        told.append(f"earlier reasoning in `{row.reasoning_field}`")
    if not row.several:
        told.append("`n` of 1 only")
    if not row.stream_usage:
        told.append("no `stream_options`")
    if row.json_schema != "native":
        told.append(_SCHEMAS[row.json_schema])
    return told


def cannot_be_told(wire: str) -> str:
    """What of a request in the format `wire` each vendor has no word for."""
    asked = ASKED_AS_CHAT if wire == "chat" else ASKED_AS_MESSAGES
    vendors = {name: each for name, each in _SPOKEN.items() if name not in _PASSED[wire]}
    rows: list[list[str]] = []
    for name, body in asked.items():
        lost = [_left_out(wire, body, *each) for each in vendors.values()]
        rows.append([name, *("left out" if each else "said" for each in lost)])
    return _table(["", *vendors], rows)


def finishes() -> str:
    """How each format tells why an answer ended."""
    rows = [[f"`{each}`", *_ended(each, Text("Hi"))] for each in get_args(Finish)]
    rows.append(["`refusal`, said in words", *_ended("refusal", Refusal("No."))])
    return _table(["neutral", "chat", "Responses", "Messages"], rows)


def _ended(finish: Finish, part: Text | Refusal) -> tuple[str, str, str]:
    reply = Reply("a", "m", (Said((part,), finish),), Usage(1, 1))
    chat_, responses_, messages_ = (
        msgspec.json.decode(HEARD[wire].write_reply(reply, "m"))
        for wire in ("chat", "responses", "messages")
    )
    status = f"`{responses_['status']}`"
    if responses_["incomplete_details"]:
        status += f": `{responses_['incomplete_details']['reason']}`"
    return f"`{chat_['choices'][0]['finish_reason']}`", status, f"`{messages_['stop_reason']}`"


def _left_out(wire: str, body: Json, spoken: Spoken, model: str) -> list[str]:
    base: Json = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    ask = HEARD[wire].read_ask(base | ({"max_tokens": 4_000} if wire == "messages" else {}) | body)
    return spoken.write_ask(structs.replace(ask, model=model))[1]


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
