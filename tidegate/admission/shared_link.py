"""The way to Redis: a line that is made anew, and a breaker around it so that nobody waits twice.

    connecting ──▶ up ──── failures in a row: late answers, complaints, a broken line ────▶ down
                   ▲                                                                         │
                   └──── a probe of our own was answered in time ──── a pause that grows ◀───┘

While it is down nothing is asked on a request's behalf and so nothing waits: the probe is a task's
own question, never a request's. It writes, because a Redis that is full or a replica still reads.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct

from tidegate.admission.redis_address import Address
from tidegate.admission.redis_line import Line, LineBroken, Question, dial
from tidegate.admission.redis_words import NotRedis

FAILURES = 3
"""In a row; then it is down."""
LEAST_PAUSE_S, MOST_PAUSE_S = 0.1, 5.0
EVERY_S = 1.0
"""How often a good line is looked after."""
SILENCE_S = 5.0
"""A line on which nothing is answered for so long is made anew."""

log = logging.getLogger("tidegate.admission")


class LinkState(Struct, frozen=True):
    """How it goes, for the status board; `since_s` is monotonic."""

    state: Literal["connecting", "up", "down"]
    since_s: float
    reason: str = ""


class Link:
    """The way to the Redis at `address`, closed until `run`.

    `look_after` is called with a line that has just answered in time: before it is up, once a
    second, and whenever `wake` was called. It may raise `LineBroken`.
    """

    def __init__(
        self,
        address: Address,
        scripts: Sequence[bytes],
        probe_key: bytes,
        look_after: Callable[[Line], Awaitable[None]],
        *,
        timeout_s: float,
        on_loss: Callable[[], None] = lambda: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._scripts = scripts
        self._probe_key = probe_key
        self._look_after = look_after
        self._timeout_s = timeout_s
        self._on_loss = on_loss
        self._draw = draw
        self._line: Line | None = None
        self._failures = 0
        self._trips = 0
        """How often requests have found it slow since it was last good for a while."""
        self._wake = asyncio.Event()
        self._time = asyncio.get_running_loop().time
        self._state = LinkState("connecting", self._time())
        self.changed = asyncio.Event()
        """Set at each change of state; for whoever waits for one."""

    @property
    def is_up(self) -> bool:
        """Whether requests may be asked about."""
        return self._state.state == "up"

    def state(self) -> LinkState:
        """How it goes."""
        return self._state

    def ask(self, question: Question) -> None:
        """Ask in this turn's write. Raises: `LineBroken` at once when it is down."""
        line = self._line
        if line is None or self._state.state != "up":
            raise LineBroken(self._state.reason or "there is no connection yet")
        line.ask(question)

    def went_well(self) -> None:
        """An answer came in time."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """An answer was late or a complaint."""
        self._failures += 1
        if self._failures >= FAILURES and self.is_up:
            lasted = self._time() - self._state.since_s > 2 * MOST_PAUSE_S
            self._trips = 1 if lasted else self._trips + 1
            self._turn("down", why)
            self._wake.set()

    def wake(self) -> None:
        """Have the line looked after now, if it is up."""
        if self.is_up:
            self._wake.set()

    async def is_heard(self, patience_s: float) -> bool:
        """Whether everything that was asked so far has been answered within so long."""
        line = self._line
        if line is None or not self.is_up:
            return False
        try:
            await line.call(b"PING", timeout_s=patience_s)
        except LineBroken:
            return False
        return True

    async def run(self) -> None:
        """Keep a line until cancelled."""
        tries = 0
        while True:
            began_s = self._time()
            try:
                await self._keep(await dial(self._address, self._scripts))
            except LineBroken as broken:
                self._turn("down", str(broken))
            lasted = self._time() - began_s > MOST_PAUSE_S
            tries = 1 if lasted else tries + 1
            await asyncio.sleep(self._pause_s(tries))

    async def _keep(self, line: Line) -> None:
        """Have `line` asked for as long as it lasts. Raises: `LineBroken`."""
        self._line = line
        try:
            tries = 0
            while True:
                self._wake.clear()
                tries = 0 if await self._is_well(line) else tries + 1
                await self._until(line, self._pause_s(tries) if tries else EVERY_S)
                if not tries and not self.is_up:  # requests have found out
                    self._wake.clear()
                    await self._until(line, self._pause_s(self._trips))
        finally:
            self._line = None
            line.close()

    async def _is_well(self, line: Line) -> bool:
        """Whether a probe is answered in time; then it is looked after. Raises: `LineBroken`."""
        if line.silent_s() > SILENCE_S:
            raise LineBroken(f"it has been silent for {SILENCE_S:.0f} s")
        try:
            await line.call(
                b"SET", self._probe_key, b"1", b"PX", b"60000", timeout_s=self._timeout_s
            )
            await self._look_after(line)
        except NotRedis as error:
            raise LineBroken(f"it does not speak as Redis does: {error}") from error
        except LineBroken as broken:
            if line.ended.done():
                raise
            self._turn("down", str(broken))
            return False
        self._failures = 0
        self._turn("up")
        return True

    async def _until(self, line: Line, wait_s: float) -> None:
        """Wait, but not for longer than the line lasts and nobody wakes us."""
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait(
                (woken, line.ended), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
            await asyncio.wait((woken,))  # not `await woken`: its end would hide our own

    def _pause_s(self, tries: int) -> float:
        whole_s = min(MOST_PAUSE_S, LEAST_PAUSE_S * 2.0 ** min(tries - 1, 16))
        return whole_s * (0.5 + 0.5 * self._draw())

    def _turn(self, state: Literal["up", "down"], reason: str = "") -> None:
        """Note how it goes; one line in the log for each change."""
        if self._state.state == state:
            return
        self._state = LinkState(state, self._time(), reason)
        self.changed.set()
        if state == "up":
            log.info(
                "limits are shared through Redis", extra={"fields": {"at": str(self._address)}}
            )
        else:
            self._on_loss()
            log.warning(
                "limits cannot be shared: Redis is lost",
                extra={"fields": {"at": str(self._address), "reason": reason}},
            )
