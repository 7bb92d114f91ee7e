"""How Google says no.

Source: ai.google.dev/gemini-api/docs/troubleshooting; google.rpc's `Status`, `RetryInfo`,
`ErrorInfo` and `QuotaFailure` as its JSON APIs write them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.vendor import Cause, Vendor, no_headers

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPES: Final = "type.googleapis.com/google.rpc."
_OTHER_CLIENT, _OTHER_SERVER = "FAILED_PRECONDITION", "UNKNOWN"
_NO_QUOTA: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)


def error(refusal: Refusal, request_id: str) -> bytes:  # noqa: ARG001 - Google does not say it
    """The error object: a status as a word, and details where there are some."""
    status = refusal.status
    other = _OTHER_SERVER if status >= 500 else _OTHER_CLIENT  # noqa: PLR2004
    word = refusal.kind or _STATUSES.get(status, other)
    said: dict[str, Any] = {"code": status, "message": refusal.message, "status": word}
    if details := list(_details(refusal)):
        said["details"] = details
    return msgspec.json.encode({"error": said})


def _details(refusal: Refusal) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if refusal.code is not None:
        info = {"@type": f"{_TYPES}ErrorInfo", "reason": refusal.code, "domain": "googleapis.com"}
        details.append(info)
    if refusal.retry_s is not None:
        metric = "generativelanguage.googleapis.com/generate_content_requests"
        violation = {"quotaMetric": metric, "quotaId": "GenerateRequestsPerMinute"}
        details.append({"@type": f"{_TYPES}QuotaFailure", "violations": [violation]})
        delay = f"{refusal.retry_s:.9f}".rstrip("0").rstrip(".") + "s"
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": delay})
    return details


GEMINI: Final = Vendor(
    name="gemini",
    id_header=b"x-request-id",
    error=error,
    error_headers=no_headers,
    quota=no_headers,
    causes={
        "bad-key": Cause(
            400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID"
        ),
        "revoked": Cause(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
            "cookie or other valid authentication credential.",
            code="ACCESS_TOKEN_TYPE_UNSUPPORTED",
        ),
        "empty": Cause(402, "This API method requires billing to be enabled."),
        "spent": Cause(429, _NO_QUOTA),
        "limited": Cause(429, _NO_QUOTA),
        "overloaded": Cause(503, "The model is overloaded. Please try again later."),
        "overflow": Cause(
            400,
            "The input token count ({tokens}) exceeds the maximum number of tokens allowed "
            "({limit}).",
        ),
        "unknown-model": Cause(
            404,
            "models/{model} is not found for API version v1beta, or is not supported for "
            "generateContent. Call ListModels to see the list of available models and their "
            "supported methods.",
        ),
        "failed": Cause(500, "The simulated model failed on demand."),
    },
)
