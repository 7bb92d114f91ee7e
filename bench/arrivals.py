"""A caller that sends by the clock, to tens of microseconds, over as many connections as it takes.

asyncio and uvloop keep time in milliseconds, which is longer than the latencies to be measured,
so this is an epoll loop of its own; it waits in `select`, the one call with a finer timeout.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from bench.latency import complete

CONNECTIONS = 512
DRAIN_S = 2.0


@dataclass(slots=True)
class Arrivals:
    """What came of the requests of one run."""

    due: int = 0
    latencies_s: list[float] = field(default_factory=list[float])
    sent_late_s: list[float] = field(default_factory=list[float])
    errors: int = 0


@dataclass(slots=True)
class _Line:
    """A connection, when its request was due, and what has come of the answer."""

    socket: socket.socket
    due_s: float = 0.0
    answer: bytes = b""


def play(port: int, request: bytes, *, rate: int, seconds: float) -> Arrivals:
    """Send `rate` requests a second, evenly, for `seconds`, then wait a little for the last ones.

    Requests that are not answered by then are missing from the latencies, and are not errors.
    """
    seen = Arrivals(due=int(rate * seconds))
    caller = _Caller(port, request, seen)
    try:
        caller.run(1 / rate, seconds + DRAIN_S)
    finally:
        caller.close()
    return seen


def saturate(port: int, request: bytes, *, connections: int, seconds: float) -> Arrivals:
    """Keep `connections` requests under way for `seconds`, a closed loop."""
    seen = Arrivals()
    caller = _Caller(port, request, seen)
    try:
        caller.run_closed(connections, seconds)
    finally:
        caller.close()
    return seen


class _Caller:
    """The loop: what is due, who is free, who is asked."""

    def __init__(self, port: int, request: bytes, seen: Arrivals) -> None:
        self._port = port
        self._request = request
        self._seen = seen
        self._epoll = select.epoll()
        self._free: list[_Line] = []
        self._busy: dict[int, _Line] = {}
        self._waiting: deque[float] = deque()

    def run(self, gap_s: float, limit_s: float) -> None:
        """Play all arrivals; returns when all are answered or the time is over."""
        started_s = time.perf_counter()
        number = 0
        next_s = started_s
        while (now_s := time.perf_counter()) < started_s + limit_s:
            while number < self._seen.due and next_s <= now_s:
                self._waiting.append(next_s)
                number += 1
                next_s = started_s + number * gap_s
            self._send()
            if number == self._seen.due and not self._busy and not self._waiting:
                return
            pause_s = next_s - time.perf_counter() if number < self._seen.due else 0.1
            if pause_s > 0:
                select.select([self._epoll], [], [], pause_s)
            self._hear(0)

    def run_closed(self, connections: int, seconds: float) -> None:
        """Ask again as soon as an answer is in."""
        limit_s = time.perf_counter() + seconds
        while (now_s := time.perf_counter()) < limit_s:
            missing = connections - len(self._busy) - len(self._waiting)
            self._waiting.extend([now_s] * missing)
            self._seen.due += missing
            self._send()
            self._hear(0.1)

    def _send(self) -> None:
        while self._waiting:
            if not self._free and len(self._busy) >= CONNECTIONS:
                return
            try:
                line = self._free.pop() if self._free else self._dial()
            except OSError:
                self._waiting.popleft()
                self._seen.errors += 1
                continue
            line.due_s = self._waiting.popleft()
            line.answer = b""
            self._busy[line.socket.fileno()] = line
            self._seen.sent_late_s.append(time.perf_counter() - line.due_s)
            try:
                line.socket.sendall(self._request)
            except OSError:
                self._drop(line)

    def _dial(self) -> _Line:
        line = _Line(socket.create_connection(("127.0.0.1", self._port), 5))
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._epoll.register(line.socket, select.EPOLLIN)
        return line

    def _hear(self, wait_s: float) -> None:
        for descriptor, _ in self._epoll.poll(wait_s):
            line = self._busy.get(descriptor)
            if line is not None:
                self._receive(line)
                continue
            # A server closes a connection that rests; that is no error of a request.
            resting = [each for each in self._free if each.socket.fileno() == descriptor]
            for each in resting:
                self._free.remove(each)
                self._epoll.unregister(each.socket)
                each.socket.close()

    def _receive(self, line: _Line) -> None:
        try:
            data = line.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(line)
            return
        line.answer += data
        if complete(line.answer):
            del self._busy[line.socket.fileno()]
            self._free.append(line)
            if line.answer.startswith(b"HTTP/1.1 200"):
                self._seen.latencies_s.append(time.perf_counter() - line.due_s)
            else:
                self._seen.errors += 1

    def _drop(self, line: _Line) -> None:
        """A connection that ended in mid-request is an error; one that was idle was not in use."""
        self._seen.errors += 1
        self._busy.pop(line.socket.fileno(), None)
        with suppress(OSError):
            self._epoll.unregister(line.socket)
        line.socket.close()

    def close(self) -> None:
        """Hang up everywhere."""
        for line in (*self._free, *self._busy.values()):
            line.socket.close()
        self._epoll.close()
