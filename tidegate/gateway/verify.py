"""Look at a whole answer before it is passed on: is it what was asked for?

What the target could not be told to do is not demanded of its answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from tidegate.errors import BadRequest, UpstreamMalformed
from tidegate.formats import chat, messages, responses
from tidegate.formats.check import fault
from tidegate.formats.format import Heard, Spoken
from tidegate.formats.gather import gathered
from tidegate.formats.heard import HEARD
from tidegate.formats.repair import repaired
from tidegate.formats.words import Delta, Reply
from tidegate.net.sse import SseDecoder
from tidegate.types import Answer, Call

READABLE: Mapping[str, Spoken] = {"chat": chat, "messages": messages, "responses": responses}
"""The formats of callers whose answers can be read again."""

UNTOLD_FORM = "response_format"
"""What is told as dropped where the answer's form was not asked for at all, not even in words."""
HELD_STREAM_BYTES = 4 << 20
"""How much of a stream is held back to be looked at; a longer one passes unchecked."""


class Malformed(UpstreamMalformed):
    """An answer that was read and does not hold what was asked for."""

    def __init__(self, message: str, reply: Reply, found: str) -> None:
        super().__init__(message)
        self.reply = reply
        self.found = found

    def repair(self, call: Call) -> dict[str, Any] | None:
        """The body that tells the model its mistake; None where that cannot be said."""
        return repaired(call.wire, call.body, self.reply, self.found)


async def verify(call: Call, upstream: Answer, held: bytes) -> tuple[bytes, bool]:
    """All of the answer, of which `held` has been read, and whether it could be looked at.

    Raises: `Malformed`, and the `UpstreamError` that the rest of a stream brings.
    """
    spoken = READABLE.get(call.wire)
    if spoken is None:
        return held, False
    if not call.stream:
        reply = spoken.read_reply(held)
        return held, _looked_at(call, HEARD[call.wire], reply, upstream.facts.dropped)
    pieces, size = [held], len(held)
    while data := await upstream.read():
        pieces.append(data)
        size += len(data)
        if size > HELD_STREAM_BYTES:
            return b"".join(pieces), False
    held = b"".join(pieces)
    reply = _streamed(spoken, held + upstream.last)
    return held, _looked_at(call, HEARD[call.wire], reply, upstream.facts.dropped)


def _streamed(spoken: Spoken, stream: bytes) -> Reply:
    reader, deltas = spoken.reader(), list[Delta]()
    for event in SseDecoder(HELD_STREAM_BYTES * 2).feed(stream):
        if event.data and not reader.done:
            deltas += reader.read(event.event, event.data)
    return gathered(deltas)


def _looked_at(call: Call, heard: Heard, reply: Reply, dropped: Sequence[str]) -> bool:
    try:
        ask = heard.read_ask(call.body)
    except BadRequest:  # only the provider's own format could say what was asked
        return False
    if UNTOLD_FORM in dropped:
        ask = structs.replace(ask, output=None)
    found = fault(reply, ask)
    if found is not None:
        raise Malformed(f"The model's answer is not what was asked for: {found}.", reply, found)
    return True
