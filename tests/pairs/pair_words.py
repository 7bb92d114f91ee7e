"""What is asked and answered in these tests, in words of no format.

A question is said in each format as that format's users say it, and an answer is told in the words
of this file, so that tests can compare what came back whichever way it went.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked: the last thing that the user says, and what is around it."""

    text: str = "Hello"
    system: str | None = None
    before: tuple[tuple[str, str], ...] = ()
    """What the user and the model said earlier, in turn."""
    picture: str | None = None
    """A PNG as base64."""
    tools: tuple[Json, ...] = ()
    """Each with `name`, `description` and `schema`."""
    must_call: bool = False
    schema: Json | None = None
    stop: str | None = None
    length: int | None = None
    thinks: bool = False


@dataclass(frozen=True)
class Called:
    """A call of a tool."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Told:
    """Tokens as the caller was told them; the parts are None where nothing was said of them."""

    input: int
    output: int
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True)
class Said:
    """An answer as the SDK parsed it."""

    text: str
    finish: str
    """`stop`, `length`, `tool_calls` or `content_filter`."""
    told: Told | None
    model: str
    thinking: str = ""
    calls: tuple[Called, ...] = ()
    pieces: int = 1
    """How many events brought text, thinking or arguments."""
    raw: Any = field(default=None, repr=False)
    """What the SDK returned, to be handed back in the next turn."""


class Caller(Protocol):
    """A user of one format."""

    name: str
    turns: bool
    """Whether the format knows turns, tools, images and schemas at all."""

    def body(self, question: Question) -> Json:
        """The question as arguments of the SDK's method."""
        ...

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        """The next request: what was said, what its calls gave, and `text` by the user."""
        ...

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        """The answer; raises what the SDK raises."""
        ...
