"""What all of the callers' formats have in common at the edge: how a body becomes a call.

Bodies are decoded once. Fields we do not know are kept as they are; of those we know, the types
are checked here, so that a mistake is told by its path instead of by some provider's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import msgspec

from tidegate.errors import BadRequest
from tidegate.gateway.exchange import Header
from tidegate.types import Call

PARAMETERS = frozenset({
    "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "n", "seed", "stop", "stop_sequences", "presence_penalty", "frequency_penalty", "logprobs",
    "top_logprobs", "reasoning_effort", "dimensions", "encoding_format", "service_tier",
    "thinking", "tool_choice", "speed", "inference_geo",
})  # fmt: skip
"""Fields that go into the record: they shape an answer and hold no content."""

SHOWN_CHARACTERS = 200
FORWARDED_BYTES = 4096
"""How much of a caller's own headers a provider gets at most."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_ACTED_ON = (
    "model", "messages", "input", "system", "instructions", "tools", "stream", "stream_options",
    "max_tokens", "max_completion_tokens", "max_output_tokens",
)  # fmt: skip
_SUSPICIONS = tuple(f'"{name}"'.encode() for name in _ACTED_ON)
_BLANKS = b" \t\r\n"
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class AnyObject(msgspec.Struct):
    """An object whose content is the provider's business."""


class View(Protocol):
    """What every format says of a call: its typed view of the body."""

    @property
    def model(self) -> str:
        """The name that the caller asks for."""
        ...

    @property
    def streams(self) -> bool:
        """Whether the answer is to be streamed."""
        ...

    @property
    def wants_usage(self) -> bool:
        """Whether the stream is to tell what was used."""
        ...


@dataclass(frozen=True, slots=True)
class Wire:
    """One endpoint's format."""

    name: str
    decode: Callable[[bytes], View]
    forwarded: frozenset[bytes] = frozenset()
    """The caller's headers that a provider of the same format gets too."""

    def understand(self, body: bytes, headers: list[Header]) -> Call:
        """The call that `body` and `headers` ask for.

        Raises: `BadRequest`, with the path of the mistake as `param`.
        """
        try:
            fields = _decode(body)
        except RecursionError:
            raise BadRequest("The body is nested too deeply.") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRequest(f"The body is not valid JSON: {_said(error)}.") from None
        if not isinstance(fields, dict):
            raise BadRequest("The body must be a JSON object.")
        fields = cast("dict[str, Any]", fields)
        if _shorter(_encode(fields), body):  # as a twin makes it
            _refuse_twins(body)
        try:
            view = self.decode(body)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            param = path.strip("`").lstrip(".") or None
            if "missing required field" in what:
                field = what.rpartition("field ")[2].strip("`")
                param = field if param is None else f"{param}.{field}"
            raise BadRequest(f"{param or 'The body'}: {what}.", param=param) from None
        return Call(
            wire=self.name,
            model=view.model,
            body=fields,
            stream=view.streams,
            wants_usage=view.wants_usage,
            forward=self._forward(headers) if self.forwarded else (),
        )

    def _forward(self, headers: list[Header]) -> tuple[Header, ...]:
        taken = tuple(pair for pair in headers if pair[0] in self.forwarded)
        if sum(len(value) for _, value in taken) > FORWARDED_BYTES:
            names = ", ".join(sorted({name.decode() for name, _ in taken}))
            raise BadRequest(f"{names}: longer than {FORWARDED_BYTES:,} bytes together.")
        return taken


def _shorter(encoded: bytes, body: bytes) -> bool:
    """Whether something of `body` besides white space is missing in what was read of it."""
    if len(encoded) == len(body):
        return False
    return len(encoded.translate(None, _BLANKS)) != len(body.translate(None, _BLANKS))


def _refuse_twins(body: bytes) -> None:
    """Refuse a body that names a field twice of those that we act on: which one is meant?

    Nearly every body is cleared by its length or by counting; a suspicious one is parsed with all
    its pairs.
    """
    for suspicion in _SUSPICIONS:
        if body.count(suspicion) > 1:
            break
    else:
        if _ESCAPED_LETTER.search(body) is None:
            return

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {"names": [name for name, _ in pairs]}

    names: list[str] = json.loads(body, object_pairs_hook=look)["names"]
    for name in _ACTED_ON:
        if names.count(name) > 1:
            raise BadRequest(f"{name}: The field is there more than once.", param=name)


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    said = str(error).removeprefix("JSON is malformed: ")
    # msgspec says the same of half a surrogate pair as of a missing end.
    return "it ends too early, or an escape in it is half" if "truncated" in said else said


def shown(value: Any) -> Any:
    """A parameter as the record keeps it: small, and within what msgpack can hold."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
