"""What Bedrock's errors stand for, as answers of their own and in the middle of a stream.

The name of an error is in a header; the body has its message, and sometimes its name too. So the
status decides, then the name, and only where these say no more than "wrong" the message's words.

Source: docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tidegate.errors import (
    ContentFiltered,
    ContextOverflow,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.redact import redact

MESSAGE_CHARACTERS: Final = 1_000
BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises when bytes are not what they should be."""

_BAD, _FORBIDDEN, _TOO_MANY = 400, 403, 429
_REFUSALS: Final = frozenset({400, 404, 409, 413, 422})
_DENIALS: Final = frozenset({401, 402, 403})

_OVERFLOWS: Final = (
    "input is too long", "prompt is too long", "too many input tokens", "exceed context limit",
    "context length", "context window", "maximum context", "input tokens exceeded",
    "exceeds the maximum number of input tokens", "input token count", "prompt is too large",
    "reduce the length of the prompt",
)  # fmt: skip
_FILTERS: Final = (
    "content filter", "content policy", "content filtering policy", "blocked by guardrail",
    "responsible ai",
)  # fmt: skip
_LIMITS: Final = ("throttling", "toomanyrequests", "servicequotaexceeded", "modelnotready")
_LIMIT_WORDS: Final = ("service quota", "too many requests", "too many tokens, please wait")
_KEYS: Final = (
    "unrecognizedclient", "invalidsignature", "incompletesignature", "expiredtoken",
    "invalidclienttokenid", "missingauthenticationtoken", "accessdenied", "notauthorized",
    "optinrequired",
)  # fmt: skip
_KEY_WORDS: Final = (
    "security token included in the request", "request signature", "signature expired",
    "signature not yet current", "operation not allowed", "bearer token", "authentication token",
)  # fmt: skip
_OF_THE_REQUEST: Final = ("prompt caching",)
"""Words of a denial that is about what was asked, not about who asks."""


class _Told(Struct):
    message: str | None = None
    shouted: str | None = msgspec.field(default=None, name="Message")
    type: str | None = msgspec.field(default=None, name="__type")
    status: int | None = msgspec.field(default=None, name="originalStatusCode")
    original: str | None = msgspec.field(default=None, name="originalMessage")


_decode = msgspec.json.Decoder(_Told).decode


def refusal(status: int, body: bytes) -> UpstreamError:
    """The error that an answer with another status than 200 stands for. See `Spoken.refusal`."""
    told = _read(body)
    name = (told.type or "").rpartition("#")[2]
    if _is_limit(status, name, told) or told.status == _TOO_MANY:
        return UpstreamRateLimited("The provider's rate limit is reached.")
    if status not in _REFUSALS | _DENIALS:
        return UpstreamFailed(f"The provider answered with status {status}.")
    if _is_denial(status, name.lower(), (told.message or "").lower()):
        return UpstreamDenied("The provider does not accept this gateway's credentials.")
    return _refused(status if status in _REFUSALS else _BAD, told, name)


def reported(name: str, body: bytes) -> UpstreamError:
    """The error that an exception in a stream stands for; `name` is its type."""
    told = _read(body)
    lower = name.lower()
    if _is_limit(told.status or 0, lower, told):
        return UpstreamRateLimited("The provider ran into its rate limit during the answer.")
    if lower.startswith("validation"):
        return _refused(_BAD, told, name)
    return UpstreamFailed(f"The provider reported {name[:100]!r} during the answer.")


def _read(body: bytes) -> _Told:
    try:
        told = _decode(body)
    except BROKEN:
        return _Told()  # no JSON object: nothing in it is fit to be passed on
    told.message = told.message or told.shouted or told.original
    return told


def _is_limit(status: int, name: str, told: _Told) -> bool:
    if status == _TOO_MANY or name.lower().startswith(_LIMITS):
        return True
    message = (told.message or "").lower()
    return status == _BAD and any(words in message for words in _LIMIT_WORDS)


def _is_denial(status: int, name: str, message: str) -> bool:
    if status in _DENIALS:
        return not any(words in message for words in _OF_THE_REQUEST)
    return name.startswith(_KEYS) or any(words in message for words in _KEY_WORDS)


def _refused(status: int, told: _Told, name: str) -> UpstreamRefused:
    message = redact((told.message or "")[:MESSAGE_CHARACTERS])
    lower = message.lower()
    kind = UpstreamRefused
    if any(words in lower for words in _OVERFLOWS):
        kind = ContextOverflow
    elif any(words in lower for words in _FILTERS):
        kind = ContentFiltered
    error = kind(message or "The provider refused the request.")
    error.status = _BAD if kind is ContentFiltered else status
    if kind is UpstreamRefused and name:
        error.upstream_code = name[:100]
    return error
