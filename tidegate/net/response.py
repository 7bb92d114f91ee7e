"""One answer: what its parser says, what its reader gets, and how long either may take.

Invariants:
    The parser's callbacks are the methods of this one object, so whatever is parsed can only ever
    become part of this answer.
    What an answer may be is decided here: its framing, its limits, what of it is refused.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol, cast

from httptools import HttpResponseParser

from tidegate import errors

TIMER_SLACK_S: Final = 0.001  # uvloop's timers count milliseconds
_BUFFERED_BYTES: Final = 256 * 1024
_CHUNK_COST_BYTES: Final = 64  # memory of a chunk beyond its bytes; also what its framing may take
_MAX_HEADERS: Final = 256
_VERSIONS: Final = ("1.1", "1.0")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})


class Line(Protocol):
    """The connection, as the answer on it sees it."""

    paused: bool

    def watch(self, until: float) -> None:
        """See that the timer fires at `until` at the latest."""

    def resume(self) -> None:
        """Read on, after the reader has taken what there was."""

    def fail(self, error: errors.UpstreamError) -> None:
        """End the exchange under way with `error`, and the connection with it."""


class Response:
    """An answer whose head is in; its body is read by one reader.

    The methods in the second half are the parser's and the connection's.
    """

    __slots__ = (
        "_awaiting_head",
        "_bodiless",
        "_buffered_bytes",
        "_chunks",
        "_connection",
        "_deadline",
        "_idle_error",
        "_idle_s",
        "_interim",
        "_limit",
        "_loop",
        "_wait_until",
        "_waiter",
        "complete",
        "decodes",
        "error",
        "framing_bytes",
        "headers",
        "parser",
        "received",
        "reusable",
        "status",
        "until_eof",
    )

    status: int
    headers: list[tuple[bytes, bytes]]

    def __init__(
        self,
        connection: Line,
        loop: asyncio.AbstractEventLoop,
        *,
        idle_s: float,
        deadline: float,
        decodes: bool,
        bodiless: bool = False,
    ) -> None:
        """`bodiless` is an answer to HEAD, which is over with its head."""
        self.status = 0
        self.headers = []
        # What the reader waits for, and how long.
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._awaiting_head = True
        self._idle_s = idle_s
        self._idle_error: type[errors.UpstreamTimeout] = errors.IdleTimeout
        self._limit = math.inf
        self._deadline = deadline
        self._wait_until = math.inf
        # The body so far.
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self.decodes = decodes
        self._bodiless = bodiless
        # Where the exchange stands.
        self._connection: Line | None = connection
        self.parser: HttpResponseParser | None = None
        self.error: errors.UpstreamError | None = None
        self.received = False
        self.complete = False
        self.reusable = False
        self.until_eof = False
        self._interim = False
        self.framing_bytes = 0

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header `name` (lower case), or None."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def set_idle(
        self, seconds: float, error: type[errors.UpstreamTimeout] = errors.IdleTimeout
    ) -> None:
        """Bound each wait of `read` from now on, and say what to raise when it is over."""
        self._idle_s = seconds
        self._idle_error = error
        self._limit = math.inf

    def set_limit(self, until: float) -> None:
        """Bound all that is read until the next `set_idle`, however much comes meanwhile."""
        self._idle_s = math.inf
        self._limit = until

    async def read(self) -> bytes:
        """The next bytes of the body, all that are here; b"" at the clean end.

        Raises:
            IdleTimeout: Nothing came for the idle time.
            FirstTokenTimeout: The time of `set_limit` is over.
            DeadlineExceeded: The total time is over.
            UpstreamCut: The body ended before its end, or the response was closed.
            UpstreamProtocol: What came is not HTTP.
        """
        while not self._chunks:
            if self.complete:
                return b""
            connection = self._connection
            if self.error is not None or connection is None:
                raise self.error or _closed()
            self._wait_until = min(self._loop.time() + self._idle_s, self._limit, self._deadline)
            connection.watch(self._wait_until)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except BaseException:
                self.close()
                raise
        return self._take()

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body.

        Raises:
            UpstreamMalformed: It is longer than `limit` bytes.
            UpstreamError: As `read`.
        """
        if self.complete and self.error is None and self._buffered_bytes <= limit:
            return self._take()  # most answers are here at once, with their heads
        parts: list[bytes] = []
        size_bytes = 0
        while part := await self.read():
            size_bytes += len(part)
            if size_bytes > limit:
                self.close()
                raise errors.UpstreamMalformed(
                    f"The upstream's answer is longer than {limit} bytes."
                )
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Be done with it: an unfinished response closes its connection. Harmless when repeated."""
        if self._connection is not None:
            self._connection.fail(_closed())
        self._chunks.clear()

    def leave(self, wait_s: float) -> None:
        """Be done with it, but let its end come for another `wait_s`, so that its connection lives.

        For a reader who knows from the body itself that there is no more of it.
        """
        connection = self._connection
        self._chunks.clear()
        self._buffered_bytes = 0
        if connection is not None:
            self._deadline = min(self._deadline, self._loop.time() + wait_s)
            connection.watch(self._deadline)
            if connection.paused:
                connection.resume()

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered_bytes = 0
        if self._connection is not None and self._connection.paused:
            self._connection.resume()
        return data

    # For the pool.

    async def head(self, limit: float) -> None:
        """Wait for the head until `limit`; return also when the exchange failed: see `error`."""
        self._wait_until = min(limit, self._deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise

    # For the connection.

    def due(self) -> float:
        """When the timer has to end this exchange, as far as is known now."""
        return min(self._limit, self._deadline) if self._waiter is None else self._wait_until

    def overdue(self, now: float) -> errors.UpstreamTimeout:
        """What to raise when it is."""
        if now + TIMER_SLACK_S >= self._deadline:
            return errors.DeadlineExceeded("The total time for the request is over.")
        if self._awaiting_head:
            return errors.FirstTokenTimeout("The upstream did not begin to answer in time.")
        if now + TIMER_SLACK_S >= self._limit:
            return errors.FirstTokenTimeout("The provider sent no first token in time.")
        return self._idle_error("The upstream stopped sending in the middle of its answer.")

    def too_full(self) -> bool:
        """Whether reading should stop until the reader takes something."""
        return self._buffered_bytes > _BUFFERED_BYTES

    def let_go(self) -> None:
        """Part from the connection; what is buffered stays readable."""
        self._connection = None
        self.parser = None

    def wake(self) -> None:
        """Let the one who waits go on, if there is something to go on with."""
        waiter = self._waiter
        if waiter is None:
            return
        if self._awaiting_head:
            if not (self.status or self.error):
                return
            self._awaiting_head = False
        elif not (self._chunks or self.complete or self.error):
            return
        self._waiter = None
        if not waiter.done():
            waiter.set_result(None)

    # For the parser. What these raise comes out of `feed_data` as the context of its own error.

    def on_message_begin(self) -> None:
        """Refuse a second answer."""
        if self.complete:
            raise ValueError("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if self.status:
            return
        if len(self.headers) >= _MAX_HEADERS:
            raise ValueError(f"more than {_MAX_HEADERS} headers")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide what the head means; 1xx heads are dropped.

        llhttp itself refuses a second `content-length` and one beside `transfer-encoding`.
        """
        parser = cast("HttpResponseParser", self.parser)
        status = parser.get_status_code()
        version = parser.get_http_version()
        if status < 100 or version not in _VERSIONS:  # noqa: PLR2004 - three digits
            raise ValueError(f"status {status:03} of HTTP/{version}")
        length = encoding = None
        for name, value in self.headers:
            if name in _FRAMING:
                if name == b"content-length":
                    length = value
                elif name == b"transfer-encoding":
                    if encoding is not None or value.lower() != b"chunked" or version == "1.0":
                        raise ValueError("a transfer-encoding that is not just chunked")
                    encoding = value
                elif not self.decodes and value.lower() != b"identity":
                    raise ValueError("a content-encoding that nobody asked for")
        if status < 200:  # noqa: PLR2004 - interim
            if status == 101 or length or encoding:  # noqa: PLR2004 - switching protocols
                raise ValueError(f"status {status} that nobody asked for, or with a body")
            self._interim = True
            self.headers.clear()
            return
        self.status = status
        without_body = status in (204, 304)
        self.until_eof = length is None and encoding is None and not without_body
        # No body may follow, but one is announced: who knows what is going to come.
        self.reusable = not (without_body and (encoding or (length or b"0") != b"0"))
        # The parser does not know what was asked, so it cannot go on from here.
        self.complete = self._bodiless
        self.reusable = self.reusable and not self._bodiless

    def on_body(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        self._chunks.append(chunk)
        cost_bytes = len(chunk) + _CHUNK_COST_BYTES
        self._buffered_bytes += cost_bytes
        self.framing_bytes -= cost_bytes

    def on_message_complete(self) -> None:
        """Know that the answer is whole."""
        if self._interim:
            self._interim = False
            return
        self.complete = True
        if not cast("HttpResponseParser", self.parser).should_keep_alive():
            self.reusable = False


def _closed() -> errors.UpstreamCut:
    return errors.UpstreamCut("The answer was closed before its end.")
