"""One HTTP exchange with a caller: its request in, its answer out, its record, its leaving.

What is promised: the answer begins once and ends once; nothing is written after the caller left;
a caller who leaves while it is `watched` cancels the task that serves it.
"""

from __future__ import annotations

import asyncio
import http
import time
from typing import Any, Protocol
from urllib.parse import unquote

from msgspec import Struct

from tidegate.errors import BadRequest, BodyTooLarge, SlowBody, TidegateError
from tidegate.gateway.admit import Admitted
from tidegate.telemetry.record import Record
from tidegate.types import Keeping, Principal

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
NOBODY = Principal(key=None)
STUCK_GRACE_S = 1.0
"""How much longer than a request's deadline a write to its caller may hang."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}


class Ending(Struct, frozen=True):
    """What remains to be sent: all of an answer, or the end of one that has begun."""

    status: int
    headers: list[Header]
    body: bytes


class CallerGone(Exception):
    """The caller closed its connection before its request was complete."""


class CallerStuck(Exception):
    """The caller reads its answer so slowly that the request's time is over."""


class Connection(Protocol):
    """What an exchange asks of the connection it happens on."""

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...

    @property
    def write_paused(self) -> bool:
        """Whether more should be written only after `drain`."""
        ...

    async def drain(self) -> None:
        """Wait until the caller has read enough, or is gone."""
        ...

    def resume_reading(self) -> None:
        """Take more from the caller."""
        ...

    def done(self, *, keep_alive: bool) -> None:
        """The exchange is over."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Exchange:
    """A request and its answer. One is made for each request, and used by one task."""

    __slots__ = (
        "_began_s",
        "_body",
        "_body_bytes",
        "_chunked",
        "_complete",
        "_connection",
        "_keep_alive",
        "_kept",
        "_kept_bytes",
        "_more",
        "_pending_head",
        "_spoilt",
        "admitted",
        "asked",
        "asked_body",
        "caller",
        "deadline",
        "drains",
        "gone",
        "headers",
        "keep_bytes",
        "keeping",
        "method",
        "path",
        "record",
        "started",
        "target",
        "task",
        "wanted",
        "watched",
    )

    def __init__(
        self,
        connection: Connection,
        *,
        method: bytes,
        url: bytes,
        headers: list[Header],
        chunked: bool,
        keep_alive: bool,
    ) -> None:
        """Begin one when its head is in; names in `headers` are lower-case."""
        self.method = method
        self.path = url.partition(b"?")[0].decode("latin-1")
        if "%" in self.path:
            self.path = unquote(self.path)
        self.target = url.decode("latin-1")
        """The path as it was sent, with its query."""
        self.headers = headers
        self.record: Record
        """Set by whoever serves it, first of all."""
        self.task: asyncio.Task[None] | None = None
        self.caller = NOBODY
        """Who asks, once that is known."""
        self.admitted: Admitted | None = None
        """What it holds of limits and budgets, until it is settled."""
        self.deadline = 0.0
        """Loop time at which the whole request is over, once it is known."""
        self.gone = False
        self.watched = False
        self.drains = False
        """Whether its answer is read to the end even when the caller has left."""
        self.wanted = False
        """Whether somebody waits for the body."""
        self.keeping: Keeping | None = None
        """What the record is to hold of prompt and answer; None where it holds neither."""
        self.asked: dict[str, Any] | None = None
        """The prompt that is still to be masked for it."""
        self.asked_body = b""
        """The same as it came."""
        self.keep_bytes = 0
        """How much of the answer is kept until then."""
        self.started = False
        self._connection = connection
        self._began_s = time.perf_counter()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._complete = False
        self._spoilt: TidegateError | None = None
        self._more: asyncio.Future[None] | None = None
        self._chunked = chunked
        self._keep_alive = keep_alive
        self._pending_head = b""
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    # From the connection

    def take(self, data: bytes) -> int:
        """Another part of the body; returns how much has come."""
        self._body.append(data)
        self._body_bytes += len(data)
        self._wake()
        return self._body_bytes

    def complete(self) -> None:
        """The body is in whole."""
        self._complete = True
        self._wake()

    def spoil(self, error: TidegateError) -> None:
        """What came is not HTTP any more: no body will be whole, and no request follows."""
        self._keep_alive = False
        if not self._complete:
            self._spoilt = error
            self._wake()

    def leave(self) -> None:
        """The caller has closed the connection."""
        self.gone = True
        self._wake()
        if self.watched and self.task is not None and not self.drains:
            self.task.cancel()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    # For the stations

    def elapsed_ms(self) -> float:
        """Milliseconds since the request's head was in."""
        return (time.perf_counter() - self._began_s) * 1000.0

    async def body(self, limit_bytes: int, wait_s: float) -> bytes:
        """The request's whole body.

        Raises: `BodyTooLarge`, `SlowBody`, `BadRequest`, `CallerGone`.
        """
        expects = False
        for name, value in self.headers:
            if name == b"content-length":
                if int(value) > limit_bytes:
                    raise _too_large(limit_bytes)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise BadRequest("Compressed request bodies are not accepted; send it plain.")
            elif name == b"expect":
                expects = value.lower() == b"100-continue"
        if not self._complete:
            self.wanted = True
            if expects:
                self._connection.write(_CONTINUE)
            self._connection.resume_reading()
            began_ms = self.elapsed_ms()
            try:
                async with asyncio.timeout(wait_s):
                    await self._whole_body(limit_bytes)
            except TimeoutError:
                raise SlowBody("The request's body did not arrive in time.") from None
            finally:
                self.record.body_ms = self.elapsed_ms() - began_ms
        if self._body_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self.record.request_bytes = len(body)
        return body

    async def _whole_body(self, limit_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        while not self._complete:
            if self.gone:
                raise CallerGone
            if self._spoilt is not None:
                raise self._spoilt
            if self._body_bytes > limit_bytes:
                raise _too_large(limit_bytes)
            self._more = loop.create_future()
            await self._more

    def start(self, status: int, headers: list[Header]) -> None:
        """Begin an answer in pieces; its head leaves with the first piece."""
        self.started = True
        headers.append((b"x-request-id", self.record.request_id.encode()))
        if not self._chunked:  # HTTP/1.0 knows no chunks: the end of the connection is the end
            self._keep_alive = False
        self._pending_head = head_bytes(
            status, headers, length=None if self._chunked else -1, close=not self._keep_alive
        )

    def write(self, data: bytes) -> bool:
        """Send another piece; true when the caller reads too slowly: then `drain` before more."""
        self.count(data)
        if self.gone:  # and what it left behind is read to the end
            return False
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        if self._pending_head:
            framed = self._pending_head + framed
            self._pending_head = b""
        self._connection.write(framed)
        return self._connection.write_paused

    async def drain(self) -> None:
        """Wait until the caller has read what there is, or is gone. Raises: `CallerStuck`."""
        try:
            async with asyncio.timeout_at(self.deadline + STUCK_GRACE_S):
                await self._connection.drain()
        except TimeoutError:
            raise CallerStuck from None

    def finish(self, data: bytes) -> None:
        """Send the last piece of an answer in pieces."""
        if self.gone:
            return
        framed = data
        if self._chunked:
            framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self._connection.write(self._pending_head + framed)
        self._connection.done(keep_alive=self._keep_alive and self._complete)

    def respond(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer at once."""
        if self.gone:
            return
        self.started = True
        headers.append((b"x-request-id", self.record.request_id.encode()))
        head = head_bytes(status, headers, length=len(body), close=not self._keep_alive)
        self._connection.write(head if self.method == b"HEAD" else head + body)
        self._connection.done(keep_alive=self._keep_alive)

    def abort(self) -> None:
        """Cut the connection: the caller must not take what it has for an answer."""
        self._connection.abort()

    def count(self, data: bytes) -> None:
        """Note `data` as a part of the answer, before it is sent."""
        size = len(data)
        self.record.response_bytes += size
        if self.keep_bytes:
            if self._kept_bytes < self.keep_bytes:
                self._kept.append(data[: self.keep_bytes - self._kept_bytes])
            self._kept_bytes += size

    def kept(self) -> bytes:
        """What was kept of the answer."""
        return b"".join(self._kept)

    @property
    def is_cut(self) -> bool:
        """Whether that is not all of it."""
        return self._kept_bytes > self.keep_bytes


def head_bytes(status: int, headers: list[Header], *, length: int | None, close: bool) -> bytes:
    """An answer's head; `length` None means chunked, -1 until the connection's end.

    Values must be free of line breaks; whoever passes on foreign text sees to it.
    """
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    if length is None:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length >= 0:
        lines.append(b"content-length: %d\r\n" % length)
    if close:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def header_text(text: str) -> bytes:
    """`text` as a header's value: bounded, and nothing in it ends the line."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:1000]).encode()


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request's body is longer than the limit of {limit_bytes:,} bytes.")
