"""Long work in short steps, so that the loop it runs on does other things between them.

A generator yields where a step is over, and returns what came of it. Effort is told in bytes: what
it takes to look at one of them, 5 to 150 ns. A step is a millisecond at most, about, and no more
than `WINDOW` bytes are given to a pattern at once. What takes more steps than it may is given up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, Result]

STEP: Final = 8_192
LEAST_STEPS, STEP_BYTES = 250, 256
"""What is kept of a request may take so many steps, or one for so many bytes that may be kept."""
WINDOW: Final = 4_096
REACH: Final = 1_024
"""No pattern needs to see more behind its beginning to say that it is there."""
MATCH: Final = 64
"""The effort that something found is, beyond its bytes."""
_UNSURE: Final = 16
"""A match that ends so near the end of what was looked at may go on behind it."""


class TooHard(Exception):
    """What is in it cannot be said within the effort that one request may cost."""


class Pace:
    """Says when a step is over."""

    __slots__ = ("_left", "_steps")

    def __init__(self, most_bytes: int = 0) -> None:
        """`most_bytes` is how long what is kept may be."""
        self._left = STEP
        self._steps = max(LEAST_STEPS, most_bytes // STEP_BYTES)

    def spend(self, effort: int) -> bool:
        """Whether the step is over with that much more. Raises: `TooHard`."""
        self._left -= effort
        if self._left > 0:
            return False
        self._left = STEP
        self._steps -= 1
        if self._steps < 0:
            raise TooHard
        return True


def outright(steps: Steps[Result]) -> Result:
    """What comes of all the steps, done at once. Raises: `TooHard`."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def seek(
    pattern: re.Pattern[bytes], text: bytes, place: int, pace: Pace, end: int | None = None
) -> Steps[re.Match[bytes] | None]:
    """The first match of `pattern` from `place` on that begins before `end`."""
    size = len(text) if end is None else end
    while place < size:
        until = place + WINDOW
        behind = min(until + REACH, size)
        found = pattern.search(text, place, behind)
        if found is None or found.start() >= until:
            place, over = until, pace.spend(min(until, size) - place)
        elif found.end() + _UNSURE > behind and behind < size:
            place = found.start()
            found = pattern.match(text, place, size)  # as long as it really is
            place, over = place + 1, pace.spend(WINDOW)
        else:
            over = pace.spend(found.end() - place + MATCH)
        if over:
            yield
        if found is not None and found.start() < until:
            return found
    return None


def replaced(
    pattern: re.Pattern[bytes],
    text: bytes,
    said: Callable[[re.Match[bytes]], bytes],
    pace: Pace,
) -> Steps[bytes]:
    """As `pattern.sub(said, text)`."""
    if len(text) <= WINDOW // 4:
        if pace.spend(len(text)):
            yield
        return pattern.sub(said, text)
    parts: list[bytes] = []
    place = 0
    while (found := (yield from seek(pattern, text, place, pace))) is not None:
        parts += (text[place : found.start()], said(found))
        place = found.end()
    return b"".join((*parts, text[place:])) if parts else text
