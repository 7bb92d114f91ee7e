"""What a caller of the Messages format asks: its request read into neutral words."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import convert, structs

from tidegate.errors import BadRequest
from tidegate.formats.messages.parts import read_content
from tidegate.formats.messages.shapes import (
    FORMAT,
    KNOWN,
    FormatView,
    Json,
    MetadataView,
    OutputView,
    RequestView,
    ToolChoiceView,
    ToolView,
    bad_request,
    deeper,
)
from tidegate.formats.messages.thinking import THINKING_TYPES, read_reasoning
from tidegate.formats.words import (
    Ask,
    ForeignTool,
    JsonOutput,
    Part,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

SERVICE_TIERS = {"standard_only": "default"}
"""The format's words for what others call by another; the rest is the same everywhere."""

_TOOL_FIELDS = frozenset({*ToolView.__struct_fields__, "type"})


def read_ask(body: Json) -> Ask:
    """The request that `body` says.

    Raises: `BadRequest`, with the path as `param`.
    """
    try:
        view = convert(body, RequestView)
        return _read(body, view)
    except msgspec.ValidationError as error:
        raise bad_request(error) from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def _read(body: Json, view: RequestView) -> Ask:
    extra = _extra(body, view)
    choice, config, metadata = view.tool_choice, view.output_config, view.metadata
    # Mostly by place: this runs for every request, and names would take far longer.
    return Ask(
        view.model,
        _read_turns(view, extra),
        _read_tools(view.tools, extra) if view.tools else (),
        None if choice is None else ToolChoice(_mode(choice), choice.name),
        _parallel(choice),
        _read_output((config and config.format) or view.output_format),
        read_reasoning(view.thinking, config and config.effort),
        view.max_tokens,
        view.temperature,
        view.top_p,
        view.top_k,
        tuple(view.stop_sequences or ()),
        user=metadata and metadata.user_id,
        service_tier=SERVICE_TIERS.get(view.service_tier or "", view.service_tier),
        stream=bool(view.stream),
        extra=extra,
    )


def _extra(body: Json, view: RequestView) -> Json:
    """What no word is there for, under the names by which a writer tells it as dropped."""
    extra: Json = {}
    if not KNOWN.issuperset(body):
        extra = {name: value for name, value in body.items() if name not in KNOWN}
    thinking, config = view.thinking, view.output_config
    if view.metadata is not None or config is not None:
        for name, known in (("metadata", MetadataView), ("output_config", OutputView)):
            given: Json = body.get(name) or {}
            for inner, value in given.items():
                if inner not in known.__struct_fields__:
                    extra[f"{name}.{inner}"] = value
    if thinking is not None and thinking.type not in THINKING_TYPES:
        extra["thinking"] = body["thinking"]
    if config is not None:
        if config.effort is not None and thinking is not None and thinking.type == "disabled":
            extra["output_config.effort"] = config.effort
        if config.format is not None and config.format.type != "json_schema":
            extra["output_config.format"] = config.format.type
    return extra


def _read_turns(view: RequestView, extra: Json) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    if view.system:
        try:
            turns.append(Turn("system", read_content(view.system, extra)))
        except msgspec.ValidationError as error:
            raise deeper(error, ".system") from None
    names: dict[str, str] = {}
    index = 0
    try:
        for index, message in enumerate(view.messages):  # noqa: B007 - it is the place of a misfit
            parts = read_content(message.content, extra)
            turns.append(Turn(message.role, _named(parts, names)))
    except msgspec.ValidationError as error:
        raise deeper(error, f".messages[{index}].content") from None
    return tuple(turns)


def _named(parts: tuple[Part, ...], names: dict[str, str]) -> tuple[Part, ...]:
    """`parts` with the names of the tools in their results, for formats that go by the name."""
    results = False
    for part in parts:
        if isinstance(part, ToolUse):
            names[part.id] = part.name
        elif isinstance(part, ToolResult):
            results = True
    if not results:
        return parts
    return tuple(
        structs.replace(part, name=names.get(part.id, "")) if isinstance(part, ToolResult) else part
        for part in parts
    )


def _read_tools(tools: list[Json], extra: Json) -> tuple[Tool | ForeignTool, ...]:
    read: list[Tool | ForeignTool] = []
    try:
        for tool in tools:
            read.append(_read_tool(tool, extra))  # noqa: PERF401 - its length is the place
    except msgspec.ValidationError as error:
        raise deeper(error, f".tools[{len(read)}]") from None
    return tuple(read)


def _read_tool(tool: Json, extra: Json) -> Tool | ForeignTool:
    if tool.get("type", "custom") not in ("custom", None):
        return ForeignTool(FORMAT, tool)
    view = convert(tool, ToolView)
    if not tool.keys() <= _TOOL_FIELDS:
        extra |= {
            f"tools[].{name}": value for name, value in tool.items() if name not in _TOOL_FIELDS
        }
    return Tool(
        view.name, view.description, view.input_schema, view.strict, cache=view.cache_control
    )


def _mode(choice: ToolChoiceView) -> Any:
    if choice.type == "tool" and choice.name is None:
        raise msgspec.ValidationError(
            "Object missing required field `name` - at `$.tool_choice.name`"
        )
    return choice.type


def _parallel(choice: ToolChoiceView | None) -> bool | None:
    if choice is None or choice.disable_parallel_tool_use is None:
        return None
    return not choice.disable_parallel_tool_use


def _read_output(view: FormatView | None) -> JsonOutput | None:
    if view is None or view.type != "json_schema":
        return None
    return JsonOutput(schema=view.schema)
