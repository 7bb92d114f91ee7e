"""One target's lane: the requests that run there, how many may, and who comes next.

What is promised:

- Never more than the limit begin to run; a limit that was lowered is reached as they end.
- A slot is given back once, whatever is called how often, and each one that is given back lets the
  next in line run. A request that leaves the queue, or is cancelled just as its turn comes, leaves
  nothing behind.
- Who cannot be answered in time is told so at once, not at its deadline.

Times are seconds of one monotonic clock; nothing here reads it.
"""

from __future__ import annotations

import math
import statistics
from typing import Final

from msgspec import Struct

from tidegate.errors import (
    ConnectTimeout,
    FirstTokenTimeout,
    TidegateError,
    UpstreamError,
    UpstreamRateLimited,
)
from tidegate.policy.slots.limit import (
    Limit,
    LimitSettings,
    Seen,
    after_refusal,
    after_window,
    enough,
    first_limit,
    given_back,
)
from tidegate.policy.slots.line import BATCH, Line, QueueSettings, Waiting
from tidegate.policy.slots.pace import Pace

FRESH: Final = 1 / 16
"""The weight of a new time among the usual ones, once there are some."""
PATIENCE: Final = 10
"""After so many windows one is judged by what little was seen."""
TOO_FEW: Final = 4
"""Less than a quarter of what is enough is too little for a median."""
FIRST_TOKENS: Final = 256
"""What is kept of one window."""
NO_LIMIT: Final = 1 << 60
_STRAINED: Final = frozenset({429, 503, 529})


class LaneSettings(Struct, frozen=True):
    """How one target is asked; with `limit` None as many requests run as come."""

    limit: LimitSettings | None = LimitSettings()
    queue: QueueSettings = QueueSettings()


class LaneState(Struct, frozen=True):
    """A lane as the status board shows it."""

    name: str
    limit: int | None
    running: int
    waiting: int
    best_first_token_s: float | None
    usual_s: float | None
    """How long a slot is usually held."""
    pace_per_s: float | None
    waited: int
    """Requests that ever waited."""
    refused: int
    """Requests that were ever told to come later."""


def strained(error: TidegateError) -> bool:
    """Whether `error` says that the target has more to do than it can."""
    if isinstance(error, UpstreamError) and error.answered in _STRAINED:
        return True
    return isinstance(error, UpstreamRateLimited | FirstTokenTimeout | ConnectTimeout)


class Slot(Struct, gc=False, eq=False):
    """A request's place among those that run at a target. Its first ending counts."""

    lane: Lane
    began_s: float
    beside: int
    """How many ran when it began, itself included."""
    streams: bool = False
    """Whether a first token has come."""
    over: bool = False

    def answered(self, now_s: float, *, whole: bool = False) -> None:
        """The first content has come; `whole` when it is all of an answer that is not streamed."""
        if not (whole or self.streams or self.over):
            self.streams = True
            lane = self.lane
            if lane.lowered:
                lane.ease(self.began_s, self.beside, now_s)
            lane.first_token(self.began_s, self.beside, now_s)

    def succeeded(self, now_s: float) -> None:
        """The answer has come to its end."""
        if not self.over:
            self.over = True
            lane = self.lane
            if lane.lowered:
                lane.ease(self.began_s, self.beside, now_s)
            if not self.streams and self.began_s >= lane.since_s:
                lane.wholes += 1
            lane.usual_s += (now_s - self.began_s - lane.usual_s) * lane.fresh
            lane.running -= 1
            if now_s >= lane.window_ends_s or lane.fresh > FRESH:
                lane.judge(now_s)
            if not lane.open:
                lane.admit(now_s)

    def failed(self, error: TidegateError, now_s: float) -> None:
        """It ended in `error`; only one that speaks of too many requests lowers the limit."""
        if not self.over:
            self.over = True
            lane = self.lane
            if strained(error):
                lane.strain(self.began_s, now_s)
            lane.usual_s += (now_s - self.began_s - lane.usual_s) * lane.fresh
            lane.running -= 1
            if not lane.open:
                lane.admit(now_s)

    def cancelled(self, now_s: float) -> None:
        """It ended before it said anything of the target."""
        if not self.over:
            self.over = True
            lane = self.lane
            lane.running -= 1
            if not lane.open:
                lane.admit(now_s)


