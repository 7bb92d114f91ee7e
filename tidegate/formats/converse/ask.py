"""An `Ask` written as the body of Converse.

Turns of one role that follow one another become one message, for roles must alternate, and the
first one must be the user's. `ask.model` is the model's id at Bedrock: what a body may hold depends
on it.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from tidegate.errors import BadRequest
from tidegate.formats.converse.draft import Draft
from tidegate.formats.converse.models import traits
from tidegate.formats.converse.parts import Blocks
from tidegate.formats.converse.schema import fit
from tidegate.formats.converse.thinking import write_reasoning
from tidegate.formats.words import Ask, JsonOutput, Tool, ToolChoice

Json = dict[str, Any]

MAX_STOPS: Final = 2_500
NOTHING: Final = "."
"""What the user says who said nothing yet: a conversation must begin with more than a blank."""

_OWN_FIELDS: Final[dict[str, type]] = {
    "additionalModelRequestFields": dict,
    "additionalModelResponseFieldPaths": list,
    "guardrailConfig": dict,
    "performanceConfig": dict,
    "requestMetadata": dict,
}
"""Converse's own fields, which a caller of any format may send under these names."""
_TIERS: Final = ("priority", "default", "flex", "reserved")

_encode = msgspec.json.Encoder().encode


def write_ask(ask: Ask) -> tuple[Json, list[str]]:
    """The request's body and what could not be said. See `Spoken.write_ask`.

    Raises: `BadRequest` when there is nothing to ask, or one of Converse's own fields is misused.
    """
    draft = Draft(traits(ask.model))
    blocks = Blocks(draft)
    # Cache points are few: those that hold for longest come first.
    tools = _tools(ask, draft, blocks)
    system = _system(ask, blocks)
    draft.body["messages"] = _messages(ask, draft, blocks, system=bool(system))
    if system:
        draft.body["system"] = system
    _write_tool_config(ask, tools, draft)
    _write_inference(ask, draft)
    _write_output(ask.output, draft)
    _write_serial_tools(ask, draft)
    write_reasoning(ask, draft)
    _write_rest(ask, draft)
    for name in ("inferenceConfig", "additionalModelRequestFields"):
        if not draft.body.get(name, True):
            del draft.body[name]
    return draft.body, list(dict.fromkeys(draft.dropped))


def _system(ask: Ask, blocks: Blocks) -> list[Json]:
    """Instructions stand before the conversation, wherever they stood."""
    system: list[Json] = []
    for turn in ask.turns:
        if turn.role == "system":
            blocks.system(turn.parts, system)
    return system


def _messages(ask: Ask, draft: Draft, blocks: Blocks, *, system: bool) -> list[Json]:
    messages: list[Json] = []
    role = ""
    for turn in ask.turns:
        if turn.role == "system":
            continue
        content = blocks.turn(turn.parts, turn.role)
        if not content:
            continue
        if turn.name is not None:
            draft.drop("messages[].name")
        if turn.role == role:
            messages[-1]["content"] += content
        else:
            role = turn.role
            messages.append({"role": role, "content": content})
    if not messages and not system:
        raise BadRequest("messages: There is nothing in them to be answered.", param="messages")
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [{"text": NOTHING}]})
    return messages


# Tools


def _tools(ask: Ask, draft: Draft, blocks: Blocks) -> list[Json]:
    tools: list[Json] = []
    for tool in ask.tools:
        if not isinstance(tool, Tool):
            draft.drop(f"tools[{tool.value.get('type', tool.format)}]")
            continue
        tools.append({"toolSpec": _tool(tool, draft)})
        if tool.cache is not None:
            blocks.cache(tool.cache, "tools", tools)
    return tools


def _tool(tool: Tool, draft: Draft) -> Json:
    schema = tool.schema or {"properties": {}}
    if schema.get("type") != "object":
        schema = schema | {"type": "object"}
    spec: Json = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict and draft.may(draft.able.structured, "tools[strict]"):
        spec["strict"] = True
        schema = fit(schema, "tools")
    spec["inputSchema"] = {"json": schema}
    return spec


def _write_tool_config(ask: Ask, tools: list[Json], draft: Draft) -> None:
    choice = ask.tool_choice or ToolChoice("auto")
    used = _names_used(draft.body["messages"])
    if choice.mode == "none" and not used:
        return
    # Calls and their results are refused where no tool is described.
    described = tools or [{"toolSpec": _gone(name)} for name in used]
    if not described and choice.mode == "auto":
        return
    config: Json = {"tools": described}
    if described:
        draft.body["toolConfig"] = config
    if choice.mode == "auto":
        return
    if draft.may(choice.mode != "none" and bool(tools) and draft.able.forced_tools, "tool_choice"):
        named = {"tool": {"name": choice.name or ""}}
        config["toolChoice"] = {"any": {}} if choice.mode == "any" else named


