"""How OpenAI says no, and how it counts.

Source: recorded refusals; platform.openai.com/docs/guides/rate-limits ("Rate limits in headers").
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.vendor import Cause, Quota, Vendor, no_headers

_WRONG = "invalid_request_error"
_KINDS: Final = {401: _WRONG, 402: "insufficient_quota", 403: _WRONG, 404: _WRONG, 429: "requests"}
_CODES: Final = {
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "model_not_found",
    429: "rate_limit_exceeded",
}
_NO_CREDIT = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: "
    "https://platform.openai.com/docs/guides/error-codes/api-errors."
)


def error(refusal: Refusal, request_id: str) -> bytes:  # noqa: ARG001 - OpenAI has it in a header
    """The error object. A kind that was not said follows from the status."""
    status = refusal.status
    kind, code = refusal.kind, refusal.code
    if kind is None:
        kind = _KINDS.get(status, "server_error" if status >= 500 else _WRONG)  # noqa: PLR2004
    said = {"message": refusal.message, "type": kind, "param": refusal.param, "code": code}
    return msgspec.json.encode({"error": said})


def by_status(status: int, message: str) -> Refusal:
    """A refusal of which only the status matters."""
    return Refusal(status, message, code=_CODES.get(status))


def _quota(quota: Quota) -> bytes:
    """Six headers; how long until all is there again is a duration."""
    reset = _duration(quota.reset_s)
    return (
        b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
        b"x-ratelimit-reset-requests: %b\r\nx-ratelimit-limit-tokens: %d\r\n"
        b"x-ratelimit-remaining-tokens: %d\r\nx-ratelimit-reset-tokens: %b\r\n"
    ) % (
        quota.limit,
        quota.left,
        reset,
        quota.limit * quota.tokens_each,
        quota.left * quota.tokens_each,
        reset,
    )


def _duration(seconds: float) -> bytes:
    """`12ms`, `1s`, `6m0s`, as OpenAI writes it (and Go)."""
    if seconds < 1:
        return b"%dms" % (seconds * 1000)
    minutes, rest = divmod(seconds, 60)
    said = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{minutes:.0f}m{said}" if minutes else said).encode()


OPENAI: Final = Vendor(
    name="openai",
    id_header=b"x-request-id",
    error=error,
    error_headers=no_headers,
    quota=_quota,
    by_status=by_status,
    causes={
        "bad-key": Cause(401, "Incorrect API key provided.", kind=_WRONG, code="invalid_api_key"),
        "revoked": Cause(
            401,
            "Incorrect API key provided: it was revoked. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            kind=_WRONG,
            code="invalid_api_key",
        ),
        "empty": Cause(402, "Insufficient Balance", kind="unknown_error", code=_WRONG),
        "spent": Cause(429, _NO_CREDIT, kind="insufficient_quota", code="insufficient_quota"),
        "limited": Cause(
            429,
            "Rate limit reached for {model} in organization org-simulated on requests per min "
            "(RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit "
            "https://platform.openai.com/account/rate-limits to learn more.",
            kind="requests",
            code="rate_limit_exceeded",
        ),
        "overloaded": Cause(
            503,
            "The engine is currently overloaded, please try again later",
            kind="server_error",
            code="server_is_overloaded",
        ),
        "overflow": Cause(
            400,
            "This model's maximum context length is {limit} tokens. However, your messages "
            "resulted in {tokens} tokens. Please reduce the length of the messages.",
            kind=_WRONG,
            code="context_length_exceeded",
            param="messages",
        ),
        "filtered": Cause(
            400,
            "The response was filtered due to the prompt triggering the content management "
            "policy. Please modify your prompt and retry.",
            code="content_filter",
            param="prompt",
        ),
        "unknown-model": Cause(
            404,
            "The model `{model}` does not exist or you do not have access to it.",
            kind=_WRONG,
            code="model_not_found",
            param="model",
        ),
        "failed": Cause(
            500, "The simulated model failed on demand.", kind="server_error", code=None
        ),
    },
)
