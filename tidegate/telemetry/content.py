"""Prompt and answer as the conventions want them: `gen_ai.input.messages` and the like, bounded.

Of a long conversation the newest is kept; images, files and sound are named but not sent along.
What cannot be read (a cut answer, another format) is left out: a trace is no archive.

Source: OpenTelemetry semantic conventions for generative AI, "Recording content on attributes",
with the JSON schemas of input and output messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from tidegate.formats.heard import HEARD
from tidegate.formats.words import (
    Audio,
    File,
    Image,
    Part,
    Refusal,
    Said,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)
from tidegate.telemetry.joined import SPOKEN, UNREADABLE, joined
from tidegate.telemetry.record import Record

CONTENT_CHARACTERS: Final = 32 << 10
"""Of each attribute; what surrounds texts in JSON comes on top."""
_PART_CHARACTERS: Final = 64
"""What a part counts besides its text, so that there are not too many."""
_CUT: Final = "…"
_FINISHES: Final = {"tool_calls": "tool_call", "refusal": "content_filter", "other": "error"}

Json = dict[str, Any]


def content(record: Record) -> dict[str, str]:
    """The attributes that tell what `record` has of prompt and answer, as JSON."""
    found: dict[str, str] = {}
    if record.request_body is not None:
        asked = _asked(record.wire, record.request_body)
        if asked:
            found["gen_ai.input.messages"] = msgspec.json.encode(asked).decode()
    if record.response_body is not None:
        said = _said(record.wire, record.response_body)
        if said:
            found["gen_ai.output.messages"] = msgspec.json.encode(said).decode()
    return found


def said(wire: str, body: bytes) -> str:
    """The text of an answer's first choice, a refusal's words included; empty if it has none."""
    choices = _choices(wire, body)
    parts = choices[0].parts if choices else ()
    return "\n".join(part.text for part in parts if isinstance(part, Text | Refusal))


def _asked(wire: str, body: bytes) -> list[Json]:
    heard = HEARD.get(wire)
    if heard is None or wire == "embeddings":
        return []
    try:
        turns = heard.read_ask(msgspec.json.decode(body, type=dict[str, Any])).turns
    except (*UNREADABLE, RecursionError):
        return []
    room, told = _Room(), list[Json]()
    for turn in reversed(turns):
        parts = list(_parts(reversed(turn.parts), room))[::-1]
        if parts:
            told.append({"role": _role(turn), "parts": parts})
        if room.left <= 0:
            break
    return told[::-1]


def _said(wire: str, body: bytes) -> list[Json]:
    room = _Room()
    return [
        {
            "role": "assistant",
            "parts": list(_parts(each.parts, room)),
            "finish_reason": _FINISHES.get(each.finish, each.finish),
        }
        for each in _choices(wire, body)
    ]


def _choices(wire: str, body: bytes) -> tuple[Said, ...]:
    spoken = SPOKEN.get(wire)
    if spoken is None:
        return ()
    try:
        is_whole = body.lstrip()[:1] == b"{"
        reply = spoken.read_reply(body) if is_whole else joined(wire, body)
    except (*UNREADABLE, RecursionError):
        return ()
    return reply.choices if reply is not None else ()


class _Room:
    """How much more may be told."""

    def __init__(self) -> None:
        self.left = CONTENT_CHARACTERS

    def take(self, text: str) -> str:
        self.left -= _PART_CHARACTERS
        kept = text if len(text) <= self.left else text[: max(0, self.left)] + _CUT
        self.left -= len(kept)
        return kept


def _parts(parts: Iterable[Part], room: _Room) -> Iterator[Json]:
    for part in parts:
        if room.left <= 0:
            return
        told = _part(part, room)
        if told is not None:
            yield told


def _part(part: Part, room: _Room) -> Json | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "content": room.take(part.text)}
        case Thinking():
            return {"type": "reasoning", "content": room.take(part.text)} if part.text else None
        case ToolUse():
            name, arguments = part.name[:_PART_CHARACTERS], _plain(room.take(part.arguments))
            return {"type": "tool_call", "id": part.id[:_PART_CHARACTERS], "name": name,
                    "arguments": arguments}  # fmt: skip
        case ToolResult():
            texts = [each.text for each in part.parts if isinstance(each, Text)]
            return {"type": "tool_call_response", "id": part.id[:_PART_CHARACTERS],
                    "response": room.take("\n".join(texts))}  # fmt: skip
        case Image() | Audio() | File():
            room.take("")
            return {"type": type(part).__name__.lower()}
        case _:
            return None


def _plain(arguments: str) -> object:
    try:
        return msgspec.json.decode(arguments)
    except (*UNREADABLE, RecursionError):  # as the model wrote it, or cut
        return arguments


def _role(turn: Turn) -> str:
    return "tool" if any(isinstance(part, ToolResult) for part in turn.parts) else turn.role
