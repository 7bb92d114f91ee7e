"""Breakers shared by gateways: what one has learned of a target spares the others their failures.

Openings are told through Redis, by a task beside the requests; no request ever waits for it, and
a Redis that is slow or gone changes nothing but that each gateway judges for itself again. What
holds:

- Only own verdicts are told, and only openings: who recovers is for each to find out.
- A later verdict never shortens an earlier one, in Redis neither than in a breaker.
- A newcomer learns what holds now, and so does one that missed a message: what is held is read
  at the begin of a line and every `CATCH_UP_S`.
- Ends are told in Unix time, so gateways' clocks should agree to a second or so; what is heard is
  bounded by the hearer's own `max_cooldown_s` whatever they say.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from tidegate.clock import Clock, SystemClock
from tidegate.policy.board import SharedState
from tidegate.policy.breaker import Change
from tidegate.policy.health import LIMIT, Wards
from tidegate.policy.link import LinkBroken
from tidegate.policy.retry import RetrySettings, pause_s

CATCH_UP_S = 5.0
SILENCE_S = 5.0
"""After how long without a message the other end is asked whether it is still there."""
_PAUSES = RetrySettings(base_s=0.5, cap_s=10.0)
_REASON_CHARACTERS = 200
_MESSAGE_BYTES = 4096
_MS = 1_000_000

log = logging.getLogger("tidegate.policy")


class Opening(Struct, frozen=True):
    """A breaker is open until then, as the gateway `by` has found."""

    target: str
    until_ms: Annotated[int, Meta(ge=0, le=1 << 53)]
    """Unix time."""
    reason: str
    by: str


class Line(Protocol):
    """What carries openings to other gateways: `link.Link`."""

    async def open(self) -> None:
        """Connect. Raises: `LinkBroken`, as all of these."""
        ...

    async def tell(self, target: str, until_ms: int, lasts_ms: int, message: bytes) -> None:
        """Keep and publish a message, unless one that lasts longer is kept."""
        ...

    async def held(self, targets: Sequence[str]) -> list[bytes]:
        """The messages that are kept about `targets`."""
        ...

    async def hear(self, silence_s: float) -> bytes | None:
        """The next message published; None after a silence."""
        ...

    async def close(self) -> None:
        """Disconnect; raises nothing."""
        ...


class Shared:
    """Tells the openings of `wards` to other gateways, and theirs to `wards`."""

    def __init__(
        self,
        link: Line,
        wards: Wards,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        silence_s: float = SILENCE_S,
        catch_up_s: float = CATCH_UP_S,
    ) -> None:
        self._link = link
        self._wards = wards
        self._clock = clock or SystemClock()
        self._draw = draw
        self._silence_s = silence_s
        self._catch_up_s = catch_up_s
        self._name = token_hex(8)
        self._untold: dict[str, Opening] = {}
        self._wake = asyncio.Event()
        self._time = asyncio.get_running_loop().time
        self._state = SharedState("connecting", self._time())
        wards.listen(self._note)

    def state(self) -> SharedState:
        """How it goes, for the status board."""
        return self._state

    async def run(self) -> None:
        """Share until cancelled."""
        breaks = 0
        while True:
            begun_s = self._time()
            # A task of its own: as it is cancelled, a line may break instead, and that must not
            # be taken for a break like others, after which the next line is made.
            line = asyncio.create_task(self._line(), name="share breakers")
            try:
                await asyncio.wait([line])
            finally:
                line.cancel()
                await asyncio.wait([line])
            self._turn("down", line.result())
            # A line that broke at once is not taken for a good one because it could be opened.
            lasted = self._time() - begun_s > _PAUSES.cap_s
            breaks = 1 if lasted else breaks + 1
            await asyncio.sleep(pause_s(_PAUSES, breaks, 0.5 + 0.5 * self._draw()))

    async def _line(self) -> str:
        """Tell and hear until the line breaks; returns why it did."""
        why = ""
        try:
            await self._link.open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell())
                group.create_task(self._hear())
        except* LinkBroken as broken:
            why = str(broken.exceptions[0])
        finally:
            await self._link.close()
        return why

    async def _tell(self) -> None:
        """Learn what holds, then tell what is new, over and over. Raises: `LinkBroken`."""
        caught_up_s = float("-inf")
        while True:
            self._wake.clear()
            if self._time() - caught_up_s >= self._catch_up_s:
                for message in await self._link.held(self._wards.names()):
                    self._adopt(message)
                caught_up_s = self._time()
                self._turn("up")
            for opening in tuple(self._untold.values()):
                await self._tell_one(opening)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._catch_up_s):
                    await self._wake.wait()

    async def _tell_one(self, opening: Opening) -> None:
        lasts_ms = opening.until_ms - self._now_ms()
        if lasts_ms > 0:
            message = b"%d %s" % (opening.until_ms, msgspec.json.encode(opening))
            await self._link.tell(opening.target, opening.until_ms, lasts_ms, message)
        if self._untold.get(opening.target) is opening:
            del self._untold[opening.target]

    async def _hear(self) -> None:
        """Adopt what others tell. Raises: `LinkBroken`."""
        while True:
            message = await self._link.hear(self._silence_s)
            if message is not None:
                self._adopt(message)

    def _note(self, change: Change) -> None:
        """Take an opening of our own to be told: all that ever happens on a request's way."""
        if change.new != "open" or change.heard:
            return
        until_ms = self._now_ms() + round((change.until_s - change.now_s) * 1000)
        self._untold.pop(change.target, None)
        if len(self._untold) >= LIMIT:  # nobody has taken them for long: the oldest matters least
            del self._untold[next(iter(self._untold))]
        self._untold[change.target] = Opening(change.target, until_ms, change.reason, self._name)
        self._wake.set()

    def _adopt(self, message: bytes) -> None:
        """Open what another gateway has opened; what is no opening is passed over."""
        try:
            opening = _decoder.decode(message[:_MESSAGE_BYTES].partition(b" ")[2])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if opening.by == self._name:
            return
        now_s = self._time()
        until_s = now_s + (opening.until_ms - self._now_ms()) / 1000
        reason = f"another gateway says: {opening.reason[:_REASON_CHARACTERS]}"
        self._wards.adopt(opening.target, until_s, reason, now_s)

    def _turn(self, state: str, reason: str = "") -> None:
        """Note how it goes; one line in the log for each change."""
        if self._state.state == state:
            return
        if state == "up":
            self._state = SharedState("up", self._time())
            log.info("breakers are shared with other gateways")
        else:
            self._state = SharedState("down", self._time(), reason)
            log.warning(
                "breakers are not shared: each gateway judges for itself until Redis is back",
                extra={"fields": {"reason": reason}},
            )

    def _now_ms(self) -> int:
        return self._clock.now_ns() // _MS


_decoder = msgspec.json.Decoder(Opening)
