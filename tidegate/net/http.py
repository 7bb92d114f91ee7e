"""The pool: keep-alive HTTP/1.1 connections to one origin.

Invariants: at most `max_connections` at a time, those being dialled included; who waits for one is
served first come, first served; a caller that is cancelled leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from msgspec import Struct

from tidegate import errors
from tidegate.net.connection import Connection
from tidegate.net.dial import Dialer, verified_tls
from tidegate.net.dns import Resolver
from tidegate.net.response import Response
from tidegate.net.urls import parse_base_url

__all__ = ["MAX_STARTS", "Pool", "Response", "Timeouts", "verified_tls"]

_STALE_S: Final = 1.0
MAX_STARTS: Final = 256
_WITHOUT_BODY: Final = ("GET", "DELETE", "HEAD")


class Timeouts(Struct, frozen=True):
    """Bounds on the phases of one exchange, in seconds.

    `first_byte_s` runs from sending the request to the head of the answer, `idle_s` bounds each
    wait for more of the body.
    """

    connect_s: float
    first_byte_s: float
    idle_s: float


class Pool:
    """Keep-alive HTTP/1.1 connections to one origin, for one event loop.

    Args:
        base_url: Scheme, host, port and a path that goes before every `path` of `open`.
        allow_private: Also dial addresses that are not on the public Internet.
        tls: For an origin with a CA of its own; see `verified_tls`.
        proxy: An HTTP proxy, reached with CONNECT.
        max_connections: Also the number of exchanges at a time; more wait for their turn.
        max_idle: How many connections rest at a time.
        keepalive_s: How long a connection rests before it is closed.
        max_header_bytes: Bound of everything in an answer that is not its body.
        stale_s: Within this time of sending, a resting connection that turns out to be closed is
            replaced.
        max_starts: How many heads of requests are kept once they are checked; 0 where each one is
            different, as signed ones are.
        resolver: May be shared by the pools of a process.

    Raises:
        ValueError: `base_url`, `proxy` or `tls` is not fit.
    """

    def __init__(
        self,
        base_url: str,
        *,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        max_connections: int = 1024,
        max_idle: int = 256,
        keepalive_s: float = 60.0,
        max_header_bytes: int = 65536,
        stale_s: float = _STALE_S,
        max_starts: int = MAX_STARTS,
        resolver: Resolver,
    ) -> None:
        self._base = parse_base_url(base_url)
        self._dialer = Dialer(
            self._base, allow_private=allow_private, tls=tls, proxy=proxy, resolver=resolver
        )
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._keepalive_s = keepalive_s
        self._max_header_bytes = max_header_bytes
        self._stale_s = stale_s
        # Asked for once: before Python 3.12 each asking costs a system call.
        self._loop = asyncio.get_running_loop()
        # Connections: a slot is held from the first packet of the dialling to `forget`.
        self._slots = 0
        self._idle: dict[Connection, None] = {}  # in the order of their last use
        self._open: set[Connection] = set()  # until their sockets are closed
        # Who waits: for a resting connection, or None, which is a slot to dial in.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._max_starts = max_starts
        self._starts: dict[tuple[str, str, bytes], tuple[bytes, bool]] = {}
        self._closed: asyncio.Event | None = None

    async def open(
        self,
        method: str,
        path: str,
        headers: bytes,
        body: bytes,
        *,
        timeouts: Timeouts,
        deadline: float,
        more: bytes = b"",
    ) -> Response:
        r"""Send a request; what comes back is an answer whose head is in.

        Args:
            method: In capitals.
            path: Goes after the path of the base URL.
            headers: Encoded lines, each with its `\r\n`; the pool adds `host`, `content-length`
                and, unless there is an `accept-encoding`, that nothing may be encoded. With one,
                the body comes as the upstream encoded it.
            body: The whole body.
            timeouts: Bounds of the phases.
            deadline: When everything must be over, in the event loop's time.
            more: Further lines, right as they are, that are another one's each time.

        Raises:
            ConnectTimeout: No connection in time, or no turn to have one.
            FirstTokenTimeout: No head in time.
            DeadlineExceeded: The total time is over.
            UpstreamUnreachable: No connection (or one of its subclasses says why).
            UpstreamProtocol: What came is not HTTP (UpstreamCut: not all of it).
        """
        known = self._starts.get((method, path, headers))
        start, decodes = known or self._start(method, path, headers)
        if body or method not in _WITHOUT_BODY:
            head = b"%b%bcontent-length: %d\r\n\r\n" % (start, more, len(body))
        else:
            head = b"%b%b\r\n" % (start, more)

        loop = self._loop
        sent_at = loop.time()
        connection = self._rested()
        reused = connection is not None
        if connection is None:
            connection, reused = await self._acquire(timeouts, deadline, fresh=False)
            sent_at = loop.time()
        while True:
            response = Response(
                connection,
                loop,
                idle_s=timeouts.idle_s,
                deadline=deadline,
                decodes=decodes,
                bodiless=method == "HEAD",
            )
            limit = min(sent_at + timeouts.first_byte_s, deadline)
            connection.send(head, body, response, limit)
            await response.head(limit)
            error = response.error
            if response.status or error is None:
                return response
            # Servers close connections that rest, and their notice may cross our request on its
            # way. Such a loss comes within a round trip, before any byte of an answer; a server
            # that fails while it works takes longer. So this, and only this, is tried again, once:
            # it is not a retry of the request, which nobody has read.
            if (
                not reused
                or response.received
                or not isinstance(error, errors.UpstreamUnreachable)
                or loop.time() - sent_at >= self._stale_s
            ):
                raise error
            connection, reused = await self._acquire(timeouts, deadline, fresh=True)
            sent_at = loop.time()

    async def close(self) -> None:
        """Close every connection, also those in use, and wait until they are closed."""
        if self._closed is None:
            self._closed = asyncio.Event()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_closing())
        self._waiters.clear()
        for connection in tuple(self._open):
            connection.fail(errors.UpstreamCut("The gateway closed its connections."))
        if self._open:
            await self._closed.wait()

    def _start(self, method: str, path: str, headers: bytes) -> tuple[bytes, bool]:
        """A request's head but for its length, and whether the caller of `open` decodes bodies.

        Checked once and kept, as there are few different ones.
        """
        target = self._base.path + path
        if not target.startswith("/"):
            raise ValueError("path must begin with a slash")
        if not f"{method}{target}".isascii() or not f"{method}{target}".isprintable():
            raise ValueError("method and path must be printable ASCII")
        if " " in method or " " in target:
            raise ValueError("method and path must not contain spaces")
        if (
            b"\r\n\r\n" in headers
            or headers.startswith(b"\r\n")
            or headers.count(b"\n") != headers.count(b"\r\n")
            or (headers and headers[-2:] != b"\r\n")
        ):
            raise ValueError("headers must be lines that each end with CR LF")
        decodes = b"accept-encoding:" in headers.lower()
        identity = "" if decodes else "accept-encoding: identity\r\n"
        start = f"{method} {target} HTTP/1.1\r\nhost: {self._base.authority}\r\n{identity}".encode()
        if self._max_starts:
            if len(self._starts) >= self._max_starts:
                self._starts.clear()  # so that odd ones cannot keep the usual ones out for good
            self._starts[method, path, headers] = start + headers, decodes
        return start + headers, decodes

    # Connections.

    def _rested(self) -> Connection | None:
        """The connection that was used last, if it is still good: the others may go to sleep."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable():
                return connection
            connection.discard()
        return None

    async def _acquire(
        self, timeouts: Timeouts, deadline: float, *, fresh: bool
    ) -> tuple[Connection, bool]:
        """A connection, and whether it has been used before (never, if `fresh`)."""
        now = self._loop.time()
        limit = min(now + timeouts.connect_s, deadline)
        if limit > now:
            try:
                async with asyncio.timeout_at(limit):
                    return await self._take_turn(fresh=fresh)
            except TimeoutError:
                pass
        if limit == deadline:
            raise errors.DeadlineExceeded("The total time for the request is over.")
        raise errors.ConnectTimeout("No connection to the upstream in time.")

    async def _take_turn(self, *, fresh: bool) -> tuple[Connection, bool]:
        while self._closed is None:
            if fresh and self._idle and self._slots >= self._max_connections:
                self._idle.popitem()[0].discard()  # or nobody would ever make room
            if self._slots < self._max_connections:
                self._slots += 1
                return await self._dial(), False
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                connection = await waiter
            except BaseException:
                self._pass_on(waiter)
                raise
            if connection is None:
                return await self._dial(), False
            if not fresh and connection.usable():
                return connection, True
            connection.discard()
        raise _closing()

    async def _dial(self) -> Connection:
        """Dial in the slot that the caller holds."""
        loop = self._loop
        try:
            connection = await self._dialer.dial(
                lambda: Connection(self, loop, self._max_header_bytes)
            )
        except BaseException:
            self._free_slot()
            raise
        self._open.add(connection)
        if self._closed is not None:
            connection.discard()
            raise _closing()
        return connection

    def _pass_on(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Give on what a cancelled caller has been given, or take it out of the queue."""
        if not waiter.done() or waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        elif waiter.exception() is not None:
            pass
        elif (connection := waiter.result()) is None:
            self._free_slot()
        elif not connection.closed:
            self.release(connection)

    def _free_slot(self) -> None:
        if not self._give(None):
            self._slots -= 1

    def _give(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    # For the connections.

    def release(self, connection: Connection) -> None:
        """Take back a connection that can serve again."""
        if self._closed is not None:
            connection.discard()
        elif not (self._waiters and self._give(connection)):
            if len(self._idle) < self._max_idle:
                self._idle[connection] = None
                connection.rest(self._loop.time() + self._keepalive_s)
            else:
                connection.discard()

    def forget(self, connection: Connection) -> None:
        """Count a connection as gone, so that another may take its place."""
        self._idle.pop(connection, None)
        if connection in self._open:  # otherwise it was lost while it was dialled
            self._free_slot()

    def lost(self, connection: Connection) -> None:
        """Know that its socket is closed."""
        self._open.discard(connection)
        if self._closed is not None and not self._open:
            self._closed.set()


def _closing() -> errors.UpstreamUnreachable:
    return errors.UpstreamUnreachable("The connections to the upstream are being closed.")
