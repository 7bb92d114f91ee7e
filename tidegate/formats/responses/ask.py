"""Read a caller's request: what it asks for in our words, and what only this format knows."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tidegate.errors import BadRequest
from tidegate.formats.responses.failure import UnknownPrevious
from tidegate.formats.responses.items import FORMAT, read_turns
from tidegate.formats.responses.shapes import Json, from_caller
from tidegate.formats.words import (
    Ask,
    ForeignTool,
    JsonOutput,
    Reasoning,
    Text,
    Tool,
    ToolChoice,
    Turn,
)

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"

CONTINUED = "tidegate_continues"
"""Field of a body that whole turns were put in front of: the id of the response they are from."""


class Asked(Ask, frozen=True, kw_only=True):
    """An ask of this format, with the body that said it: answers repeat its parameters."""

    body: Json


class _Format(Struct):
    type: str
    name: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


class _TextConfig(Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Function(Struct):
    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class _Chosen(Struct):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[Json] | None = None


class _Request(Struct):
    """Every field that is read here or repeated in the answer."""

    model: str = ""
    input: str | list[Any] | None = None
    instructions: str | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: _TextConfig | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Json | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    tidegate_continues: str | None = None


_KNOWN = frozenset(_Request.__struct_fields__)

_ELSEWHERE = {
    "conversation": "Conversations are kept by another provider than this model's.",
    "prompt": "Prompts are kept by another provider than this model's.",
}


def read_ask(body: Json) -> Asked:
    """What `body` asks. Raises: `BadRequest` with the path of the mistake as `param`."""
    request = from_caller(body, _Request, "")
    if request.previous_response_id is not None:  # what is known has been put in front of `input`
        raise UnknownPrevious(request.previous_response_id)
    if request.conversation is not None or request.prompt is not None:
        name = "prompt" if request.conversation is None else "conversation"
        raise BadRequest(f"{name}: {_ELSEWHERE[name]}", param=name)
    if request.background:
        raise BadRequest("background: This model cannot answer later.", param="background")
    if request.input is None:
        raise BadRequest("input: It is missing.", param="input")
    extra = _extra(request, body)
    choice, tools = _choice(request, extra)
    include = request.include or ()
    # Mostly by place: this runs for every request, and names would take far longer.
    return Asked(
        request.model,
        _turns(request),
        tools,
        choice,
        request.parallel_tool_calls,
        _output(request.text),
        _reasoning(request.reasoning),
        request.max_output_tokens,
        request.temperature,
        request.top_p,
        logprobs=True if LOGPROBS in include or request.top_logprobs else None,
        top_logprobs=request.top_logprobs,
        user=request.user if request.user is not None else request.safety_identifier,
        service_tier=request.service_tier,
        stream=bool(request.stream),
        extra=extra,
        body=body,
    )


def _extra(request: _Request, body: Json) -> Json:
    """What the words for an ask do not know; other formats may know some of it."""
    extra: Json = {}
    if not _KNOWN.issuperset(body):
        extra = {name: body[name] for name in body if name not in _KNOWN and body[name] is not None}
    if request.prompt_cache_key is not None:
        extra["prompt_cache_key"] = request.prompt_cache_key
    if request.max_tool_calls is not None:
        extra["max_tool_calls"] = request.max_tool_calls
    if request.include:
        rest = [name for name in request.include if name not in (LOGPROBS, ENCRYPTED)]
        if rest:
            extra["include"] = rest
    if request.truncation not in (None, "disabled"):
        extra["truncation"] = request.truncation
    if request.text and request.text.verbosity:
        extra["verbosity"] = request.text.verbosity
    if request.user is not None and request.safety_identifier is not None:
        extra["safety_identifier"] = request.safety_identifier
    return extra


def _turns(request: _Request) -> tuple[Turn, ...]:
    if isinstance(request.input, list):
        return read_turns(request.instructions, request.input)
    turns = read_turns(request.instructions, [])
    return (*turns, Turn("user", (Text(request.input or ""),)))


def _tool(value: Json, path: str) -> Tool | ForeignTool:
    if value.get("type") != "function":
        return ForeignTool(FORMAT, value)
    function = from_caller(value, _Function, path)
    return Tool(function.name, function.description, function.parameters, function.strict)


def _choice(
    request: _Request, extra: Json
) -> tuple[ToolChoice | None, tuple[Tool | ForeignTool, ...]]:
    """Which tools are called, and which there are.

    A choice among some of the tools is said by leaving the others out; one of a provider's own
    tools goes to `extra`.
    """
    tools: tuple[Tool | ForeignTool, ...] = ()
    if request.tools:
        tools = tuple(_tool(value, f"tools[{n}]") for n, value in enumerate(request.tools))
    match request.tool_choice:
        case None:
            return None, tools
        case "auto" | "none" as mode:
            return ToolChoice(mode), tools
        case "required":
            return ToolChoice("any"), tools
        case str() as other:
            raise BadRequest(f"tool_choice: {other[:40]!r} is no choice.", param="tool_choice")
        case chosen:
            named = from_caller(chosen, _Chosen, "tool_choice")
    if named.type == "function" and named.name is not None:
        return ToolChoice("tool", named.name), tools
    if named.type == "allowed_tools" and named.tools is not None:
        allowed = {tool.get("name") for tool in named.tools if isinstance(tool.get("name"), str)}
        kept = tuple(tool for tool in tools if isinstance(tool, Tool) and tool.name in allowed)
        return ToolChoice("any" if named.mode == "required" else "auto"), kept
    extra["tool_choice"] = chosen
    return None, tools


def _output(text: _TextConfig | None) -> JsonOutput | None:
    form = text and text.format
    if not form or form.type not in ("json_schema", "json_object"):
        return None
    return JsonOutput(form.schema, form.name, form.strict, form.description)


def _reasoning(reasoning: _Reasoning | None) -> Reasoning | None:
    if reasoning is None:
        return None
    summary = reasoning.summary or reasoning.generate_summary
    return Reasoning(effort=reasoning.effort, show=True if summary else None, summary=summary)
