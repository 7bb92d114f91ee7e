"""How servers of OpenAI's API tell a failure, and how ours is told to callers of that API.

Where the words stand differs from server to server; what they mean is told by the status, then by
the code, and only where both say no more than "bad request" by phrases of the message.

Source: platform.openai.com/docs/guides/error-codes, and the error bodies of vLLM, SGLang, TGI,
llama.cpp, Groq, Mistral, OpenRouter and xAI.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Struct

from tidegate.errors import (
    ContentFiltered,
    ContextOverflow,
    TidegateError,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.redact import redact

MESSAGE_CHARACTERS = 1_000
CODE_CHARACTERS = 100

_REFUSALS = frozenset({400, 404, 409, 413, 422})
_DENIALS = frozenset({401, 402, 403})
_FORBIDDEN, _TOO_MANY = 403, 429
_RATE_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "429"})
_OVERLOAD_CODES = frozenset({"overloaded", "overloaded_error", "service_unavailable"})
_OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_OVERFLOW_PHRASES = (
    "context length", "context window", "context size", "maximum context", "maximum prompt length",
    "prompt is too long", "reduce the length of the messages", "`inputs` must have less than",
    "`inputs` tokens + ",
)  # fmt: skip
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_FILTER_PHRASES = (
    "content management policy", "content exists risk", "usage policy", "usage guidelines",
    "content policy", "input was flagged",
)  # fmt: skip
_DEPTH = 3

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Told(Struct):
    """What an error object says, as far as it is text."""

    message: str = ""
    param: str | None = None
    code: str | None = None
    kind: str | None = None
    number: int | None = None
    """A status, where the code is one."""
    hint: str = ""
    """What a router was told by the server behind it: read, but passed on to nobody."""


_SPENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""A 429 that no wait will end: the account is spent, as others say with 402."""


def refusal(status: int, body: bytes) -> UpstreamError:
    """The error that an answer with another status than 200 stands for."""
    try:
        told = _read(_decode(body), _Told())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = _Told()  # no JSON: nothing in it is fit to be passed on
    meant = _by_content(told) if status in _REFUSALS or status == _FORBIDDEN else None
    if meant is ContentFiltered or (meant is ContextOverflow and status != _FORBIDDEN):
        return _refused(meant, 400 if meant is ContentFiltered else status, told)
    if status in _DENIALS:
        return UpstreamDenied("The provider does not accept this gateway's credentials.")
    if status == _TOO_MANY and (told.code in _SPENT_CODES or told.kind in _SPENT_CODES):
        return UpstreamDenied("This gateway's account with the provider has nothing left to spend.")
    if status == _TOO_MANY or (status in _REFUSALS and told.code in _RATE_CODES):
        return UpstreamRateLimited("The provider's rate limit is reached.")
    if status not in _REFUSALS:
        return UpstreamFailed(f"The provider answered with status {status}.")
    return _refused(UpstreamRefused, status, told)


def reported(error: object) -> UpstreamError:
    """The error that an error object inside an answer stands for which began well."""
    told = _read({"error": error}, _Told())
    meant = _by_content(told)
    if meant is not None:
        return _refused(meant, 400, told)
    if told.number == _TOO_MANY or told.code in _RATE_CODES or told.kind in _RATE_CODES:
        return UpstreamRateLimited("The provider ran into its rate limit during the answer.")
    if told.number in _DENIALS:
        return UpstreamDenied("The provider withdrew this gateway's access during the answer.")
    if told.code in _OVERLOAD_CODES or told.kind in _OVERLOAD_CODES:
        return UpstreamFailed("The provider became overloaded during the answer.")
    return UpstreamFailed("The provider reported an error during the answer.")


def _by_content(told: _Told) -> type[UpstreamRefused] | None:
    """Whether the conversation is too long or was filtered: the two that are met elsewhere."""
    message = f"{told.message} {told.hint}".lower()
    if (
        told.code in _FILTER_CODES
        or told.kind in _FILTER_CODES
        or any(phrase in message for phrase in _FILTER_PHRASES)
    ):
        return ContentFiltered
    if (
        told.code in _OVERFLOW_CODES
        or told.kind in _OVERFLOW_CODES
        or any(phrase in message for phrase in _OVERFLOW_PHRASES)
    ):
        return ContextOverflow
    return None


def _refused(kind: type[UpstreamRefused], status: int, told: _Told) -> UpstreamRefused:
    message = redact(told.message)[:MESSAGE_CHARACTERS] or "The provider refused the request."
    error = kind(message, param=told.param)
    error.status = status
    if kind is not ContextOverflow:  # callers know that one by OpenAI's code, whatever it was here
        error.upstream_code = told.code
    return error


def _read(value: Any, told: _Told, depth: int = _DEPTH) -> _Told:
    """Collect what `value` says: an error object, one inside `error` or `detail`, or its text."""
    if isinstance(value, list):
        values = cast("list[Any]", value)
        value = values[0] if values else None
    if isinstance(value, str):
        told.message = told.message or value[: 4 * MESSAGE_CHARACTERS]
    elif isinstance(value, dict) and depth:
        fields = cast("dict[str, Any]", value)
        for name in ("error", "detail", "message", "msg"):
            _read(fields.get(name), told, depth - 1)
        metadata = fields.get("metadata")
        if isinstance(metadata, dict):
            raw = cast("dict[str, Any]", metadata).get("raw")
            told.hint = _text(raw, 4 * MESSAGE_CHARACTERS) or told.hint
        code = fields.get("code")
        told.code = told.code or _text(code)
        told.kind = told.kind or _text(fields.get("type"))
        told.param = told.param or _text(fields.get("param"), MESSAGE_CHARACTERS)
        if told.number is None and isinstance(code, int):
            told.number = code
    return told


def _text(value: object, characters: int = CODE_CHARACTERS) -> str | None:
    return value[:characters] if isinstance(value, str) else None


def error_body(error: TidegateError, request_id: str) -> bytes:  # noqa: ARG001 - it has a header
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


def error_event(error: TidegateError, request_id: str) -> bytes:
    """`error` as the last event of a stream that had begun; no `[DONE]` follows it."""
    return b"data: " + error_body(error, request_id) + b"\n\n"
