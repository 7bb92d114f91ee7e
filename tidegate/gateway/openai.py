"""OpenAI's wire format towards the caller: what is a good request, and how an error looks.

Bodies are decoded once. Fields we do not know are kept as they are; of those we know, the types
are checked here, so that a mistake is told by its path instead of by some provider's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec

from tidegate.errors import BadRequest, TidegateError
from tidegate.types import Call

DONE = b"data: [DONE]\n\n"
PARAMETERS = frozenset({
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "seed", "stop",
    "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "reasoning_effort",
    "dimensions", "encoding_format",
})  # fmt: skip
"""Fields that go into the record: they shape an answer and hold no content."""

SHOWN_CHARACTERS = 200

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_ACTED_ON = (
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
)  # fmt: skip
_SUSPICIONS = tuple(f'"{name}"'.encode() for name in _ACTED_ON)
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class _AnyObject(msgspec.Struct):
    """An object whose content is the provider's business."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Common(msgspec.Struct, kw_only=True):
    model: _Name
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Positive | None = None
    max_completion_tokens: _Positive | None = None
    n: _Positive | None = None
    temperature: float | None = None
    top_p: float | None = None


class _Chat(_Common, kw_only=True):
    messages: Annotated[list[_AnyObject], msgspec.Meta(min_length=1)]
    tools: list[_AnyObject] | None = None


class _Completions(_Common, kw_only=True):
    prompt: str | list[Any]


class _Embeddings(msgspec.Struct, kw_only=True):
    model: _Name
    input: str | list[Any]
    stream: None = None
    stream_options: None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """One endpoint's format."""

    name: str
    decode: Callable[[bytes], _Common | _Embeddings]

    def understand(self, body: bytes) -> Call:
        """The call that `body` asks for.

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
        if len(_encode(fields)) != len(body):  # a twin makes it shorter
            _refuse_twins(body)
        try:
            view = self.decode(body)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            param = path.strip("`").lstrip(".") or None
            if param is None and "missing required field" in what:
                param = what.rpartition("field ")[2].strip("`")
            raise BadRequest(f"{param or 'The body'}: {what}.", param=param) from None
        options = view.stream_options
        return Call(
            wire=self.name,
            model=view.model,
            body=fields,
            stream=bool(view.stream),
            wants_usage=options is not None and bool(options.include_usage),
        )


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


CHAT = Wire("chat", msgspec.json.Decoder(_Chat).decode)
COMPLETIONS = Wire("completions", msgspec.json.Decoder(_Completions).decode)
EMBEDDINGS = Wire("embeddings", msgspec.json.Decoder(_Embeddings).decode)


def shown(value: Any) -> Any:
    """A parameter as the record keeps it: small, and within what msgpack can hold."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def error_body(error: TidegateError) -> bytes:
    """`error` as OpenAI's SDKs expect it."""
    code = getattr(error, "upstream_code", None) or error.code
    return _encode(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": code,
            }
        }
    )


def error_event(error: TidegateError) -> bytes:
    """`error` as the last event of a stream that had begun; no `[DONE]` follows it."""
    return b"data: " + error_body(error) + b"\n\n"


def model_list(names: list[str]) -> bytes:
    """The answer of `GET /v1/models`."""
    return _encode({"object": "list", "data": [_model(name) for name in names]})


def model_one(name: str) -> bytes:
    """The answer of `GET /v1/models/{name}`."""
    return _encode(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tidegate"}