def _names_used(messages: list[Json]) -> list[str]:
    """The names of the tools that were called, or `tool` where only results are left."""
    names: dict[str, None] = {}
    results = False
    for message in messages:
        for block in message["content"]:
            if "toolUse" in block:
                names[block["toolUse"]["name"]] = None
            elif "toolResult" in block:
                results = True
    return list(names) or (["tool"] if results else [])


def _gone(name: str) -> Json:
    return {
        "name": name,
        "description": "Not available any more: do not call it.",
        "inputSchema": {"json": {"type": "object"}},
    }


def _write_serial_tools(ask: Ask, draft: Draft) -> None:
    """One call at a time: said in Claude's own words, which must not meet Converse's choice."""
    config: Json | None = draft.body.get("toolConfig")
    if ask.parallel_tools is not False or config is None:
        return
    if draft.may(draft.able.one_tool and "toolChoice" not in config, "parallel_tool_calls"):
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        draft.additional["tool_choice"] = choice


# How to answer


def _write_inference(ask: Ask, draft: Draft) -> None:
    able, config = draft.able, draft.inference
    if ask.max_tokens is not None:
        config["maxTokens"] = ask.max_tokens
    if ask.temperature is not None and draft.may(able.sampling != "none", "temperature"):
        # The scale ends at 1, OpenAI's at 2.
        config["temperature"] = (
            ask.temperature if draft.may(ask.temperature <= 1, "temperature") else 1
        )
    one = able.sampling == "all" or (able.sampling == "one" and "temperature" not in config)
    if ask.top_p is not None and draft.may(one, "top_p"):
        config["topP"] = ask.top_p
    if ask.top_k is not None and draft.may(bool(able.top_k), "top_k"):
        place = draft.additional
        for name in able.top_k[:-1]:
            place = place.setdefault(name, {})
        place[able.top_k[-1]] = ask.top_k
    if ask.stop:
        _write_stops(ask.stop, draft)


def _write_stops(stop: tuple[str, ...], draft: Draft) -> None:
    blank = draft.able.blank_stops
    stops = [each for each in stop if each and (blank or not each.isspace())][:MAX_STOPS]
    draft.may(len(stops) == len(stop), "stop")
    if stops:
        draft.inference["stopSequences"] = stops
        if draft.able.stop_told:
            draft.body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]


def _write_output(output: JsonOutput | None, draft: Draft) -> None:
    if output is None:
        return
    if output.schema is None or not draft.able.structured:
        draft.drop("response_format")
        return
    schema: Json = {"schema": _encode(fit(output.schema, "response_format")).decode()}
    if output.name:
        schema["name"] = output.name
    if output.description:
        schema["description"] = output.description
    draft.body["outputConfig"] = {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}
    }


def _write_rest(ask: Ask, draft: Draft) -> None:
    tier = ask.service_tier
    if tier is not None and tier != "auto" and draft.may(tier in _TIERS, "service_tier"):
        draft.body["serviceTier"] = {"type": tier}
    _drop_unsaid(ask, draft)
    for name, value in ask.extra.items():
        if value is not None and draft.may(name in _OWN_FIELDS, name):
            _write_own(name, value, draft.body)


def _drop_unsaid(ask: Ask, draft: Draft) -> None:
    for name, unsaid in (
        ("seed", ask.seed is not None),
        ("presence_penalty", ask.presence_penalty is not None),
        ("frequency_penalty", ask.frequency_penalty is not None),
        ("user", ask.user is not None),
        ("n", ask.n not in (None, 1)),
        ("logprobs", ask.logprobs),
        ("top_logprobs", ask.top_logprobs),
    ):
        if unsaid:
            draft.drop(name)


def _write_own(name: str, value: Any, body: Json) -> None:
    """One of Converse's own fields, beside what is there already."""
    kind = _OWN_FIELDS[name]
    if not isinstance(value, kind):
        raise BadRequest(f"{name}: Expected {kind.__name__}.", param=name)
    if kind is dict:
        body[name] = body.get(name, {}) | cast("Json", value)
    else:
        body[name] = [*body.get(name, []), *cast("Sequence[Any]", value)]
