"""A streamed answer, kept as it was sent to the caller, as the whole answer that it says."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Final

import msgspec
from msgspec import Struct, structs

from tidegate.errors import TidegateError
from tidegate.formats import chat, messages, responses
from tidegate.formats.format import Reader, Spoken
from tidegate.formats.gather import gathered
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Began, Delta, Finished, Reply, Text, TextDelta, ToolUse
from tidegate.net.sse import SseDecoder

UNREADABLE: Final = (TidegateError, msgspec.MsgspecError, ValueError, TypeError, KeyError)
SPOKEN: Final[Mapping[str, Spoken]] = {"chat": chat, "messages": messages, "responses": responses}
"""The formats that callers use and that can be read again."""

_STEP_BYTES: Final = 8_192


class _Written(Struct):
    text: str = ""
    index: int = 0
    finish_reason: str | None = None


class _Event(Struct):
    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[_Written] = []


class _Completions:
    """Reads what this gateway writes of OpenAI's legacy completions."""

    def __init__(self) -> None:
        self.done = False
        self._decode = msgspec.json.Decoder(_Event).decode

    def read(self, event: bytes, data: bytes) -> list[Delta]:  # noqa: ARG002 - as `Reader` has it
        """See `Reader.read`."""
        if data == b"[DONE]" or not data:
            self.done = data != b""
            return []
        told = self._decode(data)
        deltas: list[Delta] = [Began(told.id, told.model, told.created)]
        for each in told.choices:
            deltas.append(TextDelta(each.text, each.index))
            if each.finish_reason is not None:
                finish = "length" if each.finish_reason == "length" else "stop"
                deltas.append(Finished(finish, choice=each.index))
        return deltas

    def complete(self) -> bool:
        """See `Reader.complete`."""
        return self.done


def joined(wire: str, body: bytes) -> Reply | None:
    """What the stream says that `body` is the beginning of; None where nobody can read it.

    What came before it broke off was said.
    """
    pieces = joining(wire, body)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


def joining(wire: str, body: bytes) -> Generator[None, None, Reply | None]:
    """The same in steps of a few dozen events."""
    spoken = SPOKEN.get(wire)
    if spoken is None and wire != "completions":
        return None
    deltas: list[Delta] = []
    reader: Reader = _Completions() if spoken is None else spoken.reader()
    try:
        decoder = SseDecoder(len(body) + 1)
        for place in range(0, len(body), _STEP_BYTES):
            for event in decoder.feed(body[place : place + _STEP_BYTES]):
                if reader.done:
                    break
                deltas += reader.read(event.event, event.data)
            yield
    except UNREADABLE:
        pass
    return gathered(deltas)


def as_whole(wire: str, reply: Reply, model: str) -> bytes | None:
    """`reply` as the format has it that is not streamed; None where there is nothing to tell."""
    if not reply.choices:
        return None
    write = HEARD[wire].write_reply
    try:
        return write(reply, model)
    except UNREADABLE:  # arguments of a tool that broke off are no object
        pass
    choices = tuple(
        structs.replace(
            said,
            parts=tuple(
                Text(f"{part.name} {part.arguments}") if isinstance(part, ToolUse) else part
                for part in said.parts
            ),
        )
        for said in reply.choices
    )
    try:
        return write(structs.replace(reply, choices=choices), model)
    except UNREADABLE:
        return None
