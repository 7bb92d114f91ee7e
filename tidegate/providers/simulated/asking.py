"""What every vendor's request comes to for whoever answers it, and what reading one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

import msgspec

from tidegate.providers.simulated.refusal import Refusal

IMAGE_TOKENS: Final = 85
MESSAGE_TOKENS: Final = 4
PROMPT_TOKENS: Final = 3
_TOKEN_LETTERS: Final = 4


class Tool(NamedTuple):
    """A function that may be called; `schema` is that of its arguments."""

    name: str
    schema: object = None


@dataclass(slots=True)
class Ask:
    """What is wanted. `prompt` is the text of the last message."""

    prompt: str
    tools: Sequence[Tool] = ()
    choice: Literal["auto", "none", "any", "named"] = "auto"
    named: Sequence[str] = ()
    answered: bool = False
    """Whether the last message is the result of a tool: then no tool is called again."""
    schema: object | None = None
    """The answer is JSON that fits this; None is plain text."""
    budget: int | None = None
    stops: Sequence[str] = ()
    number: int = 1
    thinks: bool = False
    """Whether reasoning is to be shown."""


ANY_OBJECT: Final = {"type": "object", "properties": {"answer": {"type": "string"}}}
"""The schema of an answer that only has to be some object."""


def text_tokens(text: str) -> int:
    """A quarter of the letters, rounded up."""
    return -(-len(text) // _TOKEN_LETTERS)


def tool_tokens(tools: object) -> int:
    """A quarter of the letters of the tools as compact JSON, rounded up."""
    return -(-len(msgspec.json.encode(tools)) // _TOKEN_LETTERS) if tools else 0


Body = TypeVar("Body")


def decode(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """The decoded body; Refusal (400) when it is not JSON or not of the right shape."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
        raise Refusal(400, f"We could not parse the JSON body of your request: {wrong}") from wrong


class _Named(msgspec.Struct):
    """All that is needed to know which faults a request asks for."""

    model: str


_DECODE_NAMED: Final = msgspec.json.Decoder(_Named)


def model_of(body: bytes) -> str:
    """The model a body names, or an empty string when that cannot be said."""
    try:
        return _DECODE_NAMED.decode(body).model
    except (msgspec.DecodeError, RecursionError):
        return ""


def as_object(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
