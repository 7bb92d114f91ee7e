"""Google's error object, `{"error": {code, message, status, details}}`, as one of our errors.

A bad key is a 400 here, and so is an account that has no right to be asked from where it is; a file
of somebody else's is a 403, but no fault of the account. Only the text tells a conversation that is
too long.

Source: cloud.google.com/apis/design/errors, ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec

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

_MESSAGE_CHARACTERS = 1_000
_NAME_CHARACTERS = 200
_DETAILS = 32
_LONGEST_WAIT_S = 86_400.0

_DENIED = frozenset({401, 402, 403})
_REFUSED = frozenset({400, 404, 409, 413, 422})
_LIMITED = 429
_STATUSES = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409,
    "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "INTERNAL": 500,
    "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip

_decode = msgspec.json.Decoder().decode


class _Told:
    """An error object, of which nothing can be relied on."""

    def __init__(self, told: object) -> None:
        error = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        self.message = _text(error.get("message"))
        self.status = _text(error.get("status"))[:_NAME_CHARACTERS]
        code = error.get("code")
        self.code = code if isinstance(code, int) else _STATUSES.get(self.status, 500)
        details = error.get("details")
        self.details: list[dict[str, Any]] = []
        if isinstance(details, list):
            for each in cast("list[Any]", details)[:_DETAILS]:
                if isinstance(each, dict):
                    self.details.append(cast("dict[str, Any]", each))

    def reasons(self) -> list[str]:
        """Google's own codes, finer than the status."""
        return [_text(detail.get("reason")) for detail in self.details]

    def wait_s(self) -> float | None:
        """How long to wait, as `RetryInfo` says."""
        for detail in self.details:
            delay = _text(detail.get("retryDelay"))[:_NAME_CHARACTERS]
            if delay.endswith("s"):
                try:
                    wait_s = float(delay[:-1])
                except ValueError:
                    continue
                if math.isfinite(wait_s) and wait_s >= 0:
                    return min(wait_s, _LONGEST_WAIT_S)
        return None

    def param(self) -> str | None:
        """The field that is wrong, in Google's words."""
        for detail in self.details:
            violations = detail.get("fieldViolations")
            if isinstance(violations, list) and violations:
                first = cast("list[Any]", violations)[0]
                if isinstance(first, dict):
                    return (
                        _text(cast("dict[str, Any]", first).get("field"))[:_NAME_CHARACTERS] or None
                    )
        return None


def refusal(status: int, body: bytes) -> UpstreamError:
    """The error that an answer with another status than 200 stands for. See `format.Spoken`."""
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = None
    if isinstance(told, list) and told:  # as a stream answers that was not asked for events
        told = cast("list[Any]", told)[0]
    error = cast("dict[str, Any]", told).get("error") if isinstance(told, dict) else None
    return _error(status, _Told(error))


def reported(error: object) -> UpstreamError:
    """The error that an error object inside a good answer stands for."""
    told = _Told(error)
    return _error(told.code, told)


def _error(status: int, told: _Told) -> UpstreamError:
    if status == _LIMITED or told.status == "RESOURCE_EXHAUSTED":
        return UpstreamRateLimited(
            "The provider's rate limit is reached.", retry_after_s=told.wait_s()
        )
    if _denies(status, told):
        return UpstreamDenied("The provider does not accept this gateway's credentials.")
    if status not in _REFUSED | _DENIED:
        return UpstreamFailed(
            f"The provider answered with status {status}.", retry_after_s=told.wait_s()
        )
    message = redact(told.message[:_MESSAGE_CHARACTERS]) or "The provider refused the request."
    if _overflows(told.message):
        return ContextOverflow(message)
    if "Responsible AI" in told.message:
        return ContentFiltered(message)
    error = UpstreamRefused(message, param=told.param())
    error.upstream_code = told.status or None
    error.status = 404 if status in _DENIED else status
    return error


def _denies(status: int, told: _Told) -> bool:
    """Whether it is the operator's account that is refused, not what the caller asked for."""
    message = told.message
    if status in _DENIED:
        return "access the File" not in message
    if status != 400:  # noqa: PLR2004 - Bad Request
        return False
    if any(reason.startswith(("API_KEY_", "ACCESS_TOKEN_")) for reason in told.reasons()):
        return True
    if message.startswith(("API key not valid", "API key expired")):
        return True
    return told.status == "FAILED_PRECONDITION" and (
        "location is not supported" in message or "billing" in message
    )


def _overflows(message: str) -> bool:
    """Source: google-gemini/gemini-cli issues 4118 and 11248; Vertex AI says it otherwise."""
    told = message.lower()
    return "exceeds the maximum number of tokens allowed" in told or (
        "input token count is" in told and "only supports up to" in told
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
