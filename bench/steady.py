"""Streamed requests by the clock, for as long as wanted, whatever becomes of the answers.

A request is due when the clock says so: one that finds no free connection dials one, and its time
counts from when it was due. Times are Unix seconds, so that they can be laid beside records.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import cast

from bench.latency import complete
from bench.streamclient import CONTENT

DRAIN_S = 5.0
_TARGET = b"\r\nx-tidegate-target: "
_END = b"0\r\n\r\n"
_GOOD = b"HTTP/1.1 200"


@dataclass(slots=True)
class Asked:
    """One request: when it was due, what came of it when, and which target answered."""

    due_s: float
    sent_s: float = math.nan
    first_s: float = math.nan
    ended_s: float = math.nan
    target: str = ""
    failure: str | None = None

    @property
    def first_ms(self) -> float:
        """Time to the first token; NaN when none came."""
        return (self.first_s - self.due_s) * 1e3


class Steady:
    """`rate` requests a second from `run` until `stop`; `asked` is all of them, in their order."""

    def __init__(self, port: int, request: bytes, rate: int) -> None:
        self.asked: list[Asked] = []
        self._port = port
        self._request = request
        self._gap_s = 1 / rate
        self._stopped = False
        self._lines: set[_Line] = set()
        self._free: list[_Line] = []
        self._dials: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Let nothing more be due."""
        self._stopped = True

    async def run(self) -> None:
        """Play until stopped, then wait a little for the last answers."""
        began_s, number = time.time(), 0
        while not self._stopped:
            while (due_s := began_s + number * self._gap_s) <= time.time():
                self._ask(due_s)
                number += 1
            await asyncio.sleep(due_s - time.time())
        limit_s = time.time() + DRAIN_S
        while any(line.asked for line in self._lines) or self._dials:
            if time.time() > limit_s:
                break
            await asyncio.sleep(0.01)
        for line in tuple(self._lines):
            line.hang_up()
        for dial in self._dials:
            dial.cancel()

    def _ask(self, due_s: float) -> None:
        asked = Asked(due_s)
        self.asked.append(asked)
        if self._free:
            self._free.pop().ask(asked)
            return
        dial = asyncio.get_running_loop().create_task(self._dial(asked))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, asked: Asked) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(
                lambda: _Line(self._request, self._lines, self._free), "127.0.0.1", self._port
            )
        except OSError as refused:
            asked.failure, asked.ended_s = f"no connection: {refused!r}", time.time()
        else:
            line.ask(asked)


class _Line(asyncio.Protocol):
    """A kept connection, and the request that is under way on it."""

    def __init__(self, request: bytes, lines: set[_Line], free: list[_Line]) -> None:
        self.asked: Asked | None = None
        self._request = request
        self._lines = lines
        self._free = free
        self._transport: asyncio.WriteTransport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one by shape
        self._lines.add(self)

    def ask(self, asked: Asked) -> None:
        """Send the request."""
        self.asked, self._data = asked, b""
        asked.sent_s = time.time()
        if self._transport is None:
            self._end("the connection was closed before it was used")
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        asked = self.asked
        if asked is None:
            return
        now_s = time.time()
        self._data = data = self._data + data
        if math.isnan(asked.first_s) and CONTENT.search(data):
            asked.first_s = now_s
            asked.target = _target(data)
        if not data.startswith(_GOOD):
            if complete(data):
                self._end(data[-300:].decode(errors="replace"))
        elif data.endswith(_END):
            self._end(None if b"[DONE]" in data[-100:] else "ended without [DONE]")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lines.discard(self)
        if self in self._free:
            self._free.remove(self)
        self._end(f"connection lost: {exc!r}")

    def hang_up(self) -> None:
        """Close it; what was not over by now is a failure."""
        self._end("not over in time")
        if self._transport is not None:
            self._transport.close()

    def _end(self, failure: str | None) -> None:
        if self.asked is None:
            return
        self.asked.failure, self.asked.ended_s = failure, time.time()
        self.asked = None
        if self._transport is not None:
            self._free.append(self)


def _target(data: bytes) -> str:
    """The target that the head of an answer names."""
    _, _, rest = data.partition(_TARGET)
    return rest.partition(b"\r\n")[0].decode("latin-1")
