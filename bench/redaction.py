"""What masking costs a request: `python -m bench.redaction` prints microseconds.

Prompts of 1, 4 and 32 KB, clean ones and such with an address, a telephone number, a card and a
key in every 2 KB; what is timed is all that the gateway does to keep one: find, mask, encode.
"""

from __future__ import annotations

import statistics
import time

from tidegate.guard.redaction import Findings, masked_json

ROUNDS, TIMES = 30, 20
PROSE = (
    "The quick brown fox jumps over the lazy dog, and nobody knows why it did so in the end. "
    "It cost $3.50 in 2024, which was said to be fair; others paid more. "
)
SECRETS = (
    "Write to ann@example.com or call +49 170 1234567; the card is 4111 1111 1111 1111 and the "
    "key sk-proj-abcdefghijklmnop1234. "
)
EVERY = 2048


def main() -> None:
    for kb in (1, 4, 32):
        size = kb * 1024
        clean = (PROSE * (size // len(PROSE) + 1))[:size]
        dirty = "".join(SECRETS + clean[at : at + EVERY] for at in range(0, size, EVERY))[:size]
        print(f"{kb} KB: clean {measure(clean):.1f} µs; dirty {measure(dirty):.1f} µs")


def measure(text: str) -> float:
    """Microseconds for one prompt: the best round, for others share the machine."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.5}
    took: list[float] = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        for _ in range(TIMES):
            masked_json(body, 1 << 20, Findings())
        took.append((time.perf_counter() - began_s) / TIMES * 1e6)
    took.sort()
    return statistics.median(took[: ROUNDS // 3])


if __name__ == "__main__":
    main()
