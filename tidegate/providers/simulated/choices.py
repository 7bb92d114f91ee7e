"""What is said: for each choice its tokens, its tool calls and why it ended.

Tokens are JSON-escaped text without quotes, so that joining them is the whole text, escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast
from zlib import crc32

import msgspec

from tidegate.providers.simulated.reply import Turn
from tidegate.providers.simulated.requests import ChatRequest, Refusal
from tidegate.providers.simulated.schema import instance

_PIECE = re.compile(r".{1,4}", re.DOTALL)
_APART: Final = 997  # how far apart in the vocabulary the choices of one request begin


@dataclass(slots=True)
class Call:
    """A tool call: its opening and each piece of its arguments is one token."""

    id: bytes
    name: bytes  # as JSON, with quotes
    pieces: list[bytes]
    opened: bool = True


@dataclass(slots=True)
class Choice:
    """One answer among `n`."""

    index: int
    tokens: list[bytes]
    finish: bytes = b"stop"
    calls: list[Call] = field(default_factory=list[Call])

    def __len__(self) -> int:
        return len(self.tokens) + sum(1 + len(call.pieces) for call in self.calls)


def speak(
    turn: Turn, prompt: str, index: int, budget: int | None, stops: Iterable[str] = ()
) -> Choice:
    """Plain text: as long as drawn, cut at a stop sequence and at the budget."""
    if "echo" in turn.faults:
        choice = Choice(index, _pieces(turn.body.decode("utf-8", "replace")))
    else:
        vocabulary = turn.vocabulary
        start = vocabulary.start(prompt) + index * _APART
        choice = Choice(index, vocabulary.tokens(start, turn.pace.draw_length()))
    for stop in stops:
        _stop_at(choice, stop)
    return _end(choice, turn, budget)


def converse(ask: ChatRequest, turn: Turn) -> list[Choice]:
    """The choices of a chat: tool calls, structured output or text, whichever is asked for."""
    last = ask.messages[-1]
    prompt = last.text()
    budget = ask.max_completion_tokens or ask.max_tokens
    tools, finish = _chosen_tools(ask, prompt)
    schema = _schema(ask.response_format)
    choices: list[Choice] = []
    for index in range(ask.n or 1):
        if not tools and schema is None:
            choices.append(speak(turn, prompt, index, budget, ask.stops))
            continue
        rng = Random(turn.vocabulary.start(prompt) * _APART + index)  # noqa: S311 - repeatable
        if tools:
            calls = [_call(tool, turn, index, at, rng) for at, tool in enumerate(tools)]
            choice = Choice(index, [], finish, calls)
        else:
            choice = Choice(index, _json_pieces(instance(schema, rng)))
        choices.append(_end(choice, turn, budget))
    return choices


def _end(choice: Choice, turn: Turn, budget: int | None) -> Choice:
    faults = turn.faults
    if budget is not None:
        budget = max(0, budget - turn.meter.reasoning_tokens)
        if len(choice) > budget:
            _shorten(choice, budget, b"length")
    if "length" in faults:
        choice.finish = b"length"
    if "content-filter" in faults:
        _shorten(choice, len(choice) // 2, b"content_filter")
    turn.meter.visible_tokens += len(choice)
    return choice


def _shorten(choice: Choice, budget: int, finish: bytes) -> None:
    choice.finish = finish
    del choice.tokens[budget:]
    budget -= len(choice.tokens)
    calls: list[Call] = []
    for call in choice.calls:
        if budget <= 0:
            break
        del call.pieces[budget - 1 :]
        budget -= 1 + len(call.pieces)
        calls.append(call)
    choice.calls = calls


def _stop_at(choice: Choice, stop: str) -> None:
    """Cut the text before `stop`, which is never part of an answer."""
    text = text_of(choice.tokens)
    at = text.find(stop)
    if at < 0:
        return
    kept: list[bytes] = []
    for token in choice.tokens:
        said = text_of([token])
        if len(said) >= at:
            if at:
                kept.append(_escaped(said[:at]))
            break
        kept.append(token)
        at -= len(said)
    choice.tokens = kept


def text_of(tokens: list[bytes]) -> str:
    """The text of JSON-escaped tokens."""
    return msgspec.json.decode(b'"%b"' % b"".join(tokens), type=str)


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _pieces(text: str) -> list[bytes]:
    return [_escaped(piece) for piece in _PIECE.findall(text)]


def _json_pieces(value: Any) -> list[bytes]:
    return _pieces(msgspec.json.encode(value).decode())


def _schema(response_format: Mapping[str, Any] | None) -> object | None:
    match (response_format or {}).get("type"):
        case "json_object":
            return {"properties": {"answer": {"type": "string"}}}
        case "json_schema":
            named: Any = (response_format or {}).get("json_schema")
            schema = cast("Any", named.get("schema")) if isinstance(named, dict) else None
            if not isinstance(schema, dict):
                param = "response_format"
                raise Refusal(400, f"Missing '{param}.json_schema.schema'", param=param)
            return cast("object", schema)
        case _:
            return None


def _chosen_tools(ask: ChatRequest, prompt: str) -> tuple[list[Mapping[str, Any]], bytes]:
    """The functions to call and the finish reason that goes with how they were chosen."""
    functions = [_function(tool) for tool in ask.tools or ()]
    choice = ask.tool_choice
    if isinstance(choice, dict):
        wanted: Any = choice.get("function")
        name: Any = cast("Any", wanted.get("name")) if isinstance(wanted, dict) else None
        named = [function for function in functions if function.get("name") == name]
        if not named:
            raise Refusal(400, "Tool choice names no tool of 'tools'", param="tool_choice")
        return named[:1], b"stop"  # OpenAI's quirk: a call that was dictated ends with "stop"
    if choice == "required":
        if not functions:
            raise Refusal(400, "'tool_choice' needs 'tools'", param="tool_choice")
        return functions[:1], b"tool_calls"
    asked = prompt.lower()
    if choice == "none" or ask.messages[-1].role == "tool" or "call the tool" not in asked:
        return [], b"stop"
    return functions[: None if "call the tools" in asked else 1], b"tool_calls"


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function: Any = tool.get("function")
    if not isinstance(function, dict):
        raise Refusal(400, "Missing required parameter: 'tools[0].function'.", param="tools")
    return cast("Mapping[str, Any]", function)


def _call(function: Mapping[str, Any], turn: Turn, index: int, at: int, rng: Random) -> Call:
    name = str(function.get("name", ""))
    number = crc32(name.encode("utf-8", "replace"), turn.ordinal) & 0xFFFFFF
    arguments = instance(function.get("parameters") or {"type": "object"}, rng)
    return Call(
        id=b"call_%06x%x%x" % (number, index, at),
        name=msgspec.json.encode(name),
        pieces=_json_pieces(arguments),
    )
