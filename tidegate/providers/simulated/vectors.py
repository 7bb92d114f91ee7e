"""Unit vectors in which texts that share words lie close, whichever vendor is asked.

Each word adds plus or minus one in eight places its hash names; the sum is scaled to length 1.
A text without words points along the first axis.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2b
from typing import Final

MOST_DIMENSIONS: Final = 16384
_PLACES: Final = struct.Struct("<8I")


def vector(text: str, size: int, seed: int) -> tuple[float, ...]:
    """The vector of `text`, rounded to 32-bit floats."""
    return struct.unpack(f"<{size}f", packed_vector(text, size, seed))


def packed_vector(text: str, size: int, seed: int) -> bytes:
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
