"""Calls and failures of the last seconds, in a ring of buckets: O(1), whatever the traffic."""

from __future__ import annotations

import math

BUCKETS = 10
"""The window slides in steps of a tenth of itself."""


class Window:
    """Counts of the last `width_s` seconds; what is older leaves bucket by bucket.

    Whoever counts calls `turn` first if `now_s` has reached `ends_s`, then adds to `calls` and
    `bad`, which are those of the bucket that `now_s` falls into.
    """

    __slots__ = (
        "_at",
        "_bad",
        "_calls",
        "_older",
        "_older_bad",
        "_step_s",
        "bad",
        "calls",
        "ends_s",
    )

    def __init__(self, width_s: float) -> None:
        self.calls = 0
        self.bad = 0
        self.ends_s = -math.inf
        """Until when the newest bucket lasts."""
        self._step_s = width_s / BUCKETS
        self._calls = [0] * BUCKETS
        self._bad = [0] * BUCKETS
        self._at = 0
        self._older = 0
        self._older_bad = 0

    @property
    def all_calls(self) -> int:
        """Calls in the whole window, as of the last turn."""
        return self._older + self.calls

    @property
    def all_bad(self) -> int:
        """Failures in the whole window, as of the last turn."""
        return self._older_bad + self.bad

    def turn(self, now_s: float) -> None:
        """Begin the bucket that `now_s` falls into, and forget those whose time is over."""
        behind_s = now_s - self.ends_s
        if behind_s >= self._step_s * BUCKETS:
            self._calls = [0] * BUCKETS
            self._bad = [0] * BUCKETS
            self._older = self._older_bad = self.calls = self.bad = 0
            self.ends_s = now_s + self._step_s
            return
        self._calls[self._at], self._bad[self._at] = self.calls, self.bad
        self._older += self.calls
        self._older_bad += self.bad
        steps = int(behind_s / self._step_s) + 1
        for _ in range(steps):
            self._at = at = (self._at + 1) % BUCKETS
            self._older -= self._calls[at]
            self._older_bad -= self._bad[at]
            self._calls[at] = self._bad[at] = 0
        self.calls = self.bad = 0
        self.ends_s += steps * self._step_s
