"""A request in the Messages format, written from neutral words.

What the format, or the generation of the model, has no word for is told by name. Two things are
said in another way besides: JSON without a schema, or for a model that cannot be held to one, is
asked for in the instructions as well as told; and a `temperature` above 1, the format's highest,
is sent as 1.
"""

from __future__ import annotations

from tidegate.errors import BadRequest
from tidegate.formats.messages.models import Traits, traits
from tidegate.formats.messages.parts import FORMAT, write_block, write_blocks
from tidegate.formats.messages.schema import fit, of_object
from tidegate.formats.messages.shapes import Json, encode
from tidegate.formats.messages.thinking import write_reasoning
from tidegate.formats.words import Ask, ForeignTool, JsonOutput, Text, Tool, Turn

MAX_TOKENS = 4_096
"""The length of an answer where neither the caller nor the operator names one: it must be said."""
PASSED = frozenset({
    "cache_control", "container", "context_management", "inference_geo", "mcp_servers", "speed",
    "thinking",
})  # fmt: skip
"""Fields that callers of other formats add under this format's own names."""

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "priority": "auto"}
_OBJECT = "Answer with one JSON object and nothing else: no words around it, no code fence."
_SCHEMA = "Answer with JSON and nothing else: no words around it, no code fence. Its JSON schema: "


def write_ask(
    ask: Ask, *, default: int | None = None, ceiling: int | None = None
) -> tuple[Json, list[str]]:
    """See `Spoken.write_ask`. `ask.model` is the model that is asked: it decides what is sent.

    Args:
        ask: the request.
        default: tokens of the answer where `ask` names none.
        ceiling: tokens of the answer at most.

    Raises: `BadRequest`.
    """
    try:
        return _write(ask, default, ceiling)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def _write(ask: Ask, default: int | None, ceiling: int | None) -> tuple[Json, list[str]]:
    able, dropped = traits(ask.model), list[str]()
    length = ask.max_tokens
    if length is None:
        length = default if default is not None else MAX_TOKENS
    body: Json = {"max_tokens": length if ceiling is None else min(length, ceiling)}
    system, body["messages"] = _write_turns(ask.turns, dropped)
    if ask.output is not None:
        _write_output(body, system, ask.output, able, dropped)
    if system:
        plain = len(system) == 1 and system[0].keys() == {"type", "text"}
        body["system"] = system[0]["text"] if plain else system
    if ask.tools:
        _write_tools(body, ask, able, dropped)
    if ask.stop:
        body["stop_sequences"] = list(ask.stop)
    _write_sampling(body, ask, able, dropped)
    _write_terms(body, ask, dropped)
    dropped += write_reasoning(body, ask, able, ceiling)
    for name, value in ask.extra.items():
        if name in PASSED:
            body.setdefault(name, value)
        else:
            dropped.append(name)
    return body, dropped


def _write_turns(turns: tuple[Turn, ...], dropped: list[str]) -> tuple[list[Json], list[Json]]:
    """The instructions and the messages.

    Instructions stand in front, wherever they were; turns of one role in a row become one; what
    tools gave stands first in its turn. A request of instructions only asks them as the user.
    """
    system: list[Json] = []
    messages: list[Json] = []
    for turn in turns:
        if turn.name is not None:
            dropped.append("messages[].name")
        if turn.role == "system":
            system += _write_instructions(turn, dropped)
            continue
        blocks = write_blocks(turn.parts, dropped)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == turn.role:
            content: list[Json] = messages[-1]["content"]
            content += blocks
        else:
            content = blocks
            messages.append({"role": turn.role, "content": content})
        if len(content) > 1 and turn.role == "user":
            content.sort(key=_is_no_result)
    if messages:
        return system, messages
    if not system:
        raise BadRequest("No message has any content.", param="messages")
    return [], [{"role": "user", "content": system}]


def _write_instructions(turn: Turn, dropped: list[str]) -> list[Json]:
    blocks: list[Json] = []
    for part in turn.parts:
        if isinstance(part, Text):
            block = write_block(part, dropped)
            if block is not None:
                blocks.append(block)
        else:
            dropped.append(f"system[{type(part).__name__.lower()}]")
    return blocks