class Lane:
    """The lane of the target `name`."""

    __slots__ = (
        "_beside",
        "_first_tokens",
        "_limit",
        "_next_s",
        "_pace",
        "_paced_until_s",
        "_settings",
        "_used",
        "_whole",
        "fresh",
        "lag_s",
        "line",
        "lowered",
        "mean_tokens",
        "name",
        "open",
        "running",
        "since_s",
        "usual_s",
        "wholes",
        "window_ends_s",
    )

    def __init__(self, name: str, settings: LaneSettings) -> None:
        self.name = name
        self.running = 0
        self.line = Line[Slot](settings.queue)
        self.open = 0
        """How many may run without a look at anything else; 0 while somebody waits or is paced."""
        self.mean_tokens = 0.0
        """What a request took lately, input and output together."""
        self.usual_s = 0.0
        """How long a slot is usually held; 0.0 as long as nobody knows."""
        self.fresh = 1.0
        """The weight of the next time among the usual ones; the first ones are averaged evenly."""
        self.wholes = 0
        """Whole answers in this window."""
        self.lag_s = 0.0
        """How late the event loop was in this window, at worst."""
        self.lowered = False
        """Whether refusals have lowered the limit, and nothing has raised it since."""
        self.window_ends_s = -math.inf
        self.since_s = -math.inf
        """When the limit was last lowered: what began earlier does not count."""
        self._first_tokens: list[float] = []
        self._beside: list[int] = []
        self._used = 0
        self._pace: Pace | None = None
        self._paced_until_s = 0.0
        self._next_s = 0.0
        self._settings = settings
        self._limit = Limit(math.inf)
        self._whole = NO_LIMIT
        self._begin(settings.limit)

    # For whoever asks the target

    def take(
        self,
        owner: str,
        user: str,
        now_s: float,
        *,
        priority: str = "interactive",
        weight: int = 1,
        deadline_s: float = math.inf,
    ) -> Slot | Waiting[Slot]:
        """A slot to begin at once, or a place in the queue to await a `turn`.

        `owner` has a share by its `weight`, which its users divide. `deadline_s` is when the whole
        answer has to be there. Raises: `Overloaded`.
        """
        if self.running < self.open:
            self.running = running = self.running + 1
            if running > self._used:  # noqa: PLR1730 - max() costs more than all the rest
                self._used = running
            return Slot(self, now_s, running)
        if not self.line.count:
            self.admit(now_s)  # the queue may have emptied, or a pace ended, without a word
            if self.running < self._whole and self._on_pace(now_s):
                return self._start(now_s)
        waiting = Waiting(self.line, owner, user, priority == BATCH, deadline_s)
        self.line.join(waiting, max(1, weight), now_s, self.usual_s, self.drain_per_s)
        self.open = 0
        return waiting

    @property
    def busy(self) -> bool:
        """Whether a request that came now would have to wait."""
        if self.running < self.open:
            return False
        return self.line.count > 0 or self.running >= self._whole or self._pace is not None

    @property
    def full(self) -> bool:
        """Whether the queue has no place left."""
        return self.line.count >= self.line.settings.length

    @property
    def drain_per_s(self) -> float:
        """How many slots become free in a second, by Little's law; 0.0 if nobody knows yet.

        While requests are held back for the sake of an allowance, that is what counts.
        """
        rate = self._whole / self.usual_s if self.usual_s else 0.0
        if self._pace is None:
            return rate
        return min(rate, self._pace.per_s) if rate else self._pace.per_s

    @property
    def settings(self) -> LaneSettings:
        """The settings in force; a limit under other bounds is learned anew."""
        return self._settings

    @settings.setter
    def settings(self, settings: LaneSettings) -> None:
        anew = settings.limit != self._settings.limit
        self._settings = settings
        self.line.settings = settings.queue
        if anew:
            self._begin(settings.limit)

    def used(self, tokens: int) -> None:
        """A request took so many tokens."""
        self.mean_tokens += (tokens - self.mean_tokens) * FRESH

    def heard(self, pace: Pace | None, now_s: float) -> None:
        """Take over the pace that the provider's headers ask for; None is none."""
        if pace is None and self._pace is None:
            return
        if pace is not None:
            if self._pace is None:
                self._next_s = now_s
            self._paced_until_s = now_s + pace.lasts_s
        self._pace = pace
        self.admit(now_s)

    def sweep(self, now_s: float) -> None:
        """Refuse those whose time is up, admit those whose pace has come: to be called often."""
        self.line.expire(now_s, self.drain_per_s)
        if not self.open:
            self.admit(now_s)

    def snapshot(self) -> LaneState:
        """What the status board shows."""
        return LaneState(
            name=self.name,
            limit=None if self._settings.limit is None else self._whole,
            running=self.running,
            waiting=self.line.count,
            best_first_token_s=self._limit.best_s,
            usual_s=self.usual_s or None,
            pace_per_s=None if self._pace is None else self._pace.per_s,
            waited=self.line.joined,
            refused=self.line.refused,
        )

    # For slots

    def first_token(self, began_s: float, beside: int, now_s: float) -> None:
        """A stream that began then, beside so many, has its first token now."""
        if began_s >= self.since_s and len(self._first_tokens) < FIRST_TOKENS:
            self._first_tokens.append(now_s - began_s)
            self._beside.append(beside)
        if now_s >= self.window_ends_s:
            self.judge(now_s)

    def strain(self, began_s: float, now_s: float) -> None:
        """The target said that it is too much to one that began then."""
        settings = self._settings.limit
        if settings is not None and began_s >= self.since_s:
            self._move(after_refusal(settings, self._limit, began_s, self.running, now_s), now_s)

    def ease(self, began_s: float, beside: int, now_s: float) -> None:
        """One that began then was answered: beside few, it gives back what refusals have taken."""
        settings = self._settings.limit
        if settings is not None and beside <= settings.least and began_s >= self.since_s:
            self._move(given_back(self._limit), now_s)

    def judge(self, now_s: float) -> None:
        """Move the limit, if the window's time is over and enough was seen."""
        self.fresh = max(FRESH, self.fresh / (1.0 + self.fresh))
        settings = self._settings.limit
        if settings is None:
            self.window_ends_s = math.inf
        elif math.isinf(self.window_ends_s):
            self.window_ends_s = now_s + settings.window_s
        elif now_s >= self.window_ends_s:
            count = len(self._first_tokens)
            needed = enough(settings, self._limit.limit)
            patient = now_s < self.window_ends_s + PATIENCE * settings.window_s
            if count + self.wholes < (needed if patient else 1):
                return
            known = count >= max(1, needed / TOO_FEW)
            seen = Seen(self._used)
            if known:
                median_s = statistics.median(self._first_tokens)
                beside = statistics.median(self._beside)
                seen = Seen(self._used, median_s, beside, self.usual_s, self.lag_s)
            self._move(after_window(settings, self._limit, seen, now_s), now_s)

    def admit(self, now_s: float) -> None:
        """Let in whoever may run now, in turn."""
        if self._pace is not None and now_s >= self._paced_until_s:
            self._pace = None
        line = self.line
        while line.count and self.running < self._whole and self._on_pace(now_s):
            waiting = line.next()
            if waiting.by_s <= now_s:
                line.refuse(waiting, self.drain_per_s)
            else:
                waiting.end(self._start(now_s), None)
        self.open = 0 if line.count or self._pace is not None else self._whole

    # Inside

    def _start(self, now_s: float) -> Slot:
        self.running += 1
        self._used = max(self._used, self.running)
        if self._pace is not None:
            self._next_s = max(self._next_s, now_s - 1.0) + 1.0 / self._pace.per_s
        return Slot(self, now_s, self.running)

    def _on_pace(self, now_s: float) -> bool:
        return self._pace is None or now_s >= self._next_s

    def _begin(self, settings: LimitSettings | None) -> None:
        """Begin to learn under `settings`."""
        self._limit = Limit(math.inf) if settings is None else first_limit(settings)
        self._whole = NO_LIMIT if settings is None else int(self._limit.limit)
        self.lowered = False
        self.window_ends_s = self.since_s = -math.inf
        self._first_tokens.clear()
        self._beside.clear()
        self.wholes = 0
        if not self.line.count and self._pace is None:
            self.open = self._whole

    def _move(self, limit: Limit, now_s: float) -> None:
        """Go on with `limit` in a new window."""
        settings = self._settings.limit
        self.window_ends_s = now_s + (settings.window_s if settings is not None else math.inf)
        self._limit, self.since_s = limit, limit.since_s
        self.lowered = limit.before > 0
        self._first_tokens.clear()
        self._beside.clear()
        self.wholes, self._used, self.lag_s = 0, 0, 0.0
        self._whole = int(limit.limit)
        self.admit(now_s)
