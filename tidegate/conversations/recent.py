"""The last answers of this process, in memory: a conversation mostly goes on soon.

Bounded in bytes and in age. The age bounds how long an answer that was deleted through another
process can still be continued here.
"""

from __future__ import annotations

from collections import OrderedDict

from tidegate.clock import Clock, SystemClock
from tidegate.conversations.kept import Kept

AGE_S = 120.0


class Recent:
    """Answers by their id; the one that was used longest ago goes first."""

    def __init__(
        self, *, most_bytes: int = 32 << 20, age_s: float = AGE_S, clock: Clock | None = None
    ) -> None:
        self._most_bytes = most_bytes
        self._age_s = age_s
        self._clock = clock or SystemClock()
        self._kept: OrderedDict[str, tuple[Kept, float]] = OrderedDict()
        self._size_bytes = 0

    def get(self, id_: str) -> Kept | None:
        """The answer, if it is here and young enough."""
        found = self._kept.get(id_)
        if found is None:
            return None
        kept, until_s = found
        if until_s <= self._clock.monotonic() or kept.expires_ns <= self._clock.now_ns():
            self.drop(id_)
            return None
        self._kept.move_to_end(id_)
        return kept

    def put(self, kept: Kept) -> None:
        """Remember an answer; others go for it."""
        self.drop(kept.id)
        if kept.size_bytes > self._most_bytes:
            return
        self._kept[kept.id] = kept, self._clock.monotonic() + self._age_s
        self._size_bytes += kept.size_bytes
        while self._size_bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, id_: str) -> None:
        """Forget an answer, if it is here."""
        found = self._kept.pop(id_, None)
        if found is not None:
            self._size_bytes -= found[0].size_bytes
