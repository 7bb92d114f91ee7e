"""Titan's embeddings by InvokeModel: one text, one vector, for which the model has its own body."""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.providers.simulated.asking import decode, text_tokens
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import Reply, Turn
from tidegate.providers.simulated.vectors import vector

_DIMENSIONS: Final = 1024
_SIZES: Final = (256, 512, 1024)


class _Titan(msgspec.Struct, rename="camel"):
    """The body of `amazon.titan-embed-text-v2:0`."""

    input_text: str
    dimensions: int | None = None


_DECODE: Final = msgspec.json.Decoder(_Titan)


def invoke(turn: Turn) -> Reply:
    """Answer one body of `/invoke`."""
    ask = decode(_DECODE, turn.body)
    size = _DIMENSIONS if ask.dimensions is None else ask.dimensions
    if size not in _SIZES:
        raise Refusal(400, f"Malformed input request: dimensions must be one of {_SIZES}")
    tokens = turn.meter.prompt_tokens = text_tokens(ask.input_text)
    empty = "empty-choices" in turn.faults
    values = () if empty else vector(ask.input_text, size, turn.vocabulary.seed)
    body: dict[str, object] = {"embedding": values, "embeddingsByType": {"float": values}}
    if "missing-usage" not in turn.faults:
        body["inputTextTokenCount"] = tokens
    counted = b"x-amzn-bedrock-input-token-count: %d\r\n" % tokens
    wait_s = turn.pace.whole_s(0)
    return Reply(200, msgspec.json.encode(body), headers=counted, wait_s=wait_s)
