"""How Amazon Bedrock says no.

Source: docs.aws.amazon.com/bedrock/latest/APIReference (errors of Converse), the service model.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.vendor import Cause, Vendor, no_headers

_WRONG: Final = "ValidationException"
_KINDS: Final = {
    401: "UnrecognizedClientException",
    402: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def kind_of(refusal: Refusal) -> str:
    """The exception's name."""
    status = refusal.status
    other = "InternalServerException" if status >= 500 else _WRONG  # noqa: PLR2004
    return refusal.kind or _KINDS.get(status, other)


def _error(refusal: Refusal, request_id: str) -> bytes:  # noqa: ARG001 - AWS has it in a header
    return msgspec.json.encode({"message": refusal.message})


def _error_headers(refusal: Refusal) -> bytes:
    """The exception's name is a header; the body has only the message."""
    return b"x-amzn-errortype: %b\r\n" % kind_of(refusal).encode()


BEDROCK: Final = Vendor(
    name="bedrock",
    id_header=b"x-amzn-requestid",
    error=_error,
    error_headers=_error_headers,
    quota=no_headers,
    causes={
        "bad-key": Cause(
            403,
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details.",
            kind="InvalidSignatureException",
        ),
        "revoked": Cause(
            401,
            "The security token included in the request is invalid.",
            kind="UnrecognizedClientException",
        ),
        "empty": Cause(402, "Your account has no valid payment instrument."),
        "spent": Cause(
            403,
            "Your account is not authorized to invoke this API operation.",
            kind="AccessDeniedException",
        ),
        "limited": Cause(429, "Too many requests, please wait before trying again."),
        "overloaded": Cause(
            503, "Bedrock is unable to process your request. Too many connections."
        ),
        "overflow": Cause(
            400,
            "The model returned the following errors: Input is too long for requested model.",
        ),
        "filtered": Cause(
            400,
            "The model returned the following errors: Output blocked by content filtering policy",
        ),
        "unknown-model": Cause(400, "The provided model identifier is invalid."),
        "failed": Cause(500, "The simulated model failed on demand."),
    },
)
