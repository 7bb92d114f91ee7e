"""Write a request for a provider of this format, and name what could not be said in it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, cast

from tidegate.formats.responses.ask import ENCRYPTED, LOGPROBS
from tidegate.formats.responses.items import FORMAT
from tidegate.formats.responses.seal import unpacked
from tidegate.formats.responses.shapes import Json
from tidegate.formats.words import (
    Ask,
    File,
    Foreign,
    Image,
    JsonOutput,
    Part,
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

LEAST_OUTPUT_TOKENS = 16
"""A lower limit is refused by OpenAI, so it is raised to this."""

_SAME_NAME = frozenset({
    "background", "context_management", "include", "max_tool_calls", "metadata", "moderation",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier",
    "store", "truncation",
})  # fmt: skip
"""What callers of other formats may send, and this one knows under the same name."""

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_MODES = {"auto": "auto", "none": "none", "any": "required"}

_LOW_BUDGET_TOKENS, _MEDIUM_BUDGET_TOKENS = 2_048, 8_192


def write_ask(ask: Ask) -> tuple[Json, list[str]]:
    """The body, without the model's name, and the caller's fields that could not be said.

    Nothing is left at the provider (`store`) unless the caller asked for it: other formats do not
    know that answers may be kept, and reasoning comes encrypted instead.
    """
    dropped: dict[str, None] = {}  # in order, each once
    instructions, turns = _instructions(ask.turns, dropped)
    body: Json = {"input": _items(turns, dropped), "store": False}
    if instructions is not None:
        body["instructions"] = instructions
    if ask.stream:
        body["stream"] = True
    _write_tools(body, ask, dropped)
    _write_shape(body, ask, dropped)
    for name, value in ask.extra.items():
        if name == "verbosity":
            body.setdefault("text", {})["verbosity"] = value
        elif name in _SAME_NAME:
            body[name] = value
        else:
            dropped[name] = None
    _write_include(body, ask)
    for name, value in (
        ("top_k", ask.top_k),
        ("stop", ask.stop or None),
        ("seed", ask.seed),
        ("presence_penalty", ask.presence_penalty),
        ("frequency_penalty", ask.frequency_penalty),
        ("n", ask.n if ask.n != 1 else None),
    ):
        if value is not None:
            dropped[name] = None
    return body, list(dropped)


def _instructions(
    turns: Sequence[Turn], dropped: dict[str, None]
) -> tuple[str | None, Sequence[Turn]]:
    """The first turn where it is plain instructions, and the rest."""
    if turns and turns[0].role == "system" and len(turns[0].parts) == 1:
        part = turns[0].parts[0]
        if isinstance(part, Text):
            _note_cache(part, dropped)
            return part.text, turns[1:]
    return None, turns


def _write_tools(body: Json, ask: Ask, dropped: dict[str, None]) -> None:
    tools: list[Json] = []
    for tool in ask.tools:
        if isinstance(tool, Tool):
            _note_cache(tool, dropped)
            tools.append(_tool(tool))
        elif tool.format == FORMAT:
            tools.append(tool.value)
        else:
            dropped[f"tools[{tool.value.get('type')}]"] = None
    if tools:
        body["tools"] = tools
    choice = ask.tool_choice
    if choice is not None and (tools or choice.mode == "none"):
        body["tool_choice"] = _choice(choice)
    if ask.parallel_tools is not None:
        body["parallel_tool_calls"] = ask.parallel_tools


def _tool(tool: Tool) -> Json:
    written: Json = {
        "type": "function",
        "name": tool.name,
        "parameters": tool.schema,
        "strict": bool(tool.strict),  # left out, it would mean true
    }
    if tool.description is not None:
        written["description"] = tool.description
    return written


def _choice(choice: ToolChoice) -> str | Json:
    if choice.mode == "tool":
        return {"type": "function", "name": choice.name or ""}
    return _MODES[choice.mode]


def _write_shape(body: Json, ask: Ask, dropped: dict[str, None]) -> None:
    """What shapes the answer."""
    if ask.output is not None:
        body["text"] = {"format": _form(ask.output)}
    if ask.reasoning is not None and (reasoning := _reasoning(ask.reasoning, dropped)):
        body["reasoning"] = reasoning
    if ask.max_tokens is not None:
        body["max_output_tokens"] = max(ask.max_tokens, LEAST_OUTPUT_TOKENS)
    for name, value in (
        ("temperature", ask.temperature),
        ("top_p", ask.top_p),
        ("top_logprobs", ask.top_logprobs),
        ("user", ask.user),
    ):
        if value is not None:
            body[name] = value
    if ask.service_tier in _TIERS:
        body["service_tier"] = ask.service_tier
    elif ask.service_tier is not None:
        dropped["service_tier"] = None


def _form(output: JsonOutput) -> Json:
    if output.schema is None:
        return {"type": "json_object"}
    form: Json = {"type": "json_schema", "name": output.name or "answer", "schema": output.schema}
    if output.strict is not None:
        form["strict"] = output.strict
    if output.description is not None:
        form["description"] = output.description
    return form


def _reasoning(reasoning: Reasoning, dropped: dict[str, None]) -> Json:
    written: Json = {}
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is None and budget is not None:
        effort = (
            "low"
            if budget <= _LOW_BUDGET_TOKENS
            else "medium"
            if budget <= _MEDIUM_BUDGET_TOKENS
            else "high"
        )
    if effort in _EFFORTS:
        written["effort"] = effort
    elif effort is not None:
        dropped["reasoning_effort"] = None
    if reasoning.summary is not None:
        written["summary"] = reasoning.summary
    elif reasoning.show:
        written["summary"] = "auto"
    return written


def _write_include(body: Json, ask: Ask) -> None:
    asked = body.pop("include", None)
    include = cast("list[Any]", asked).copy() if isinstance(asked, list) else []
    if ask.logprobs:
        include.append(LOGPROBS)
    # Models that do not reason refuse to encrypt what they would have thought.
    if body.get("reasoning", {}).get("effort", "none") != "none" and not body["store"]:
        include.append(ENCRYPTED)
    if include:
        body["include"] = include


def _items(turns: Iterable[Turn], dropped: dict[str, None]) -> list[Json]:
    items: list[Json] = []
    for turn in turns:
        if turn.name is not None:
            dropped["messages[].name"] = None
        if turn.role == "assistant":
            items += (item for part in turn.parts if (item := _said(part, dropped)))
        else:
            _write_message(items, turn, dropped)
    return items


def _said(part: Part, dropped: dict[str, None]) -> Json | None:
    """An item that the model made."""
    match part:
        case Text():
            _note_cache(part, dropped)
            return {"role": "assistant", "content": part.text}
        case ToolUse():
            _note_cache(part, dropped)
            return {
                "type": "function_call",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments,
            }
        case Refusal():
            return {
                "type": "message",
                "id": "msg_refusal",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": part.text}],
            }
        case Thinking():
            return _thought(part, dropped)
        case Foreign() if part.format == FORMAT:
            return part.value
        case _:
            dropped[_name(part)] = None
            return None


def _thought(part: Thinking, dropped: dict[str, None]) -> Json | None:
    """A reasoning item, if it is one of this format's that was on its way."""
    known = unpacked(part.signature) or unpacked(part.redacted)
    if known is None:
        dropped["messages[thinking]"] = None
        return None
    id_, encrypted = known
    item: Json = {"type": "reasoning", "id": id_, "summary": []}
    if encrypted:
        item["encrypted_content"] = encrypted
        if part.text:
            item["summary"] = [{"type": "summary_text", "text": part.text}]
    else:
        item["content"] = [{"type": "reasoning_text", "text": part.text}]
    return item


