"""Embeddings: a unit vector for each text; token ids are words."""

from __future__ import annotations

import base64
import struct

import msgspec

from tidegate.providers.simulated.asking import decode, text_tokens
from tidegate.providers.simulated.openai.requests import DECODE_EMBEDDING, texts
from tidegate.providers.simulated.openai.usage import usage
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import Reply, Turn
from tidegate.providers.simulated.vectors import MOST_DIMENSIONS, packed_vector

_DIMENSIONS = 1536


def embeddings(turn: Turn) -> Reply:
    """Answer one body of `/v1/embeddings`."""
    ask = decode(DECODE_EMBEDDING, turn.body)
    given = texts(ask.input, "input")
    size = ask.dimensions if ask.dimensions is not None else _DIMENSIONS
    if not 1 <= size <= MOST_DIMENSIONS:
        raise Refusal(400, f"'dimensions' must be 1 to {MOST_DIMENSIONS}", param="dimensions")
    if ask.encoding_format not in (None, "float", "base64"):
        raise Refusal(400, "'encoding_format' must be 'float' or 'base64'", param="encoding_format")
    turn.meter.prompt_tokens = sum(map(text_tokens, given))
    data: list[dict[str, object]] = []
    for index, text in enumerate(given if "empty-choices" not in turn.faults else ()):
        packed = packed_vector(text, size, turn.vocabulary.seed)
        vector = (
            base64.b64encode(packed).decode()
            if ask.encoding_format == "base64"
            else struct.unpack(f"<{size}f", packed)
        )
        data.append({"object": "embedding", "index": index, "embedding": vector})
    body: dict[str, object] = {"object": "list", "data": data, "model": turn.model}
    if "missing-usage" not in turn.faults:
        body["usage"] = msgspec.Raw(usage(turn, prompt_only=True))
    return Reply(200, msgspec.json.encode(body), wait_s=turn.pace.whole_s(0))
