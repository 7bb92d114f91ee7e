"""A chat request, as a caller sent it, read into an `Ask`.

The edge has checked the outline; types below it are checked here, all at once, because only a
translation needs them. What the neutral words do not know is kept: at the top in `extra`, in
messages as `Foreign` parts.

Source: platform.openai.com/docs/api-reference/chat/create; `reasoning_content` is DeepSeek's and
vLLM's, `reasoning`, `reasoning_details` and `cache_control` are OpenRouter's, `thinking` parts are
Mistral's, `extra_content` is Google's (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NoReturn, cast

from msgspec import Struct

from tidegate.errors import BadRequest
from tidegate.formats.chat.parts import (
    PartFields,
    ToolCall,
    arguments_text,
    foreign_field,
    read_part,
    read_signature,
    read_thinking,
)
from tidegate.formats.openai import understood
from tidegate.formats.words import (
    Ask,
    Foreign,
    ForeignTool,
    JsonOutput,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

Json = dict[str, Any]


class _FunctionCall(Struct):
    name: str
    arguments: str = ""


class _Message(Struct):
    role: str
    content: str | list[PartFields] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: _FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Json] | None = None


class _Function(Struct):
    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class _Tool(Struct):
    type: str = "function"
    function: _Function | None = None
    cache_control: Json | None = None


class _Schema(Struct):
    name: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


class _ResponseFormat(Struct):
    type: str
    json_schema: _Schema | None = None


class _Reasoning(Struct):
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    functions: list[_Function] | None = None
    function_call: str | _FunctionCall | None = None
    response_format: _ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_KNOWN_IN_MESSAGES = frozenset(_Message.__struct_fields__) | {"annotations", "audio"}

_NOTHING = Text("")
_NO_ROLE = "has a role that does not exist"
_PLAIN_FIELDS = 2
"""A role and a content."""
_PLAIN_ROLES: dict[str, Literal["system", "user"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
}


def read_ask(body: Json) -> Ask:
    """The request that `body` says. See `Heard.read_ask`."""
    asked = understood(body, _Body)
    extra: Json = {}
    if not _KNOWN.issuperset(body):
        extra = {k: v for k, v in body.items() if k not in _KNOWN and v is not None}
    stop = asked.stop
    # By place: this runs for every request, and names would take five times as long.
    return Ask(
        asked.model,
        _turns(asked.messages, body["messages"]),
        _tools(asked, body) if asked.tools or asked.functions else (),
        _tool_choice(asked, extra),
        asked.parallel_tool_calls,
        _output(asked.response_format, body, extra),
        _reasoning(asked),
        asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens,
        asked.temperature,
        asked.top_p,
        asked.top_k,
        (stop,) if isinstance(stop, str) else tuple(stop or ()),
        asked.seed,
        asked.presence_penalty,
        asked.frequency_penalty,
        asked.n,
        asked.logprobs,
        asked.top_logprobs,
        asked.user,
        asked.service_tier,
        bool(asked.stream),
        not asked.stream
        or (asked.stream_options is not None and bool(asked.stream_options.include_usage)),
        extra,
    )


def _turns(messages: list[_Message], raw: list[Json]) -> tuple[Turn, ...]:
    """One turn for each message; results of tools that follow one another share one."""
    turns: list[Turn] = []
    results: list[Part] = []
    names: dict[str, str] = {}
    last_call = ""
    for place, message in enumerate(messages):
        role, fields = message.role, raw[place]
        if len(fields) == _PLAIN_FIELDS and role in _PLAIN_ROLES and not results:  # nearly always
            content = message.content
            if isinstance(content, str):
                turns.append(Turn(_PLAIN_ROLES[role], (Text(content),)))
                continue
        if role in ("tool", "function"):
            call = message.tool_call_id if role == "tool" else last_call
            if not call:
                _refuse(place, "tool_call_id" if role == "tool" else "name", "answers no call")
            parts = tuple(part for part in _contents(message, fields) if part != _NOTHING)
            results.append(ToolResult(call, parts, name=names.get(call, message.name or "")))
            continue
        if results:
            turns.append(Turn("user", tuple(results)))
            results.clear()
        if role == "assistant":
            parts, last_call = _assistant(message, fields, names, place)
            if parts:
                turns.append(Turn("assistant", tuple(parts), message.name))
        else:
            said_by = _PLAIN_ROLES.get(role) or _refuse(place, "role", _NO_ROLE)
            parts = tuple(_contents(message, fields)) or _refuse(place, "content", "is empty")
            turns.append(Turn(said_by, parts, message.name))
    if results:
        turns.append(Turn("user", tuple(results)))
    return tuple(turns)


def _refuse(place: int, field: str, why: str) -> NoReturn:
    param = f"messages[{place}].{field}"
    raise BadRequest(f"{param}: The message {why}.", param=param)


def _contents(message: _Message, raw: Json) -> Iterable[Part]:
    if isinstance(message.content, str) and raw.keys() <= _KNOWN_IN_MESSAGES:
        return (Text(message.content),)
    return _all_contents(message, raw)


def _all_contents(message: _Message, raw: Json) -> Iterator[Part]:
    content = message.content
    if isinstance(content, str):
        yield Text(content)
    elif content is not None:
        said = cast("list[Json]", raw["content"])
        for part, fields in zip(content, said, strict=True):
            yield from read_part(part, fields)
    if not raw.keys() <= _KNOWN_IN_MESSAGES:
        for name, value in raw.items():
            if name not in _KNOWN_IN_MESSAGES and value is not None:
                yield foreign_field(name, value)


def _assistant(
    message: _Message, raw: Json, names: dict[str, str], place: int
) -> tuple[list[Part], str]:
    """What the model said, and the id of its last call in the old form, if it made one.

    `names` learns the names of the calls by their ids.
    """
    parts: list[Part] = [
        *read_thinking(message.reasoning_content or message.reasoning, message.reasoning_details)
    ]
    if message.content:  # an empty one stands beside calls only
        parts += _contents(message, raw)
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for call, fields in zip(message.tool_calls or (), raw.get("tool_calls") or (), strict=True):
        if call.function is None:
            parts.append(Foreign("chat", fields))
            continue
        name = call.function.name or _refuse(place, "tool_calls", "calls a tool without a name")
        arguments = arguments_text(call.function.arguments)
        names[call.id or ""] = name
        parts.append(ToolUse(call.id or "", name, arguments, read_signature(call.extra_content)))
    last = ""
    if message.function_call is not None:
        last = f"call_{place}"
        called = message.function_call
        names[last] = called.name
        parts.append(ToolUse(last, called.name, called.arguments))
    if isinstance(raw.get("audio"), dict):
        parts.append(foreign_field("audio", raw["audio"]))
    return parts, last


def _tools(asked: _Body, body: Json) -> tuple[Tool | ForeignTool, ...]:
    tools: list[Tool | ForeignTool] = []
    for tool, raw in zip(asked.tools or (), body.get("tools") or (), strict=True):
        made = tool.function
        if made is None:
            tools.append(ForeignTool("chat", raw))
        else:
            tools.append(
                Tool(made.name, made.description, made.parameters, made.strict, tool.cache_control)
            )
    tools += [
        Tool(made.name, made.description, made.parameters, made.strict)
        for made in asked.functions or ()
    ]
    return tuple(tools)


def _tool_choice(asked: _Body, extra: Json) -> ToolChoice | None:
    choice = asked.tool_choice
    if choice is None:
        old = asked.function_call
        if isinstance(old, _FunctionCall):
            return ToolChoice("tool", old.name)
        choice = old
    match choice:
        case None:
            return None
        case "auto" | "none":
            return ToolChoice(choice)
        case "required" | "any":
            return ToolChoice("any")
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice("tool", name)
        case _:
            extra["tool_choice"] = choice
            return None


def _output(asked: _ResponseFormat | None, body: Json, extra: Json) -> JsonOutput | None:
    match asked:
        case None | _ResponseFormat(type="text"):
            return None
        case _ResponseFormat(type="json_object"):
            return JsonOutput()
        case _ResponseFormat(type="json_schema", json_schema=_Schema() as told):
            return JsonOutput(
                {} if told.schema is None else told.schema, told.name, told.strict, told.description
            )
        case _:
            extra["response_format"] = body["response_format"]
            return None


def _reasoning(asked: _Body) -> Reasoning | None:
    """OpenAI's field, or OpenRouter's object where it is there."""
    told = asked.reasoning
    if told is None:
        return None if asked.reasoning_effort is None else Reasoning(asked.reasoning_effort)
    return Reasoning(
        effort=asked.reasoning_effort or told.effort,
        budget_tokens=told.max_tokens,
        show=None if told.exclude is None else not told.exclude,
    )
