"""What the simulated model says: an endless ring of words, where one word is one token.

The ring is shuffled by the seed; where in the ring an answer starts depends on the prompt. Tokens
are ready-escaped JSON, so that an answer is a slice and never encoded. Some are not ASCII, so that
readers meet characters of two, three and four bytes.
"""

from __future__ import annotations

from random import Random
from zlib import crc32

_WORDS = """
the tide turns and water moves against gate slowly then all at once salt wind over harbour light
boats wait for morning with nets ropes small lamps a keeper counts waves seven eight none missing
moon pulls far sea near stone stairs dry again sand remembers every foot gulls argue about nothing
café naïve façade Gezeiten über Wasser 海 潮汐 🌊 — however therefore today quietly in out of it is
""".split()  # noqa: SIM905 - reads better than a list
_RING = 4096


class Vocabulary:
    """Tokens for one seed."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)  # noqa: S311 - repeatable on purpose
        words = [(" " + rng.choice(_WORDS)).encode() for _ in range(_RING)]
        self.seed = seed
        self._ring = words + words

    def start(self, prompt: str) -> int:
        """Where an answer to this prompt begins."""
        return crc32(prompt.encode("utf-8", "replace"), self.seed & 0xFFFFFFFF) % _RING

    def tokens(self, start: int, number: int) -> list[bytes]:
        """`number` tokens from `start` on, JSON-escaped; the first has no space before it."""
        start %= _RING
        said = self._ring[start : start + min(number, _RING)]
        while len(said) < number:
            said += self._ring[start : start + min(number - len(said), _RING)]
        if said:
            said[0] = said[0].lstrip()
        return said
