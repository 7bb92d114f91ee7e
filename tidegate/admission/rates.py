"""Count what happens within a sliding window, in three numbers and without a list of events.

The sliding window counter: time is cut into windows that begin at multiples of `window_s`, and the
window before the current one counts by the part of it that the last `window_s` seconds still cover:

    used(now) = previous * (ends - now) / window_s + current

Taking `n` is refused unless used(now) + n <= limit. What this promises: within no window from one
multiple of `window_s` to the next is more than `limit` taken, and never more than the formula
allows. It is an estimate: it is exact where the previous window's events were spread evenly; at
worst (a burst at the end of one window, then all that the formula lets in) somewhat less than twice
the limit falls into some window that begins elsewhere.
Source: https://blog.cloudflare.com/counting-things-a-lot-of-different-things/

Times are seconds of a clock that does not jump. One that goes back all the same frees nothing: an
earlier time than the current window's beginning is taken for that beginning.
"""

from __future__ import annotations

import math

SLACK_S = 0.001
"""Waited longer than the formula says: else a rounding of the last digit would refuse again."""


class Counter:
    """What was taken of one limit in the current window and in the one before.

    `admit` reads and writes the fields itself, because a call for each costs more than the sum.
    """

    __slots__ = ("begins_s", "current", "ends_s", "limit", "previous", "provider", "window_s")

    def __init__(
        self, limit: int, window_s: int, now_s: float, provider: str | None = None
    ) -> None:
        self.limit = limit
        self.window_s = window_s
        self.begins_s = int(now_s // window_s) * window_s
        self.ends_s = self.begins_s + window_s
        self.current = 0
        self.previous = 0
        self.provider = provider
        """Whose use alone is counted, if it is one provider's."""

    def roll(self, now_s: float) -> None:
        """Go on to the window that `now_s` is in; never back."""
        if now_s < self.ends_s:
            return
        self.previous = self.current if now_s < self.ends_s + self.window_s else 0
        self.current = 0
        self.begins_s = int(now_s // self.window_s) * self.window_s
        self.ends_s = self.begins_s + self.window_s

    def left(self, now_s: float) -> float:
        """What may still be taken; below zero after more was used than had been taken."""
        self.roll(now_s)
        now_s = max(now_s, self.begins_s)
        return self.limit - self.current - self.previous * (self.ends_s - now_s) / self.window_s

    def take(self, count: int, now_s: float) -> bool:
        """Take `count`, or nothing if that would be too much."""
        if self.left(now_s) < count:
            return False
        self.current += count
        return True

    def correct(self, count: int, taken_s: float) -> None:
        """Add `count`, which may be negative, where it was taken at `taken_s`.

        A window that is out of sight already is not corrected any more.
        """
        if taken_s >= self.begins_s:
            self.current += count
        elif taken_s >= self.begins_s - self.window_s:
            self.previous += count

    def retry_after_s(self, count: int, now_s: float) -> float | None:
        """Seconds until `count` can be taken if nobody else takes any; None if it never can.

        In this window the previous one fades until its part is what is left; if the current one is
        too full for that, it has to become the previous one first, and fade in its turn.
        """
        room = self.limit - count
        if room < 0:
            return None
        if self.left(now_s) >= count:
            return 0.0
        now_s = max(now_s, self.begins_s)
        if self.current <= room:
            at_s = self.ends_s - self.window_s * (room - self.current) / self.previous
        else:
            at_s = self.ends_s + self.window_s - self.window_s * room / self.current
        return max(at_s - now_s, 0.0) + SLACK_S

    def reset_s(self, now_s: float) -> float:
        """Seconds until all of it is there again if nobody asks."""
        self.roll(now_s)
        now_s = max(now_s, self.begins_s)
        if self.current > 0:
            return self.ends_s + self.window_s - now_s
        return self.ends_s - now_s if self.previous > 0 else 0.0

    def idle(self, now_s: float) -> bool:
        """Whether it remembers nothing that counts any more."""
        self.roll(now_s)
        return self.current <= 0 and self.previous <= 0


def whole(left: float) -> int:
    """What may be taken of `left`, as a number to tell."""
    return max(math.floor(left), 0)
