"""What was asked and answered, as far as it is kept: turns of plain texts, with the masks in them.

Whatever stands in a text, it is only ever text. What is very long is cut as in a trace: of a
conversation the newest is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from tidegate.console.plain import plain
from tidegate.guard.redaction.text import KINDS
from tidegate.telemetry.content import CONTENT_CHARACTERS, content
from tidegate.telemetry.record import Record

_MARK: Final = re.compile(r"(\[(?:" + "|".join(kind.upper() for kind in KINDS) + r")\])")
_NAMES: Final = {
    "reasoning": "reasoning",
    "tool_call": "calls a tool",
    "tool_call_response": "result of a tool",
}


_ROOM: Final = 64
"""What `content` counts for each piece besides its text."""


class Bit(Struct, frozen=True):
    """A part of a text; a mark stands for what was masked."""

    text: str
    masked: bool = False


class Piece(Struct, frozen=True):
    """A text, a tool's call or result, or the name of what is not shown."""

    bits: tuple[Bit, ...] = ()
    kind: str = ""
    """Empty for what was simply said."""
    name: str = ""


class Turn(Struct, frozen=True):
    """What one of them said at a time."""

    role: str
    pieces: tuple[Piece, ...]
    finish: str | None = None


class Talk(Struct, frozen=True):
    """All that is kept of prompt and answer."""

    asked: tuple[Turn, ...] = ()
    answered: tuple[Turn, ...] = ()
    raw: tuple[tuple[str, tuple[Bit, ...]], ...] = ()
    """Bodies that could not be read as a conversation, each with its name."""
    notes: tuple[str, ...] = ()


def talk_of(record: Record) -> Talk:
    """What `record` has of prompt and answer."""
    if record.request_body is None and record.response_body is None:
        return Talk(notes=(_not_kept(record),))
    masked = record.bodies == "redacted"
    told = content(record)
    asked = tuple(_turns(told.get("gen_ai.input.messages"), masked=masked))
    answered = tuple(_turns(told.get("gen_ai.output.messages"), masked=masked))
    raw = [
        (name, _bits(body[: 4 * CONTENT_CHARACTERS].decode(errors="replace"), masked=masked))
        for name, body, read in (
            ("request", record.request_body, asked),
            ("answer", record.response_body, answered),
        )
        if body and not read
    ]
    return Talk(asked, answered, tuple(raw), tuple(_notes(record, _is_full(asked, answered))))


def _is_full(*sides: tuple[Turn, ...]) -> bool:
    """Whether one of them has as much as is ever shown."""
    return any(
        sum(
            _ROOM + sum(len(bit.text) for bit in piece.bits)
            for turn in side
            for piece in turn.pieces
        )
        >= CONTENT_CHARACTERS
        for side in sides
    )


def _turns(messages: str | None, *, masked: bool) -> Iterator[Turn]:
    told: list[dict[str, Any]] = [] if messages is None else msgspec.json.decode(messages)
    for each in told:
        pieces = tuple(_piece(part, masked=masked) for part in each["parts"])
        yield Turn(each["role"], pieces, each.get("finish_reason"))


def _piece(part: dict[str, Any], *, masked: bool) -> Piece:
    kind = part["type"]
    name = plain(" ".join(filter(None, (part.get("name"), part.get("id")))))
    said = part.get("content", part.get("arguments", part.get("response")))
    if said is None:
        return Piece(kind=kind, name="not kept here")
    text = said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)
    return Piece(_bits(text, masked=masked), _NAMES.get(kind, ""), name)


def _bits(text: str, *, masked: bool) -> tuple[Bit, ...]:
    cut = text if len(text) <= CONTENT_CHARACTERS else text[:CONTENT_CHARACTERS] + "…"
    if not masked:
        return (Bit(plain(cut)),)
    parts = _MARK.split(cut)
    return tuple(Bit(plain(part), bool(place % 2)) for place, part in enumerate(parts) if part)


def _not_kept(record: Record) -> str:
    if record.bodies is not None:
        return "There was nothing to keep of what was asked and answered."
    return (
        "Nothing is kept of what was asked and answered: `bodies` and `share` in the configuration "
        "say of what, and a request that was refused on its way in leaves none."
    )


def _notes(record: Record, full: bool) -> Iterator[str]:
    if record.bodies == "redacted":
        found = ", ".join(
            f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(record.findings.items())
        )
        yield (
            f"Masked before this was kept: {found}."
            if found
            else "No personal data or credentials were found in it, so nothing is masked."
        )
    cut = [each for each in record.cut if each in {"request", "response"}]
    if cut:
        yield f"Not kept whole, as it was longer than the policy allows: {', '.join(cut)}."
    unread = [each.partition(" ")[0] for each in record.cut if each.endswith(" unread")]
    if unread:
        yield f"Not kept, as it could not be read and so not be masked: {', '.join(unread)}."
    if full:
        yield f"Long: only the newest {CONTENT_CHARACTERS:,} characters of each side are shown."
