"""An `Ask` written as a chat request.

What cannot be said is returned by the name of the caller's field.

Source: platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Any

from tidegate.formats.chat.accent import PLAIN, Accent
from tidegate.formats.chat.turns import kind_of, write_turn
from tidegate.formats.words import Ask, JsonOutput, Reasoning, Tool, ToolChoice

Json = dict[str, Any]

LOW_BUDGET_TOKENS, MEDIUM_BUDGET_TOKENS = 2_048, 8_192
"""Up to these budgets the effort is `low` and `medium`."""

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_AS_THEY_ARE = (
    "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "n", "logprobs",
    "top_logprobs", "user",
)  # fmt: skip


def write_ask(ask: Ask, accent: Accent = PLAIN) -> tuple[Json, list[str]]:
    """The request's body and what could not be said. See `Spoken.write_ask`."""
    dropped: list[str] = []
    messages: list[Json] = []
    for turn in ask.turns:
        write_turn(turn, messages, accent, dropped)
    body: Json = {"messages": messages}
    _write_bounds(ask, body, accent, dropped)
    _write_tools(ask, body, accent, dropped)
    if ask.output is not None:
        body["response_format"] = _response_format(ask.output)
    if ask.reasoning is not None:
        _write_reasoning(ask.reasoning, body, dropped)
    if ask.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    extra = ask.extra if ask.top_k is None else {"top_k": ask.top_k, **ask.extra}
    for name, value in extra.items():
        if name in accent.also:
            body[name] = value
        else:
            dropped.append(name)
    return body, list(dict.fromkeys(dropped))


def _write_bounds(ask: Ask, body: Json, accent: Accent, dropped: list[str]) -> None:
    """What needs no other words than it has."""
    for name in _AS_THEY_ARE:
        value = getattr(ask, name)
        if value is not None:
            body[name] = value
    if ask.max_tokens is not None:
        body[accent.output_field] = ask.max_tokens
    if ask.stop:
        body["stop"] = list(ask.stop[: accent.stops])
        if len(ask.stop) > accent.stops:
            dropped.append("stop")
    if ask.service_tier in _TIERS:
        body["service_tier"] = ask.service_tier
    elif ask.service_tier is not None:
        dropped.append("service_tier")


def _write_tools(ask: Ask, body: Json, accent: Accent, dropped: list[str]) -> None:
    """Tools, and what is said about their use: that alone would be refused."""
    tools: list[Json] = []
    for tool in ask.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, accent, dropped))
        elif tool.format == "chat":
            tools.append(tool.value)
        else:
            dropped.append(f"tools[{kind_of(tool.value)}]")
    if tools:
        body["tools"] = tools
        if ask.tool_choice is not None:
            body["tool_choice"] = _tool_choice(ask.tool_choice)
        if ask.parallel_tools is not None:
            body["parallel_tool_calls"] = ask.parallel_tools
    elif ask.tool_choice is not None and ask.tool_choice.mode in ("any", "tool"):
        dropped.append("tool_choice")


def _tool(tool: Tool, accent: Accent, dropped: list[str]) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    said: Json = {"type": "function", "function": function}
    if tool.cache is not None:
        if accent.cache:
            said["cache_control"] = tool.cache
        else:
            dropped.append("cache_control")
    return said


def _tool_choice(choice: ToolChoice) -> str | Json:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.mode == "any" else choice.mode


def _response_format(output: JsonOutput) -> Json:
    if output.schema is None:
        return {"type": "json_object"}
    told: Json = {"name": output.name or "answer", "schema": output.schema}
    if output.strict is not None:
        told["strict"] = output.strict
    if output.description is not None:
        told["description"] = output.description
    return {"type": "json_schema", "json_schema": told}


def _write_reasoning(reasoning: Reasoning, body: Json, dropped: list[str]) -> None:
    """The effort; a budget becomes the effort that comes nearest."""
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is None and budget is not None:
        effort = (
            "low"
            if budget <= LOW_BUDGET_TOKENS
            else "medium"
            if budget <= MEDIUM_BUDGET_TOKENS
            else "high"
        )
    if effort is not None:
        body["reasoning_effort"] = effort
    if reasoning.summary is not None:
        dropped.append("reasoning.summary")
