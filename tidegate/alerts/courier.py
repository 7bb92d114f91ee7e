"""Delivers what the outbox owes: a task for each sink, so that a slow one delays nobody else.

A message is tried again with growing pauses until it arrives, for a day at most; in each sink they
go in their order. Who is killed between an arrival and its note sends that message again, under the
same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tidegate.alerts.notices import Notice
from tidegate.alerts.outbox import Outbox
from tidegate.alerts.sinks import NotDelivered, Sink

_log = logging.getLogger("tidegate.alerts")

PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""The last one from then on."""
_GRACE_S: Final = 3.0
"""How long a message that is under way has at the end."""
OLD_NS: Final = 86_400 * 10**9

Pause = Callable[[float], Awaitable[None]]


class Courier:
    """The tasks; they live as long as `run` does."""

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        now_ns: Callable[[], int],
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._sinks = sinks
        self._now_ns = now_ns
        self._pause = pause
        self._rung = {name: asyncio.Event() for name in sinks}

    def ring(self) -> None:
        """There is something to deliver."""
        for bell in self._rung.values():
            bell.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, sink in self._sinks.items():
                    tasks.create_task(self._serve(name, sink))
        finally:
            for sink in self._sinks.values():
                await sink.close()

    async def _serve(self, name: str, sink: Sink) -> None:
        bell = self._rung[name]
        while True:
            bell.clear()
            while (notice := self._outbox.next(name)) is not None:
                await self._deliver(name, sink, notice)
            await bell.wait()

    async def _deliver(self, name: str, sink: Sink, notice: Notice) -> None:
        tries = 0
        while True:
            try:
                await self._send(name, sink, notice)
            except Exception as error:  # noqa: BLE001  the root of a task, which must go on
                if not isinstance(error, NotDelivered):
                    _log.exception("an alert cannot be told to %s at all, and is given up", name)
                    break
                tries += 1
                if error.hopeless or self._now_ns() - notice.at_ns > OLD_NS:
                    _log.error("an alert is not told to %s, and given up: %s", name, error)
                    break
                if tries == 1:
                    _log.warning("an alert cannot be told to %s, tried again: %s", name, error)
                await self._pause(PAUSES_S[min(tries, len(PAUSES_S)) - 1])
            else:
                break
        self._settle(name, notice)

    async def _send(self, name: str, sink: Sink, notice: Notice) -> None:
        sending = asyncio.ensure_future(sink.send(notice))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            # What may have arrived already should not be sent again after a restart.
            await asyncio.wait([sending], timeout=_GRACE_S)
            sending.cancel()
            if sending.done() and not sending.cancelled() and sending.exception() is None:
                self._settle(name, notice)
            raise

    def _settle(self, name: str, notice: Notice) -> None:
        with contextlib.suppress(OSError):  # the spool's disk: its loader says what is wrong
            self._outbox.settle(notice, name)
