"""How long a request is, counted by Google: `countTokens`, answered in Anthropic's words.

Source: ai.google.dev/api/tokens, docs.anthropic.com/en/api/messages-count-tokens
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.gemini.refusal import reported

Json = dict[str, Any]

_COUNTED = ("contents", "systemInstruction", "tools")


class _Answer(Struct, rename="camel"):
    total_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def write_count(body: Json, resource: str | None) -> Json:
    """The body of `countTokens` for what `write_ask` wrote.

    `resource` is `models/…` at AI Studio, which counts instructions and tools only in a request
    that names its model; None is Vertex AI.
    """
    counted = {name: body[name] for name in _COUNTED if name in body}
    if resource is None:
        return counted
    return {"generateContentRequest": {"model": resource, **counted}}


def read_count(body: bytes) -> bytes:
    """The answer as `{"input_tokens": n}`.

    Raises: `UpstreamMalformed`, or what an error inside stands for.
    """
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if answer.error is not None:
        raise reported(answer.error)
    if answer.total_tokens is None:
        raise UpstreamMalformed("The provider's answer does not say how many tokens there are.")
    return b'{"input_tokens":%d}' % answer.total_tokens
