"""Embeddings: unit vectors in which texts that share words lie close.

Each word adds plus or minus one in eight places its hash names; the sum is scaled to length 1.
Token ids are words. A text without words points along the first axis.
"""

from __future__ import annotations

import base64
import math
import struct
from hashlib import blake2b

import msgspec

from tidegate.providers.simulated.reply import Reply, Turn, usage
from tidegate.providers.simulated.requests import (
    DECODE_EMBEDDING,
    Refusal,
    decode,
    text_tokens,
    texts,
)

_DIMENSIONS = 1536
_MOST = 16384
_PLACES = struct.Struct("<8I")


def embeddings(turn: Turn) -> Reply:
    """Answer one body of `/v1/embeddings`."""
    ask = decode(DECODE_EMBEDDING, turn.body)
    given = texts(ask.input, "input")
    size = ask.dimensions if ask.dimensions is not None else _DIMENSIONS
    if not 1 <= size <= _MOST:
        raise Refusal(400, f"'dimensions' must be 1 to {_MOST}", param="dimensions")
    if ask.encoding_format not in (None, "float", "base64"):
        raise Refusal(400, "'encoding_format' must be 'float' or 'base64'", param="encoding_format")
    turn.meter.prompt_tokens = sum(map(text_tokens, given))
    data: list[dict[str, object]] = []
    for index, text in enumerate(given if "empty-choices" not in turn.faults else ()):
        packed = _vector(text, size, turn.vocabulary.seed)
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


def _vector(text: str, size: int, seed: int) -> bytes:
    """The vector as little-endian 32-bit floats."""
    vector = [0.0] * size
    key = str(seed).encode()[:64]
    for word in text.lower().split():
        hashed = blake2b(word.encode("utf-8", "replace"), digest_size=32, key=key).digest()
        for place in _PLACES.unpack(hashed):
            vector[(place >> 1) % size] += 1.0 if place & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0:
        vector[0] = norm = 1.0
    return struct.pack(f"<{size}f", *(value / norm for value in vector))
