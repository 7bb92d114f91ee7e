"""Tells one sink of every record, in the order of loading, each at least once.

The place is moved only behind what was taken, or cannot be taken by anybody. Nothing waits in
memory: while a sink is down its records stay in the store, and are read again when it is back. So
neither a slow nor a dead one concerns the loader or another sink.

Where a sink wants the very same page after a crash, the end of the page is noted in the store
before it is told.

What a receiver calls unfit is sent in halves until the one record is found; that one is passed over
and said. If it calls everything unfit, it is the receiver that is wrong, and nothing is given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from tidegate.clock import Clock
from tidegate.control.sinks.post import TOTAL_S, NotTaken
from tidegate.control.sinks.way import Told, Way
from tidegate.store.records import Found
from tidegate.store.sinks import SinkStore

MOST_UNFIT: Final = 10
"""Records in a row that may be passed over as unfit; more are the receiver's mistake."""
FRESH_NS: Final = 3_600 * 10**9
"""How far back a sink is told that is new."""
_LEASE_NS: Final = round(2 * TOTAL_S * 10**9)
_BOUNDED_BEFORE: Final = 1 << 40
"""A page that was aimed at is within its bounds, whatever they are by now."""
_POLL_S, _STORE_S, _TURN_S = 1.0, 2.0, 15.0
_PAUSE_S, _MOST_PAUSE_S = 1.0, 15.0

_log = logging.getLogger("tidegate.control")


State = Literal["idle", "telling", "gathering", "failing", "elsewhere"]
"""`elsewhere`: another control process of the store tells it."""


class Standing(Struct):
    """How it goes with a sink; `GET /healthz` shows it."""

    state: State = "idle"

    sent: int = 0
    """Records that it took, since the process began."""
    left_out: int = 0
    """Records that it is not told of, by the sampling share."""
    failed: int = 0
    """Records, or spans of them, that nobody could take."""
    failures: int = 0
    """Times that it did not take what it was told."""
    size_bytes: int = 0
    """What was sent or written."""
    behind: int = 0
    """Records that it is still to be told of, about."""
    lag_s: float = 0.0
    """How long ago the first of them began."""
    failing: str | None = None
    """Why it was not told when it was tried last."""


