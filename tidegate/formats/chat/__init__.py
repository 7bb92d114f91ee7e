"""OpenAI's chat completions: the format of most callers, and of most vendors.

`Spoken` and `Heard` are both filled here. Servers that differ from OpenAI's own words are spoken
to through `accented`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tidegate.errors import UpstreamError
from tidegate.formats.chat.accent import PLAIN, SHARED, Accent
from tidegate.formats.chat.asked import read_ask
from tidegate.formats.chat.asking import write_ask
from tidegate.formats.chat.replies import read_reply
from tidegate.formats.chat.replying import write_reply
from tidegate.formats.chat.streaming import ChatWriter
from tidegate.formats.chat.streams import ChatReader
from tidegate.formats.faults import error_body, error_event, refusal
from tidegate.formats.format import Reader, Spoken
from tidegate.formats.openai import PassingWatch, learn_choices
from tidegate.formats.words import Ask, Reply
from tidegate.types import Facts

__all__ = [
    "PLAIN",
    "SHARED",
    "Accent",
    "accented",
    "error_body",
    "error_event",
    "learn",
    "read_ask",
    "read_reply",
    "reader",
    "refusal",
    "watch",
    "write_ask",
    "write_reply",
    "writer",
]

Json = dict[str, Any]

learn = learn_choices


def reader() -> ChatReader:
    """Reads one streamed answer. See `Spoken.reader`."""
    return ChatReader()


def writer(ask: Ask) -> ChatWriter:
    """Writes one streamed answer to `ask`. See `Heard.writer`."""
    return ChatWriter(ask)


def watch(facts: Facts, body: Json, *, wants_usage: bool) -> PassingWatch:
    """Looks on while an answer to `body` passes. See `Heard.watch`."""
    return PassingWatch(facts, wants_usage=wants_usage, choices=body.get("n") or 1)


def accented(accent: Accent) -> Spoken:
    """Chat as a server speaks it that differs from OpenAI in what `accent` says."""
    return _Accented(accent)


class _Accented(Struct, frozen=True):
    accent: Accent

    def write_ask(self, ask: Ask) -> tuple[Json, list[str]]:
        return write_ask(ask, self.accent)

    def read_reply(self, body: bytes) -> Reply:
        return read_reply(body)

    def reader(self) -> Reader:
        return ChatReader()

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        return refusal(status, body)
