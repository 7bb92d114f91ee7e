"""Azure OpenAI: OpenAI's API at other paths, under another header, with a filter of its own.

The newer surface (`v1`) takes the deployment as the model's name, the dated ones take it in the
path. Both tell what the content filter found beside what OpenAI tells; that passes unchanged.

Sources: learn.microsoft.com/azure/ai-foundry/openai/reference (dated versions),
…/openai/api-version-lifecycle (v1), …/openai/concepts/content-filter (its errors).
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from tidegate.errors import BadRequest, ContentFiltered, UpstreamError, UpstreamRefused
from tidegate.providers.compatible import CHAT, Row
from tidegate.providers.dialect import header_lines
from tidegate.providers.openai import PATHS, OpenAI

NEWER: Final = "v1"
"""The surface without dates."""

_SINCE_USAGE: Final = "2024-09-01"
"""The first dated version that knows `stream_options` and `max_completion_tokens`."""

_VIOLATION: Final = "ResponsibleAIPolicyViolation"
_INNER: Final = ("innererror", "inner_error")

_decode = msgspec.json.Decoder().decode


class Azure(OpenAI):
    """The dialect of one resource. A target's model is the name of a deployment."""

    def __init__(self, version: str) -> None:
        """`version` is `v1`, or a date with or without `-preview`."""
        super().__init__(row_of(version))
        self._version = version

    @staticmethod
    def credential(secret: str | None, headers: dict[str, str]) -> bytes:
        """The header lines of an account: its key as `api-key`, unless `headers` say else."""
        return header_lines("api-key", secret, headers)

    def path(self, api: str, model: str) -> str:
        """Where `api` is served for the deployment `model`, behind the resource's address.

        Raises: `BadRequest` when that is no name, for an alias may let callers choose it.
        """
        if self._version == NEWER:
            return f"/openai/v1{PATHS[api]}"
        if not model.strip("."):
            raise BadRequest("There is no such deployment.", param="model")
        deployment = quote(model, safe="")
        return f"/openai/deployments/{deployment}{PATHS[api]}?api-version={self._version}"

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`; what the filter refused may be told one level deeper."""
        error = super().refusal(status, body)
        if type(error) is not UpstreamRefused or not _is_filtered(body):
            return error
        filtered = ContentFiltered(error.message, param=error.param)
        filtered.status = 400
        filtered.upstream_code = error.upstream_code
        return filtered


def row_of(version: str) -> Row:
    """What is different about Azure at `version`."""
    if version == NEWER:
        return Row(
            "azure",
            "",
            native=(*CHAT, "responses"),
            output_field="max_completion_tokens",
            developer=True,
        )
    if version[: len(_SINCE_USAGE)] >= _SINCE_USAGE:
        return Row("azure", "", output_field="max_completion_tokens", developer=True)
    return Row("azure", "", renames={"max_completion_tokens": "max_tokens"}, stream_usage=False)


def _is_filtered(body: bytes) -> bool:
    """Whether an error's inner error is the filter's."""
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    error = _section(_section(told).get("error"))
    return any(_section(error.get(name)).get("code") == _VIOLATION for name in _INNER)


def _section(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
