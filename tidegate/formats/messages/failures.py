"""Failures in the Messages format: the vendor's read as ours, ours written for the caller.

Source: platform.claude.com/docs/en/api/errors, and the messages that are seen with 400, a status
that also stands for a conversation too long, a filter, and an account without money.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

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
from tidegate.formats.messages.shapes import BROKEN, ErrorView, Json, encode
from tidegate.redact import redact

MESSAGE_CHARACTERS, CODE_CHARACTERS = 1_000, 100

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {name: status for status, name in _TYPES.items()} | {
    "invalid_request_error": 400,
    "api_error": 500,
    "overloaded_error": 529,
}
_REFUSALS, _DENIALS = frozenset({400, 404, 409, 413, 422}), frozenset({401, 402, 403})
_TOO_MANY = 429
_CLIENT, _SERVER = 400, 500

_OVERFLOW = ("prompt is too long", "exceed context limit", "context window", "context length")
_FILTERED = ("content filtering policy", "content policy")
_UNPAID = ("credit balance is too low", "usage limits", "organization has been disabled")
_UNPAID_CODES = ("spend_limit_reached", "organization_on_hold", "billing")


class _Body(msgspec.Struct):
    error: ErrorView | None = None


_decode = msgspec.json.Decoder(_Body).decode


def refusal(status: int, body: bytes) -> UpstreamError:
    """See `Spoken.refusal`."""
    try:
        told = _decode(body).error or ErrorView()
    except BROKEN:
        told = ErrorView()  # no error object: nothing in it is fit to be passed on
    return _meant(status, told)


def reported(told: ErrorView) -> UpstreamError:
    """The error that an error object stands for in an answer that began well."""
    return _meant(_STATUSES.get(told.type or "", 500), told)


def _meant(status: int, told: ErrorView) -> UpstreamError:
    words, code = (told.message or "").lower(), _code(told)
    if status in _DENIALS or _any_in(_UNPAID, words) or _any_in(_UNPAID_CODES, code or ""):
        return UpstreamDenied("The provider does not accept this gateway's credentials.")
    if status == _TOO_MANY:
        return UpstreamRateLimited("The provider's rate limit is reached.")
    if status not in _REFUSALS:
        return UpstreamFailed(f"The provider answered with status {status}.")
    kind = UpstreamRefused
    if _any_in(_FILTERED, words):
        kind, status = ContentFiltered, _CLIENT
    elif _any_in(_OVERFLOW, words):
        kind = ContextOverflow
    message = redact((told.message or "")[: 4 * MESSAGE_CHARACTERS])[:MESSAGE_CHARACTERS]
    error = kind(message or "The provider refused the request.")
    error.status = status
    if kind is UpstreamRefused:  # the other two have codes that every caller knows
        error.upstream_code = code
    return error


def _code(told: ErrorView) -> str | None:
    """What callers can go by: the code of the cause, or a type that says more than the status."""
    if isinstance(told.details, dict):
        code = cast("dict[str, Any]", told.details).get("error_code")
        if isinstance(code, str):
            return code[:CODE_CHARACTERS]
    kind = told.type
    return None if kind in (None, "invalid_request_error") else kind[:CODE_CHARACTERS]


def _any_in(phrases: tuple[str, ...], words: str) -> bool:
    return any(phrase in words for phrase in phrases)


def error_body(error: TidegateError, request_id: str) -> bytes:
    """See `Heard.error_body`. Our own code stands where the SDK looks for one, in `details`."""
    return encode(_told(error, request_id))


def error_event(error: TidegateError, request_id: str) -> bytes:
    """See `Heard.error_event`; no `message_stop` follows it."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"


def _told(error: TidegateError, request_id: str) -> Json:
    details: Json = {"error_code": getattr(error, "upstream_code", None) or error.code}
    if error.param is not None:
        details["param"] = error.param
    status = error.status
    fallback = "api_error" if status >= _SERVER else "invalid_request_error"
    return {
        "type": "error",
        "error": {
            "type": _TYPES.get(status, fallback),
            "message": error.message,
            "details": details,
        },
        "request_id": request_id,
    }
