"""How things go wrong in this format, where it differs from OpenAI's older ones.

Source: platform.openai.com/docs/api-reference/responses-streaming/error, and `ResponseError` in
OpenAI's own SDK for the codes.
"""

from __future__ import annotations

from typing import cast

import msgspec

from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    TidegateError,
    UpstreamError,
    UpstreamRefused,
)
from tidegate.formats import faults
from tidegate.formats.faults import CODE_CHARACTERS, MESSAGE_CHARACTERS, error_body, refusal
from tidegate.formats.responses.shapes import Json
from tidegate.redact import redact

__all__ = ["UnknownPrevious", "error_body", "error_event", "refusal", "reported"]

_FILTERED = frozenset({
    "invalid_prompt", "bio_policy", "cyber_policy", "misalignment_policy_violation",
    "image_content_policy_violation",
})  # fmt: skip
_REFUSED = frozenset({
    "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
    "image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode",
    "image_file_too_large", "unsupported_image_media_type", "empty_image_file",
    "failed_to_download_image", "image_file_not_found", "data_residency_mismatch",
})  # fmt: skip
"""What the caller has to change, though it is told only after a good status."""

_ID_CHARACTERS = 200

_encode = msgspec.json.Encoder().encode


class UnknownPrevious(BadRequest):
    """The response to be continued is not known here, has expired, or is somebody else's."""

    code = "previous_response_not_found"
    remedy = "Send the whole conversation in `input`, without `previous_response_id`."

    def __init__(self, id_: str) -> None:
        """Tell of `id_` what OpenAI tells."""
        message = f"Previous response with id {id_[:_ID_CHARACTERS]!r} not found."
        super().__init__(message, param="previous_response_id")


def reported(error: object) -> UpstreamError:
    """The error that an error object inside an answer that began well stands for."""
    told = _fields(error)
    code, message = told.get("code"), told.get("message")
    if not isinstance(code, str) or code not in _FILTERED | _REFUSED:
        return faults.reported(error)
    kind = ContentFiltered if code in _FILTERED else UpstreamRefused
    text = redact(message) if isinstance(message, str) else "The provider refused the request."
    refused = kind(text[:MESSAGE_CHARACTERS])
    refused.status, refused.upstream_code = 400, code[:CODE_CHARACTERS]
    return refused


def _fields(error: object) -> Json:
    return cast("Json", error) if isinstance(error, dict) else {}


def error_event(error: TidegateError, request_id: str) -> bytes:
    """`error` as the last event of a stream that had begun.

    Its fields stand at the top, as the reference says, and once more under `error`, as OpenAI
    sends them: only there do the SDKs look, and raise.
    """
    whole: Json = msgspec.json.decode(error_body(error, request_id))
    told = whole["error"]
    event = {**told, "type": "error", "sequence_number": 0, "error": told}
    return b"event: error\ndata: " + _encode(event) + b"\n\n"