class Sending:
    """One sink's task, as long as `run` does."""

    def __init__(
        self,
        name: str,
        way: Way,
        store: SinkStore,
        *,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.standing = Standing()
        self._name = name
        self._way = way
        self._store = store
        self._clock = clock
        self._pause = pause
        self._began_ns = clock.now_ns()
        self._place: int | None = None
        self._held_ns = 0
        self._rows = way.pace.rows
        self._gathering_s: float | None = None
        self._flush_to = 0
        self._unfit = 0
        self._failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Tell it until `stopping`, and then of what is left, unless it does not listen."""
        try:
            await self._tell(stopping)
        except Exception:  # noqa: BLE001 - the root of a task: the others go on
            _log.exception("bug")
            self._note_failure("a mistake of our own ended it; the log says which")

    async def _tell(self, stopping: asyncio.Event) -> None:
        while True:
            last = stopping.is_set()  # asked before: what was loaded until then is told
            try:
                pause_s = await self.turn(last=last)
            except SQLAlchemyError as error:
                self._note_failure(f"the store cannot be read: {error}")
                pause_s = _STORE_S
            if pause_s > 0.0:
                if last:
                    break
                await self._wait(stopping, pause_s)
        try:
            await asyncio.to_thread(self._store.release)
        except SQLAlchemyError as error:
            _log.warning("the turn at the sink %s is not given back: %s", self._name, error)

    def look(self) -> None:
        """See how far behind it is. Raises: `SQLAlchemyError`."""
        place = self._store.place()
        standing = self.standing
        if place is None:
            standing.behind, standing.lag_s = 0, 0.0
            return
        standing.behind = self._store.waiting(place)
        began_ns = self._store.first_after(place) if standing.behind else None
        now_ns = self._clock.now_ns()
        standing.lag_s = 0.0 if began_ns is None else max(0, now_ns - began_ns) / 10**9

    async def turn(self, *, last: bool = False) -> float:
        """Tell it of the next records; how long to wait before the next turn, in seconds.

        With `last` nothing is waited for. Raises: `SQLAlchemyError`.
        """
        page = await asyncio.to_thread(self._read, last=last)
        if page is None or self._place is None:
            self.standing.state = "elsewhere"
            return _TURN_S
        if not page:
            if self.standing.failing is None:
                self.standing.state = "gathering" if self._gathering_s is not None else "idle"
            return _POLL_S
        try:
            told = await self._way.take(page, self._place)
        except NotTaken as error:
            return await self._refused(error, page)
        await self._done(page, told)
        return 0.0 if len(page) == self._rows or self.standing.behind else _POLL_S

    def _read(self, *, last: bool) -> Sequence[Found] | None:
        """The next records; None when it is another process's turn."""
        now_ns = self._clock.now_ns()
        if self._held_ns - now_ns < _LEASE_NS // 2:
            if not self._store.hold(now_ns, _LEASE_NS):
                self._place = None
                return None
            self._held_ns = now_ns + _LEASE_NS
        if self._place is None:
            self._place = self._store.open(self._began_ns - FRESH_NS)
        pace, goal = self._way.pace, None
        if pace.exact:
            goal = self._store.goal()
        if goal is not None and goal > self._place and self._rows == pace.rows:
            # It may have been told of this page, and nobody lived to note it.
            page = self._store.page(self._place, goal - self._place, _BOUNDED_BEFORE, up_to=goal)
            if page:
                return self._noted(page)
        if pace.gather_s and not last and self._is_gathering(pace.gather_s):
            return ()
        page = self._store.page(self._place, self._rows, pace.size_bytes)
        if page and pace.exact:
            self._store.aim(page[-1].id)
        return self._noted(page)

    def _noted(self, page: Sequence[Found]) -> Sequence[Found]:
        self.standing.behind = self._store.waiting(page[-1].id) + len(page) if page else 0
        return page

    def _is_gathering(self, gather_s: float) -> bool:
        """Whether more records are waited for; the wait begins with the first one."""
        place = self._place or 0
        waiting = self._store.waiting(place)
        self.standing.behind = waiting
        if place < self._flush_to or waiting >= self._rows:
            return False
        now_s = self._clock.monotonic()
        if not waiting:
            self._gathering_s = None
        elif self._gathering_s is None:
            self._gathering_s = now_s
        elif now_s - self._gathering_s >= gather_s:
            self._gathering_s, self._flush_to = None, place + waiting
            return False
        return True

    async def _done(self, page: Sequence[Found], told: Told) -> None:
        await asyncio.to_thread(self._advance, page[-1].id)
        standing = self.standing
        if told.sent:
            if standing.failing is not None:
                _log.warning("the sink %s is told again", self._name)
            standing.failing = None
            self._failures = self._unfit = 0
            self._rows = min(self._way.pace.rows, 2 * self._rows)
            standing.state = "telling"
        standing.sent += told.sent
        standing.left_out += told.left_out
        standing.size_bytes += told.size_bytes
        standing.behind = max(0, standing.behind - len(page))
        if told.rejected:
            self._reject(told.rejected, told.why)
        if told.unreadable:
            self._reject(told.unreadable, "they are not records of this version")

    def _advance(self, to: int) -> None:
        if self._place is None or not self._store.advance(self._place, to):
            self._place, self._held_ns = None, 0  # somebody else has told it meanwhile
        else:
            self._place = to

    async def _refused(self, error: NotTaken, page: Sequence[Found]) -> float:
        if error.unfit and len(page) > 1:
            self._rows = len(page) // 2
            return 0.0
        if error.unfit and self._unfit < MOST_UNFIT:
            self._unfit += 1
            self._reject(1, f"{error}, to record {page[0].id} alone")
            await asyncio.to_thread(self._advance, page[0].id)
            return 0.0
        self._note_failure(str(error))
        if error.wait_s is not None:
            return max(_PAUSE_S, error.wait_s)
        most_s = min(_MOST_PAUSE_S, _PAUSE_S * 2.0 ** min(self._failures - 1, 10))
        return most_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads tries

    def _reject(self, count: int, why: str) -> None:
        self.standing.failed += count
        _log.error("the sink %s has not taken %d: %s", self._name, count, why)

    def _note_failure(self, why: str) -> None:
        self._failures += 1
        self.standing.failures += 1
        self.standing.state = "failing"
        if self.standing.failing is None:
            _log.error("the sink %s is not told, tried again: %s", self._name, why)
        self.standing.failing = why

    async def _wait(self, stopping: asyncio.Event, pause_s: float) -> None:
        waits = {
            asyncio.ensure_future(self._pause(pause_s)),
            asyncio.ensure_future(stopping.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
