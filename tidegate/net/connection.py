"""One connection: a request out, its answer in, and whether it can serve another.

Invariants:
    A response never gets bytes of another one: each has a parser of its own, and a connection lets
    go of both before it is used again.
    A connection is used again only after a complete response, kept alive by the server, with not
    one byte too many, and with nothing to read on its socket at that moment.
    What is buffered is bounded: reading stops when the response is too full, and goes on when the
    reader takes what is there.
    While a response is not complete, a timer runs that ends it at its deadline at the latest.
"""

from __future__ import annotations

import asyncio
import math
import select
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tidegate import errors
from tidegate.net.response import TIMER_SLACK_S, Response

_JOINED_BYTES: Final = 64 * 1024  # below this, copying is cheaper than a second write
_HTTP: Final = b"H"[0]


class Owner(Protocol):
    """The pool, as its connections see it."""

    def release(self, connection: Connection) -> None:
        """Take back a connection that can serve again."""

    def forget(self, connection: Connection) -> None:
        """Count a connection as gone: it will not serve again. Called once."""

    def lost(self, connection: Connection) -> None:
        """Know that the socket is closed now. Called once, after `forget`."""


class Connection(asyncio.Protocol):
    """A socket of the pool. Made by the dialer; `send` begins an exchange, its end releases it."""

    __slots__ = (
        "_loop",
        "_max_framing_bytes",
        "_owner",
        "_parser",
        "_poll",
        "_response",
        "_rest_until",
        "_timer",
        "_timer_at",
        "_transport",
        "closed",
        "paused",
    )

    def __init__(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, max_framing_bytes: int
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._max_framing_bytes = max_framing_bytes
        self._transport = cast("asyncio.Transport", None)  # connection_made comes first
        self._poll = select.poll()
        # The exchange under way.
        self._response: Response | None = None
        self._parser: HttpResponseParser | None = None
        self.paused = False
        # The one timer, armed early rather than often: it looks at what is due when it fires.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._rest_until = math.inf
        self.closed = False

    def usable(self) -> bool:
        """Whether nothing has happened to the resting connection.

        Bytes or an end that the loop has not read yet count: read after the next request is sent,
        they would pass for its answer.
        """
        return not (self.closed or self._transport.is_closing() or self._poll.poll(0))

    def rest(self, until: float) -> None:
        """Wait for the next exchange, at most until `until`."""
        self._rest_until = until
        self.watch(until)

    def send(self, head: bytes, body: bytes, response: Response, limit: float) -> None:
        """Send a request whose answer goes to `response`; the timer fires at `limit` or before."""
        self._response = response
        self._parser = response.parser = HttpResponseParser(response)
        if len(body) < _JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        self.watch(limit)

    def watch(self, until: float) -> None:
        """See that the timer fires at `until` at the latest."""
        if until < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = until
            self._timer = self._loop.call_at(until, self._look)

    def resume(self) -> None:
        """Read on, after the reader has taken what there was."""
        self.paused = False
        self._transport.resume_reading()

    def fail(self, error: errors.UpstreamError) -> None:
        """End the exchange under way with `error`, and the connection with it."""
        response, self._response, self._parser = self._response, None, None
        if response is not None:
            response.error = error
            response.let_go()
            response.wake()
        self.discard()

    def discard(self) -> None:
        """Close at once and never serve again; harmless when repeated."""
        if not self.closed:
            self.closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._transport.abort()
            self._owner.forget(self)

    # For the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Parse, and end the exchange if this was all."""
        response, parser = self._response, self._parser
        if response is None or parser is None:
            self.discard()  # nobody has asked
            return
        if not response.received:
            response.received = True
            if data[0] != _HTTP:  # llhttp also takes RTSP, ICE and empty lines
                self.fail(_not_http("does not begin with HTTP"))
                return
        response.framing_bytes += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not response.complete:
                self.fail(_not_http(str(error.__context__ or error)))
                return
            response.reusable = False
        if response.complete:
            self._finish(response)
        elif response.framing_bytes > self._max_framing_bytes:
            self.fail(_not_http("headers or chunk extensions are too long"))
            return
        elif not self.paused and response.too_full():
            self.paused = True
            self._transport.pause_reading()
        response.wake()

    def eof_received(self) -> None:
        """End the exchange: well, if the end of the connection is the end of the body."""
        response = self._response
        if response is not None and response.until_eof:
            response.complete = True
            response.reusable = False
            self._finish(response)
            response.wake()
        else:
            self._cut(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange badly, if there is one."""
        self._cut(exc)
        self._owner.lost(self)

    def _cut(self, cause: Exception | None) -> None:
        response = self._response
        if response is not None and response.received:
            error = errors.UpstreamCut("The upstream closed the connection within its answer.")
        else:
            error = errors.UpstreamUnreachable(
                "The upstream closed the connection without an answer."
            )
        if cause is not None:
            error.add_note(str(cause))
        self.fail(error)

    def _finish(self, response: Response) -> None:
        response.let_go()
        self._response = self._parser = None
        if self.paused:
            self.resume()
        # A request that is not wholly sent yet would run into the next one.
        if response.reusable and not self._transport.get_write_buffer_size():
            self._owner.release(self)
        else:
            self.discard()

    def _look(self) -> None:
        """See what is due, if anything: most of what the timer was armed for is long done."""
        self._timer, self._timer_at = None, math.inf
        response = self._response
        due = self._rest_until if response is None else response.due()
        now = self._loop.time()
        if due - now > TIMER_SLACK_S:
            self.watch(due)
        elif response is None:
            self.discard()
        else:
            self.fail(response.overdue(now))


def _not_http(reason: str) -> errors.UpstreamProtocol:
    error = errors.UpstreamProtocol("The upstream does not speak HTTP/1.1 correctly.")
    error.add_note(reason)
    return error
