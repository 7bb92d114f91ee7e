"""Counting a request's tokens before it is sent: `POST /v1/messages/count_tokens`.

The request is one of the Messages format without a length; the answer is one number.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tidegate.formats.messages.asked import read_ask
from tidegate.formats.messages.failures import error_body, error_event
from tidegate.formats.messages.shapes import BROKEN, Count, encode, malformed
from tidegate.formats.messages.streaming import writer
from tidegate.formats.messages.streams import watch
from tidegate.formats.words import Ask, Reply
from tidegate.types import Facts

__all__ = [
    "error_body",
    "error_event",
    "learn",
    "read_ask",
    "watch",
    "write_count",
    "write_reply",
    "writer",
]


class _Counted(Struct):
    input_tokens: Count


_decode = msgspec.json.Decoder(_Counted).decode


def learn(facts: Facts, body: bytes) -> None:  # noqa: ARG001 - counting uses and costs nothing
    """See `Heard.learn`."""
    try:
        _decode(body)
    except BROKEN as error:
        raise malformed(error) from error


def write_count(input_tokens: int) -> bytes:
    """The answer of the endpoint."""
    return encode({"input_tokens": input_tokens})


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:  # noqa: ARG001
    """See `Heard.write_reply`: of an answer, what it says of the request's length."""
    return write_count(reply.usage.input if reply.usage else 0)
