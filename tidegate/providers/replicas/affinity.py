"""What makes two requests belong together, as a number: their conversation, or how they begin.

A server that keeps the attention states of what it has read answers a prompt faster when it has
seen its beginning before; so requests that begin alike are worth sending to the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from tidegate.types import Call

PREFIX_CHARS: Final = 2_048
"""About 500 tokens: the instructions of most products, and little of what differs in each call."""

FIRST_TURNS: Final = 8
"""So many turns tell conversations apart, whoever speaks in them."""

_NAMES: Final = ("conversation", "prompt_cache_key", "user", "safety_identifier")
_METADATA_NAMES: Final = ("conversation_id", "session_id", "user_id")
_OPENINGS: Final = ("system", "instructions")
_TURNS: Final = ("messages", "input", "prompt")

Key = Callable[[Call], int | None]
"""From a call to its key; None when there is nothing to go by."""


def conversation_key(call: Call) -> int | None:
    """By the conversation's name if the caller gives one, else by its first turns.

    The first turns are all up to the user's first: they stay while a conversation grows.
    """
    name = _name(call)
    if name is not None:
        return _hashed(name)
    turns: list[str] = []
    for role, part in _spoken(call.body):
        turns.append(part)
        if role == "user" or len(turns) == FIRST_TURNS:
            break
    return _hashed("\n".join(turns)) if turns else None


def prefix_key(call: Call) -> int | None:
    """By the first `PREFIX_CHARS` of all that the model reads."""
    text = ""
    for _, part in _spoken(call.body):
        text = f"{text}\n{part}"
        if len(text) >= PREFIX_CHARS:
            break
    return _hashed(text[:PREFIX_CHARS]) if text else None


def _name(call: Call) -> str | None:
    if call.conversation is not None:
        return call.conversation
    for name in _NAMES:
        value = call.body.get(name)
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get("id")
        if isinstance(value, str) and value:
            return value
    metadata = call.body.get("metadata")
    if isinstance(metadata, dict):
        for name in _METADATA_NAMES:
            value = cast("dict[str, Any]", metadata).get(name)
            if isinstance(value, str) and value:
                return value
    return None


def _spoken(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Role and text of what the model reads, in order; at most `PREFIX_CHARS` of each turn."""
    for name in _OPENINGS:
        if name in body:
            yield "system", _text(body[name])
    for name in _TURNS:
        turns = body.get(name)
        if isinstance(turns, str):
            yield "user", turns[:PREFIX_CHARS]
        elif isinstance(turns, list):
            for turn in cast("list[object]", turns):
                if isinstance(turn, dict):
                    said = cast("dict[str, object]", turn)
                    role = said.get("role")
                    yield (role if isinstance(role, str) else "", _text(said.get("content")))
                elif isinstance(turn, str):
                    yield "user", turn[:PREFIX_CHARS]


def _text(content: object) -> str:
    """The text in `content`, whatever else is in it."""
    if isinstance(content, str):
        return content[:PREFIX_CHARS]
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for part in cast("list[object]", content)[:PREFIX_CHARS]:
        text = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text[:PREFIX_CHARS])
            if sum(map(len, texts)) >= PREFIX_CHARS:
                break
    return "\n".join(texts)


def _hashed(text: str) -> int:
    """64 bits, the same in every process and on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest())
