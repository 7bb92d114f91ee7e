"""A caller light enough to time every chunk of hundreds of streams from half a core.

Raw protocols on uvloop: a read is one clock call and one search for content, nothing is decoded.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

CONTENT = re.compile(rb'"content": ?"[^"]')
TAIL_BYTES = 11  # one less than the shortest match, so that nothing is found twice
RAMP_S = 1.0
DIAL_AT_ONCE = 64


@dataclass(slots=True)
class Stream:
    """What one caller saw: when it asked, when each content chunk came, how it ended."""

    asked_s: float = 0.0
    arrivals_s: list[float] = field(default_factory=list[float])
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """All streams of one load, the time from the first request to the last byte, our own CPU."""

    streams: list[Stream]
    seconds: float
    cpu_s: float


class Caller(asyncio.Protocol):
    """One connection, one request, one stream."""

    def __init__(self, request: bytes, ended: asyncio.Future[None]) -> None:
        self.stream = Stream()
        self._request = request
        self._ended = ended
        self._transport: asyncio.WriteTransport | None = None
        self._answered = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for `ask`."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one by shape

    def ask(self) -> None:
        """Send the request, unless the server has hung up already."""
        self.stream.asked_s = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the time once for each content chunk in `data`."""
        now = time.perf_counter()
        if not self._answered:
            self._answered = True
            if not data.startswith(b"HTTP/1.1 200"):
                self.end(data[:300].decode(errors="replace"))
                return
        data = self._tail + data
        for _ in CONTENT.findall(data):
            self.stream.arrivals_s.append(now)
        self._tail = data[-TAIL_BYTES:]
        if data.endswith(b"0\r\n\r\n"):
            whole = b"[DONE]" in data[-200:]
            self.end(None if whole else "ended without [DONE]")

    def connection_lost(self, exc: Exception | None) -> None:
        """A stream that was not over is a failure."""
        self._transport = None
        self.end(f"connection lost: {exc!r}")

    def end(self, failure: str | None) -> None:
        """The stream is over; the first word on how counts."""
        if not self._ended.done():
            self.stream.failure = failure
            self._ended.set_result(None)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def wave(port: int, request: bytes, count: int, limit_s: float) -> Wave:
    """Play `count` streams whose starts are spread over a second; cut what is over `limit_s`."""
    loop = asyncio.get_running_loop()
    callers: list[Caller] = []
    endings: list[asyncio.Future[None]] = []
    for first in range(0, count, DIAL_AT_ONCE):
        some = [loop.create_future() for _ in range(first, min(first + DIAL_AT_ONCE, count))]
        endings += some
        made = [Caller(request, ended) for ended in some]
        callers += made
        dials = [
            loop.create_connection(lambda caller=one: caller, "127.0.0.1", port) for one in made
        ]
        await asyncio.gather(*dials)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    for number, caller in enumerate(callers):
        loop.call_later(number * RAMP_S / count, caller.ask)
    await asyncio.wait(endings, timeout=limit_s)
    seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    for caller in callers:
        caller.end("cut: not over in time")
        caller.close()
    await asyncio.sleep(0)
    return Wave([caller.stream for caller in callers], seconds, cpu_s)
