"""A request in Google's words: the body of `generateContent` and `streamGenerateContent`.

What Google has no word for is named, not said: the caller's user name, one call of a tool at a
time, stop sequences beyond five. What only some models have is said to those that have it.
"""

from __future__ import annotations

from typing import Any

from tidegate.errors import BadRequest
from tidegate.formats.gemini.models import Model, model, thinking
from tidegate.formats.gemini.schema import clean
from tidegate.formats.gemini.turns import Contents
from tidegate.formats.words import Ask, ForeignTool, JsonOutput, Reasoning, Tool

Json = dict[str, Any]

_STOPS = 5
_SEEDS = range(-(2**31), 2**31)
_MODES = {"auto": "AUTO", "none": "NONE", "any": "ANY", "tool": "ANY"}
_TIERS = {
    "default": "standard",
    "standard_only": "standard",
    "flex": "flex",
    "priority": "priority",
}
_BARE = frozenset({"type", "properties", "required", "additionalProperties", "$schema", "title"})


def write_ask(ask: Ask) -> tuple[Json, list[str]]:
    """The body, and the names of what could not be said.

    `ask.model` is the model's name at Google: what may be said depends on it.

    Raises: `BadRequest` when tool results and calls do not fit together, or a schema is too deep.
    """
    dropped: list[str] = []
    of = model(ask.model)
    contents = Contents(of, dropped)
    contents.take(ask.turns)
    body: Json = {"contents": contents.contents}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    config = _config(ask, dropped)
    try:
        if ask.tools:
            _write_tools(body, ask, of, dropped)
        if ask.output is not None:
            _write_output(config, ask, ask.output, dropped)
    except RecursionError:
        raise BadRequest("A JSON schema is nested too deeply.") from None
    if ask.reasoning is not None:
        _write_reasoning(config, ask.reasoning, of, dropped)
    if config:
        body["generationConfig"] = config
    if ask.service_tier in _TIERS:
        body["serviceTier"] = _TIERS[ask.service_tier]
    elif ask.service_tier not in (None, "auto"):
        dropped.append("service_tier")
    if ask.user is not None:
        dropped.append("user")
    dropped += ask.extra
    return body, list(dict.fromkeys(dropped))


def _write_tools(body: Json, ask: Ask, of: Model, dropped: list[str]) -> None:
    declared: list[Json] = []
    strict = True
    for tool in ask.tools:
        if isinstance(tool, ForeignTool):
            named = tool.value.get("name") or tool.value.get("type") or tool.format
            dropped.append(f"tools[{str(named)[:100]}]")
        else:
            declared.append(_declaration(tool, dropped))
            strict = strict and tool.strict is True
    if not declared:
        return
    body["tools"] = [{"functionDeclarations": declared}]
    if ask.parallel_tools is False:
        dropped.append("parallel_tool_calls")
    choice = ask.tool_choice
    mode = _MODES[choice.mode] if choice is not None else "AUTO"
    if mode == "AUTO" and strict and of.validates:
        mode = "VALIDATED"
    elif mode == "AUTO" and any(isinstance(each, Tool) and each.strict for each in ask.tools):
        dropped.append("tools[].strict")
    if choice is None and mode == "AUTO":
        return
    calling: Json = {"mode": mode}
    if choice is not None and choice.mode == "tool" and choice.name:
        calling["allowedFunctionNames"] = [choice.name]
    body["toolConfig"] = {"functionCallingConfig": calling}


def _declaration(tool: Tool, dropped: list[str]) -> Json:
    if tool.cache is not None:
        dropped.append("cache_control")
    said: Json = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    schema = tool.schema
    # An object without properties is no object to Google; a function without parameters is one.
    if schema and (schema.get("properties") or not schema.keys() <= _BARE):
        said["parametersJsonSchema"] = clean(schema, dropped)
    return said


def _config(ask: Ask, dropped: list[str]) -> Json:
    config: Json = {}
    for name, value in (
        ("maxOutputTokens", ask.max_tokens),
        ("temperature", ask.temperature),
        ("topP", ask.top_p),
        ("topK", ask.top_k),
        ("presencePenalty", ask.presence_penalty),
        ("frequencyPenalty", ask.frequency_penalty),
    ):
        if value is not None:
            config[name] = value
    if ask.n is not None and ask.n > 1:
        config["candidateCount"] = ask.n
    if ask.logprobs:
        config["responseLogprobs"] = True
        if ask.top_logprobs:
            config["logprobs"] = ask.top_logprobs
    if ask.stop:
        config["stopSequences"] = [stop for stop in ask.stop if stop][:_STOPS]
        if len(ask.stop) > _STOPS:
            dropped.append("stop")
    if ask.seed is not None and ask.seed not in _SEEDS:
        dropped.append("seed")
    elif ask.seed is not None:
        config["seed"] = ask.seed
    return config


def _write_reasoning(config: Json, reasoning: Reasoning, of: Model, dropped: list[str]) -> None:
    said = thinking(reasoning, of)
    if said:
        config["thinkingConfig"] = said
    elif said is None and reasoning.effort != "none":
        dropped.append("reasoning_effort")


def _write_output(config: Json, ask: Ask, output: JsonOutput, dropped: list[str]) -> None:
    if not model(ask.model).combines and any(isinstance(tool, Tool) for tool in ask.tools):
        dropped.append("response_format")
        return
    config["responseMimeType"] = "application/json"
    if output.schema is not None:
        schema = clean(output.schema, dropped)
        if output.description and "$ref" not in schema:
            schema.setdefault("description", output.description)
        config["responseJsonSchema"] = schema