def _is_no_result(block: Json) -> bool:
    return block["type"] != "tool_result"


def _write_output(
    body: Json, system: list[Json], output: JsonOutput, able: Traits, dropped: list[str]
) -> None:
    if output.schema is not None and able.schemas:
        body["output_config"] = {"format": {"type": "json_schema", "schema": fit(output.schema)}}
        return
    # The answer is asked for this form all the same, so it is the field's word that is left out.
    kind = "json_object" if output.schema is None else "json_schema"
    dropped.append(f"response_format.{kind}")
    wanted = _OBJECT if output.schema is None else _SCHEMA + encode(output.schema).decode()
    system.append({"type": "text", "text": wanted})


def _write_tools(body: Json, ask: Ask, able: Traits, dropped: list[str]) -> None:
    tools = [
        written for tool in ask.tools if (written := _write_tool(tool, able, dropped)) is not None
    ]
    if not tools:
        return
    body["tools"] = tools
    choice: Json = {}
    if ask.tool_choice is not None:
        choice["type"] = ask.tool_choice.mode
        if choice["type"] in ("any", "tool") and not able.forced_tools:
            choice["type"] = "auto"
            dropped.append("tool_choice")
        elif choice["type"] == "tool":
            choice["name"] = ask.tool_choice.name
    elif ask.parallel_tools is not None:
        choice["type"] = "auto"
    if choice:
        if ask.parallel_tools is not None and choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not ask.parallel_tools
        body["tool_choice"] = choice


def _write_tool(tool: Tool | ForeignTool, able: Traits, dropped: list[str]) -> Json | None:
    if isinstance(tool, ForeignTool):
        if tool.format == FORMAT:
            return tool.value
        dropped.append(f"tools[{tool.value.get('type', tool.format)}]")
        return None
    written: Json = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    schema, strict = of_object(tool.schema), bool(tool.strict) and able.schemas
    written["input_schema"] = fit(schema) if strict else schema
    if strict:
        written["strict"] = True
    elif tool.strict:
        dropped.append("tools[].strict")
    if tool.cache is not None:
        written["cache_control"] = tool.cache
    return written


def _write_sampling(body: Json, ask: Ask, able: Traits, dropped: list[str]) -> None:
    """Sampling, where the model takes it; what only says the default is left out without a word."""
    temperature, top_p = ask.temperature, ask.top_p
    if able.sampling == "none":
        asked = (("temperature", temperature, 1), ("top_p", top_p, 1), ("top_k", ask.top_k, None))
        dropped += [name for name, value, default in asked if value not in (None, default)]
        return
    if temperature is not None:
        body["temperature"] = min(1.0, max(0.0, temperature))
        if body["temperature"] != temperature:
            dropped.append("temperature")
    if top_p is not None and (able.sampling == "all" or temperature is None):
        body["top_p"] = top_p
    elif top_p not in (None, 1):
        dropped.append("top_p")
    if ask.top_k is not None:
        body["top_k"] = ask.top_k


def _write_terms(body: Json, ask: Ask, dropped: list[str]) -> None:
    """For whom and how fast; what the format has no word for is told."""
    if ask.user is not None:
        body["metadata"] = {"user_id": ask.user}
    if ask.service_tier in _SERVICE_TIERS:
        body["service_tier"] = _SERVICE_TIERS[ask.service_tier]
    elif ask.service_tier is not None:
        dropped.append("service_tier")
    if ask.stream:
        body["stream"] = True
    _drop_unsaid(ask, dropped)


def _drop_unsaid(ask: Ask, dropped: list[str]) -> None:
    if ask.seed is not None:
        dropped.append("seed")
    if ask.n is not None and ask.n > 1:
        dropped.append("n")
    if ask.presence_penalty:
        dropped.append("presence_penalty")
    if ask.frequency_penalty:
        dropped.append("frequency_penalty")
    if ask.logprobs:
        dropped.append("logprobs")
    if ask.top_logprobs:
        dropped.append("top_logprobs")
