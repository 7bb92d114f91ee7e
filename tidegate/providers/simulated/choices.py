"""What is said: for each choice its thoughts, its tokens, its tool calls and why it ended.

Tokens are JSON-escaped text without quotes, so that joining them is the whole text, escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Final
from zlib import crc32

import msgspec

from tidegate.providers.simulated.asking import Ask, Tool
from tidegate.providers.simulated.reply import Turn
from tidegate.providers.simulated.schema import instance, misfit

_PIECE = re.compile(r".{1,4}", re.DOTALL)
_APART: Final = 997  # how far apart in the vocabulary the choices of one request begin
_THOUGHTS: Final = 8  # tokens of reasoning when it is asked for without a number
_SIGNED = b"tidegate simulated thoughts"


@dataclass(slots=True)
class Call:
    """A tool call: its opening and each piece of its arguments is one token."""

    number: bytes  # what its id ends with, after the vendor's own prefix
    name: bytes  # as JSON, with quotes
    pieces: list[bytes]
    broken: bool = False

    @property
    def arguments(self) -> bytes:
        """The arguments as a JSON value: an object, or the text of what is none."""
        text = text_of(self.pieces)
        return msgspec.json.encode(text) if self.broken else text.encode()


@dataclass(slots=True)
class Choice:
    """One answer among `n`. `finish` is OpenAI's word; other formats have their own for it."""

    index: int
    tokens: list[bytes]
    finish: bytes = b"stop"
    calls: list[Call] = field(default_factory=list[Call])
    thoughts: list[bytes] = field(default_factory=list[bytes])
    stopped: str | None = None
    """The stop sequence that ended it."""

    def __len__(self) -> int:
        """The visible tokens."""
        return len(self.tokens) + sum(1 + len(call.pieces) for call in self.calls)

    @property
    def text(self) -> bytes:
        """The whole text, JSON-escaped."""
        return b"".join(self.tokens)

    @property
    def thought(self) -> bytes:
        """All its thoughts, JSON-escaped."""
        return b"".join(self.thoughts)


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


def converse(ask: Ask, turn: Turn) -> list[Choice]:
    """The choices of a chat: tool calls, structured output or text, whichever is asked for."""
    echoes = "echo" in turn.faults
    tools = [] if echoes else _chosen_tools(ask)
    thoughts = _think(ask, turn)
    choices: list[Choice] = []
    for index in range(ask.number):
        if echoes or (not tools and ask.schema is None):
            choices.append(speak(turn, ask.prompt, index, ask.budget, ask.stops))
            continue
        rng = Random(turn.vocabulary.start(ask.prompt) * _APART + index)  # noqa: S311 - repeatable
        if tools:
            calls = [_call(tool, turn, index, at, rng) for at, tool in enumerate(tools)]
            choice = Choice(index, [], b"tool_calls", calls)
        else:
            choice = Choice(index, _json_pieces(_value(ask.schema, turn, rng)))
        choices.append(_end(choice, turn, ask.budget))
    choices[0].thoughts = thoughts
    return choices


def signature(thought: bytes) -> bytes:
    """What signs the thoughts of this (JSON-escaped) text; only these two go together."""
    digest = blake2b(thought, digest_size=30, key=_SIGNED).digest()
    return base64.b64encode(digest)


def is_signed(thought: str, given: object) -> bool:
    """Whether `given` is the signature under thoughts of this text."""
    return isinstance(given, str) and given.encode() == signature(_escaped(thought))


def _think(ask: Ask, turn: Turn) -> list[bytes]:
    number = turn.faults.number("thinking") if turn.faults else None
    if number is None:
        if not ask.thinks:
            return []
        number = _THOUGHTS
    turn.meter.reasoning_tokens = max(turn.meter.reasoning_tokens, number)
    return turn.vocabulary.tokens(turn.vocabulary.start(ask.prompt) + _APART // 2, number)


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
        if len(call.pieces) > budget - 1:
            del call.pieces[budget - 1 :]
            call.broken = True
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
    choice.stopped = stop


def text_of(tokens: list[bytes]) -> str:
    """The text of JSON-escaped tokens."""
    return msgspec.json.decode(b'"%b"' % b"".join(tokens), type=str)


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _pieces(text: str) -> list[bytes]:
    return [_escaped(piece) for piece in _PIECE.findall(text)]


def _json_pieces(value: Any) -> list[bytes]:
    return _pieces(msgspec.json.encode(value).decode())


def _value(schema: object, turn: Turn, rng: Random) -> Any:
    return (misfit if "badschema" in turn.faults else instance)(schema, rng)


def _chosen_tools(ask: Ask) -> list[Tool]:
    """The tools to call: demanded ones, or what the prompt asks for in so many words."""
    if not ask.tools:
        return []
    if ask.choice == "named":
        return [tool for tool in ask.tools if tool.name in ask.named][:1]
    if ask.choice == "any":
        return list(ask.tools[:1])
    asked = ask.prompt.lower()
    if ask.choice == "none" or ask.answered or "call the tool" not in asked:
        return []
    return list(ask.tools[: None if "call the tools" in asked else 1])


def _call(tool: Tool, turn: Turn, index: int, at: int, rng: Random) -> Call:
    number = crc32(tool.name.encode("utf-8", "replace"), turn.ordinal) & 0xFFFFFF
    value = _value(tool.schema or {"type": "object"}, turn, rng)
    pieces = _json_pieces(value)
    broken = "badargs" in turn.faults
    if broken:
        pieces[-1:] = _pieces(text_of(pieces[-1:])[:-1])  # without its closing brace
    return Call(
        number=b"%06x%x%x" % (number, index, at),
        name=msgspec.json.encode(tool.name),
        pieces=pieces,
        broken=broken,
    )