def _write_message(items: list[Json], turn: Turn, dropped: dict[str, None]) -> None:
    """A turn of the user's or of the system's; results of tools are items of their own."""
    content: list[Json] = []

    def flush() -> None:
        if not content:
            return
        plain = len(content) == 1 and content[0]["type"] == "input_text"
        items.append({
            "role": turn.role,
            "content": content[0]["text"] if plain else content.copy(),
        })  # fmt: skip
        content.clear()

    for part in turn.parts:
        if isinstance(part, ToolResult):
            flush()
            items.append(_result(part, dropped))
        elif (written := _input(part, dropped)) is not None:
            content.append(written)
    flush()


def _result(result: ToolResult, dropped: dict[str, None]) -> Json:
    _note_cache(result, dropped)
    if result.failed:
        dropped["messages[tool_result.is_error]"] = None
    parts = result.parts
    output: str | list[Json]
    if len(parts) == 1 and isinstance(parts[0], Text):
        output = parts[0].text
    else:
        output = [written for part in parts if (written := _input(part, dropped))]
    return {"type": "function_call_output", "call_id": result.id, "output": output}


def _input(part: Part, dropped: dict[str, None]) -> Json | None:
    """A part of a message to the model."""
    match part:
        case Text():
            _note_cache(part, dropped)
            return {"type": "input_text", "text": part.text}
        case Image():
            _note_cache(part, dropped)
            image: Json = {"type": "input_image", "detail": part.detail or "auto"}
            if part.file_id is not None:
                image["file_id"] = part.file_id
            else:
                image["image_url"] = part.url or _data_url(part.data, part.media_type)
            return image
        case File():
            _note_cache(part, dropped)
            return _file(part)
        case Foreign() if part.format == FORMAT:
            return part.value
        case _:
            dropped[_name(part)] = None
            return None


def _file(file: File) -> Json:
    written: Json = {"type": "input_file"}
    if file.file_id is not None:
        return written | {"file_id": file.file_id}
    if file.url is not None:
        return written | {"file_url": file.url}
    if file.text is not None:
        data, media_type = base64.b64encode(file.text.encode()).decode(), "text/plain"
    else:
        data, media_type = file.data, file.media_type
    written["filename"] = file.name or ("document.txt" if file.text is not None else "document.pdf")
    written["file_data"] = _data_url(data, media_type or "application/pdf")
    return written


def _data_url(data: str | None, media_type: str | None) -> str:
    return f"data:{media_type or 'application/octet-stream'};base64,{data or ''}"


def _note_cache(
    part: Text | Image | File | Tool | ToolUse | ToolResult, dropped: dict[str, None]
) -> None:
    if part.cache is not None:
        dropped["cache_control"] = None


def _name(part: Part) -> str:
    if isinstance(part, Foreign):
        return f"content[{part.value.get('type')}]"
    return f"content[{type(part).__name__.lower()}]"
