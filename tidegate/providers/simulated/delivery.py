"""Answers going out in time: a chain of due times for each, no task.

Each piece has a due time counted from the first, so that lateness does not add up. When the other
side does not read, nothing more is made until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tidegate.providers.simulated.wire import Wire

_AT_ONCE_BYTES: Final = 65536
_SLOTS_PER_S: Final = 1000


class Wheel:
    """Calls that are due in the same millisecond share one timer of the loop.

    Many streams at a steady pace would otherwise spend more on timers than on what they say.
    A call cannot be cancelled: whoever is called has to know whether it still matters.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.time = loop.time
        self.call_soon = loop.call_soon
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def call_at(self, when_s: float, call: Callable[[], None]) -> None:
        """Call at this time of the loop's clock, to the nearest millisecond."""
        slot = round(when_s * _SLOTS_PER_S)
        calls = self._slots.get(slot)
        if calls is None:
            self._slots[slot] = [call]
            self._loop.call_at(slot / _SLOTS_PER_S, self._fire, slot)
        else:
            calls.append(call)

    def _fire(self, slot: int) -> None:
        for call in self._slots.pop(slot):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - the root of a chain: others go on
                message = "A simulated answer failed"
                self._loop.call_exception_handler({"message": message, "exception": error})


class Delivery:
    """Writes the pieces of `wire` to `transport`, then calls `finished`, once, unless stopped."""

    __slots__ = ("_due", "_finished", "_paused", "_stalled", "_transport", "_wheel", "wire")

    def __init__(
        self,
        wheel: Wheel,
        transport: asyncio.Transport,
        wire: Wire,
        finished: Callable[[], None],
    ) -> None:
        self._wheel = wheel
        self._transport = transport
        self._finished = finished
        self._paused = False
        self._stalled = False
        self._due = wheel.time()
        self.wire = wire

    def start(self) -> None:
        """Begin; the first piece goes out now if it is due."""
        self._due += next(self.wire.delays)
        if self._due <= self._wheel.time():
            self._write()
        else:
            self._wheel.call_at(self._due, self._write)

    def stop(self) -> None:
        """Write nothing more and never call `finished`."""
        self._paused = True

    def pause(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """The transport's buffer has room again."""
        self._paused = False
        if self._stalled:
            self._stalled = False
            self._due = self._wheel.time()
            self._write()

    def _write(self) -> None:
        wheel, wire = self._wheel, self.wire
        sent_bytes = 0
        while not self._paused:
            piece = next(wire.pieces, None)
            if wire.head:
                self._transport.write(wire.head)
                wire.head = b""
            if piece is None:
                self._transport.write(wire.last)
                self._finished()
                return
            self._transport.write(piece)
            self._due += next(wire.delays)
            if self._due > wheel.time():
                wheel.call_at(self._due, self._write)
                return
            sent_bytes += len(piece)
            if sent_bytes > _AT_ONCE_BYTES:  # let the others have a turn
                wheel.call_soon(self._write)
                return
        self._stalled = True
