"""How Anthropic says no, and how it counts.

Source: docs.anthropic.com/en/api/errors (shapes and types), .../rate-limits (headers).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.vendor import Cause, Quota, Vendor, no_headers

_WRONG: Final = "invalid_request_error"
_KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error(refusal: Refusal, request_id: str) -> bytes:
    """The error object, with the id of the request."""
    status = refusal.status
    kind = refusal.kind or _KINDS.get(status, "api_error" if status >= 500 else _WRONG)  # noqa: PLR2004
    said = {"type": kind, "message": refusal.message}
    return msgspec.json.encode({"type": "error", "error": said, "request_id": request_id})


def _quota(quota: Quota) -> bytes:
    """Three headers each for requests and for the three ways of counting tokens."""
    reset = datetime.fromtimestamp(quota.reset_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = b""
    for name, each in (
        (b"requests", 1),
        (b"tokens", quota.tokens_each),
        (b"input-tokens", quota.tokens_each // 2),
        (b"output-tokens", quota.tokens_each // 2),
    ):
        lines += (
            b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\n"
            b"anthropic-ratelimit-%b-reset: %b\r\n"
        ) % (name, quota.limit * each, name, quota.left * each, name, reset.encode())
    return lines


ANTHROPIC: Final = Vendor(
    name="anthropic",
    id_header=b"request-id",
    error=error,
    error_headers=no_headers,
    quota=_quota,
    causes={
        "bad-key": Cause(401, "invalid x-api-key"),
        "revoked": Cause(401, "invalid x-api-key"),
        "empty": Cause(402, "Your account has no credit left."),
        "spent": Cause(
            400,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
            "Billing to upgrade or purchase credits.",
        ),
        "limited": Cause(
            429,
            "This request would exceed your organization's rate limit of 3 requests per minute. "
            "For details, refer to: https://docs.anthropic.com/en/api/rate-limits.",
        ),
        "overloaded": Cause(529, "Overloaded"),
        "overflow": Cause(400, "prompt is too long: {tokens} tokens > {limit} maximum"),
        "filtered": Cause(400, "Output blocked by content filtering policy"),
        "unknown-model": Cause(404, "model: {model}"),
        "failed": Cause(500, "The simulated model failed on demand."),
    },
)
