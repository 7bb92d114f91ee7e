"""When the gateway itself has too much to do: which share of new requests it lets in.

The signal is the lag of the event loop: how long whatever is ready has to wait, and so every
request too, at each of its steps. A moment of it is no overload (a large body, a collection of
garbage); lag that stays above `target_s` for all of `interval_s` is, as in CoDel. From then on each
look at it changes the share of new requests that is let in:

    above the target   share ← share · max(1/5, target / lag)    once per lag, as it takes that long
    below it           share ← share · 1.3 up to `good`, · 1.03 from there on, until it is all

`good` is a little less than what was too much: soon back there, then careful. Lag grows within a
turn of the loop or two, by the factor of the overload each, so the first steps have to be large.
The share is spread evenly (two of three, not forty in a row and then twenty not).

Sources: Nichols and Jacobson, "Controlling Queue Delay" (2012), for the standing queue: a minimum
over an interval, not an average; Zhou et al., "Overload Control for Scaling WeChat Microservices"
(2018), for admission by a share that queueing time moves, as early as possible; RFC 9438 (CUBIC),
section 4, for the way back to where it was too much.
"""

from __future__ import annotations

import asyncio
import math

from msgspec import Struct

LOWEST = 0.02
"""Let in whatever happens, so that it is noticed when the overload is over."""
STEP_DOWN = 0.2
FAST, CAREFUL = 1.3, 1.03
A_LITTLE_LESS = 0.85
EVERY_S = 0.05


class SaturationSettings(Struct, frozen=True):
    """What lag is too much: a first token takes a few of them longer."""

    target_s: float = 0.1
    interval_s: float = 0.1


class Load(Struct, frozen=True):
    """How things stand."""

    share: float = 1.0
    """Of new requests, what is let in."""
    lag_s: float = 0.0
    above_since_s: float = math.inf
    """Since when the lag has been above the target all the time."""
    good: float = 1.0
    """The share up to which it goes fast."""
    settled_s: float = -math.inf
    """When the last decrease will have had its effect."""


def next_load(settings: SaturationSettings, load: Load, lag_s: float, now_s: float) -> Load:
    """The state after another look at the lag."""
    share, good, target_s = load.share, load.good, settings.target_s
    if lag_s > target_s:
        since_s = min(load.above_since_s, now_s)
        standing = share < 1.0 or now_s - since_s >= settings.interval_s
        if not standing or now_s < load.settled_s:
            return Load(share, lag_s, since_s, good, load.settled_s)
        good = A_LITTLE_LESS * share if good <= share else (good + share) / 2
        share = max(LOWEST, share * max(STEP_DOWN, target_s / lag_s))
        return Load(share, lag_s, since_s, good, now_s + lag_s)
    if share < 1.0 and now_s >= load.settled_s:
        share = min(1.0, share * (FAST if share * FAST < good else CAREFUL))
    return Load(share, lag_s, math.inf, 1.0 if share == 1.0 else good, load.settled_s)


class Gate:
    """Lets new requests in or not; `run` watches the loop it runs on.

    `shedding` is what the way of a request looks at; everything else costs nothing while it is
    False.
    """

    def __init__(self, settings: SaturationSettings | None = None) -> None:
        self.load = Load()
        self.shedding = False
        self.refused = 0
        """Requests that were ever refused here. They leave no record: this count is theirs."""
        self._settings = settings or SaturationSettings()
        self._credit = 0.0
        self._due_s = 0.0

    def admits(self) -> bool:
        """Whether one more request is let in, while `shedding`."""
        self._credit += self.load.share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return True
        self.refused += 1
        return False

    def look(self, lag_s: float, now_s: float) -> None:
        """Take another look at the lag into account."""
        self.load = next_load(self._settings, self.load, lag_s, now_s)
        self.shedding = self.load.share < 1.0

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look at the loop until cancelled; without it everybody is let in.

        The lag is how long one step waits that is ready now, and how late the look itself is.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                due_s = loop.time() + every_s
                await asyncio.sleep(every_s)
                late_s = max(0.0, loop.time() - due_s)
                ready_s = loop.time()
                await asyncio.sleep(0)
                now_s = loop.time()
                self.look(max(late_s, now_s - ready_s), now_s)
        finally:
            self.load, self.shedding = Load(), False
