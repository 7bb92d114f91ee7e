"""How OpenAI's Responses format looks on the wire: what the files of this room have in common.

Values come from callers and from providers, neither of whom is trusted: everything read is
converted to one of these shapes first, and whoever converts says whose mistake it is.

Source: platform.openai.com/docs/api-reference/responses (object, streaming, input items).
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Struct

from tidegate.errors import BadRequest, UpstreamMalformed
from tidegate.formats.words import Finish
from tidegate.types import Usage

Json = dict[str, Any]

MOST_ITEMS = 256
"""Output items of one answer; a provider that sends more is out of its mind."""

MOST_CHARACTERS = 64 << 20
"""Characters of one streamed answer that are put together for its last event."""

_Shape = TypeVar("_Shape")


class TextShape(Struct):
    """A part that is text, in whichever direction; annotations belong to `output_text`."""

    text: str
    annotations: list[Json] | None = None
    logprobs: list[Json] | None = None


class RefusalShape(Struct):
    """A part in which the model says why it does not answer."""

    refusal: str


class CallShape(Struct):
    """The item `function_call`."""

    call_id: str
    name: str
    arguments: str
    id: str | None = None
    signature: str | None = None


class ReasoningShape(Struct):
    """The item `reasoning`: a summary, or the text itself, or only what is encrypted."""

    id: str | None = None
    summary: list[TextShape] | None = None
    content: list[TextShape] | None = None
    encrypted_content: str | None = None

    def text(self) -> str:
        """The reasoning itself where it is told, else its summary."""
        return "\n\n".join(part.text for part in self.content or self.summary or ())


_Tokens = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class _InputDetails(Struct):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class _OutputDetails(Struct):
    reasoning_tokens: _Tokens | None = None


class UsageShape(Struct):
    """The tokens of an answer."""

    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    def usage(self, tier: object) -> Usage:
        """The same in our words; `tier` is what the response says it was served in."""
        given, made = self.input_tokens_details, self.output_tokens_details
        cached = given.cached_tokens if given else None
        written = given.cache_write_tokens if given else None
        reasoning = made.reasoning_tokens if made else None
        return Usage(
            input=max(self.input_tokens or 0, (cached or 0) + (written or 0)),
            output=max(self.output_tokens or 0, reasoning or 0),
            cached_input=cached,
            cache_write=written,
            reasoning=reasoning,
            tier=tier if isinstance(tier, str) else None,
        )


class _Incomplete(Struct):
    reason: str | None = None


class ResponseShape(Struct):
    """What is read of a `response` object."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Json] | None = None
    usage: UsageShape | None = None
    service_tier: Any = None
    incomplete_details: _Incomplete | None = None
    error: Any = None

    @property
    def why_incomplete(self) -> str:
        """Why it is not complete; empty when that is not told."""
        return (self.incomplete_details and self.incomplete_details.reason) or ""

    @property
    def is_empty(self) -> bool:
        """Whether it claims to be complete and says nothing."""
        return self.status == "completed" and not self.output

    def finish(self, *, called: bool, refused: bool) -> Finish:
        """Why it ended, given whether it called functions and whether it refused."""
        if self.status == "incomplete":
            return _INCOMPLETE.get(self.why_incomplete, "other")
        if called:
            return "tool_calls"
        return "refusal" if refused else "stop"


_INCOMPLETE: dict[str, Finish] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}


class EventShape(Struct):
    """What is read of any streaming event; which fields there are depends on the type."""

    type: str
    response: ResponseShape | None = None
    output_index: int = 0
    summary_index: int = 0
    item: Any = None
    delta: Any = None
    arguments: Any = None
    logprobs: Any = None
    annotation: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


_decode_event = msgspec.json.Decoder(EventShape).decode


def event_of(data: bytes) -> EventShape:
    """The event in `data`. Raises: `UpstreamMalformed`."""
    try:
        return _decode_event(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The provider sent an event that is none.") from error


def from_caller(value: Any, shape: type[_Shape], path: str) -> _Shape:
    """`value`, which stands at `path` of the request, as `shape`. Raises: `BadRequest`."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        place = place.strip("`")
        if "missing required field" in what:
            place += "." + what.rpartition("field ")[2].strip("`")
        param = (path + place).lstrip(".")
        raise BadRequest(f"{param}: {what}.", param=param) from None


def from_provider(value: Any, shape: type[_Shape]) -> _Shape:
    """`value`, a part of an answer, as `shape`. Raises: `UpstreamMalformed`."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise UpstreamMalformed(
            "A part of the provider's answer is not as it should be."
        ) from error
