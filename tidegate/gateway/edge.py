"""One connection of a caller: HTTP/1.1 in and out, and the first line against bad HTTP.

llhttp parses; what it does not bound is bounded here: a head that is too long or too slow, a body
that nobody asked for yet, two lengths, a body that goes on after its answer. Each ends in a clear
error and a closed connection, and never reaches the stations.

Requests of one connection are answered one after the other. An answer that is complete at once
leaves in one write, head and body together.

Source: RFC 9112, sections 6.1 and 6.3 (message framing and request smuggling), 9.3.2 (pipelining).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol, cast

import httptools

from tidegate.errors import BadRequest, HeadersTooLarge, Overloaded, SlowBody, TidegateError
from tidegate.formats import chat, messages
from tidegate.gateway.exchange import Exchange, Header, head_bytes
from tidegate.policy.saturation import Gate

log = logging.getLogger("tidegate.gateway")

BODY_AHEAD_BYTES = 64 << 10
"""How much of a body is taken in before somebody waits for it."""

DISCARDED_BYTES = 64 << 20
"""How much of an already answered request is read and thrown away before the connection is cut."""

PIPELINED = 64
"""Requests that may wait on one connection; more are a flood."""

SHED_PATHS = b"/v1/"
"""What may be refused for the load; health is told at any time."""

_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
_ONCE = _LENGTHS | {b"host"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a caller may do before its request is understood."""

    head_bytes: int
    head_s: float
    keepalive_s: float


class App(Protocol):
    """What answers a request."""

    async def __call__(self, exchange: Exchange) -> None:
        """Answer `exchange`; raises nothing."""
        ...


@dataclass(slots=True)
class Shared:
    """What the connections of one server have in common."""

    app: App
    bounds: Bounds
    loop: asyncio.AbstractEventLoop
    gate: Gate | None = None
    """Refuses requests while there are too many; None takes all."""
    connections: set[Edge] = field(default_factory=set["Edge"])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    draining: bool = False


class Edge(asyncio.Protocol):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_active",
        "_broken",
        "_discarded",
        "_drained",
        "_head",
        "_head_open",
        "_headers",
        "_parser",
        "_reading",
        "_refusal",
        "_shared",
        "_transport",
        "_url",
        "_waiting",
        "_write_paused",
        "expires_at",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reading = True
        self._write_paused = False
        self._drained: asyncio.Future[None] | None = None
        self.expires_at = shared.loop.time() + shared.bounds.head_s
        """Loop time at which a connection without a running request is closed."""

        # The head that is coming in.
        self._head_open = True
        self._head = 0
        self._url = b""
        self._headers: list[Header] = []
        self._refusal: TidegateError | None = None
        self._discarded = 0
        self._broken = False

        # The request that is being answered, and those behind it.
        self._active: Exchange | None = None
        self._waiting: deque[Exchange] = deque()

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        self._transport = cast("asyncio.Transport", transport)
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the running request that its caller is gone."""
        self._shared.connections.discard(self)
        self.resume_writing()
        self._waiting.clear()
        if self._active is not None:
            self._active.leave()
        self._parser = cast("httptools.HttpRequestParser", None)  # it refers back to us

    def eof_received(self) -> bool:
        """A caller that sends no more has left: HTTP clients do not half-close."""
        return False

    def data_received(self, data: bytes) -> None:
        """Count what comes, then let it be parsed."""
        if self._broken:
            return
        if self._head_open:
            self._head += len(data)
        elif self._active is None:
            self._discarded += len(data)
            if self._discarded > DISCARDED_BYTES:
                self._transport.abort()
                return
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("The request is not well-formed HTTP/1.1."))
            return
        if self._head_open and self._head > self._shared.bounds.head_bytes:
            self._refuse(self._head_too_long())

    def pause_writing(self) -> None:
        """The caller reads more slowly than we write."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The caller has caught up, or is gone."""
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # The parser's side

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_open = True
        self._url = b""
        self._headers = []
        if self._active is None:
            self.expires_at = self._shared.loop.time() + self._shared.bounds.head_s

    def on_url(self, url: bytes) -> None:
        """Part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is in: judge it as a whole and let the request be answered."""
        once = [name for name, _ in self._headers if name in _ONCE]
        if len(once) > 1:
            self._check_framing(once)
        if self._head > self._shared.bounds.head_bytes:
            self._check_head()  # what has come since the head began may be body in part
        if len(self._waiting) >= PIPELINED:
            self._refusal = BadRequest("Too many requests wait on this connection.")
            raise ValueError
        self._head_open = False
        self._head = 0
        self._discarded = 0
        gate = self._shared.gate
        if gate is not None and gate.shedding and self._active is None and self._sheds(gate):
            return
        parser = self._parser
        exchange = Exchange(
            self,
            method=parser.get_method(),
            url=self._url,
            headers=self._headers,
            chunked=parser.get_http_version() != "1.0",
            keep_alive=parser.should_keep_alive() and not parser.should_upgrade(),
        )
        if self._active is None:
            self._start(exchange)
        else:
            self._waiting.append(exchange)
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        """Part of the body of the request whose head came last."""
        exchange = self._last()
        if exchange is not None and exchange.take(body) > BODY_AHEAD_BYTES and not exchange.wanted:
            self._pause_reading()

    def on_message_complete(self) -> None:
        """The request is in whole; what follows on this connection is another one's head."""
        if self._parser.should_upgrade():
            return  # its body is still to come, see `_decline`
        exchange = self._last()
        if exchange is not None:
            exchange.complete()
        self._head_open = True

    # The exchange's side

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens when the caller is gone."""
        self._transport.write(data)

    @property
    def write_paused(self) -> bool:
        """Whether more should be written only after `drain`."""
        return self._write_paused

    async def drain(self) -> None:
        """Wait until the caller has read enough, or is gone."""
        if self._write_paused:
            if self._drained is None:
                self._drained = self._shared.loop.create_future()
            await self._drained

    def resume_reading(self) -> None:
        """Take more from the caller."""
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def done(self, *, keep_alive: bool) -> None:
        """The active exchange has been answered."""
        self._active = None
        if not keep_alive or self._shared.draining:
            self._transport.close()
            return
        self.expires_at = self._shared.loop.time() + self._shared.bounds.keepalive_s
        if self._waiting:
            self._start(self._waiting.popleft())
        if not self._waiting:
            self.resume_reading()

    def abort(self) -> None:
        """Cut the connection, whatever is still to be sent."""
        self._transport.abort()

    # The server's side

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._active is None

    def expire(self) -> None:
        """Time is up for a connection without a running request."""
        if self._head:
            self._refuse(SlowBody("The request's headers did not arrive in time."))
        else:
            self._transport.close()

    def close_if_idle(self) -> None:
        """Close now, or after the running request."""
        if self._active is None:
            self._transport.close()

    # Inside

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        shared = self._shared
        exchange.task = task = shared.loop.create_task(shared.app(exchange))
        shared.tasks.add(task)
        task.add_done_callback(self._ended)

    def _sheds(self, gate: Gate) -> bool:
        """Whether the request is refused for the load: before anything is made for it.

        Its body, as far as it is still to come, is read and thrown away.
        """
        if not self._url.startswith(SHED_PATHS) or gate.admits():
            return False
        parser = self._parser
        close = (
            not parser.should_keep_alive()
            or parser.should_upgrade()
            or any(name == b"expect" for name, _ in self._headers)
        )
        self._transport.write(_REFUSALS[self._url.startswith(b"/v1/messages"), close])
        if close:
            self._broken = True
            self._transport.close()
        else:
            self.expires_at = self._shared.loop.time() + self._shared.bounds.keepalive_s
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The root of every request's task: one that broke leaves no caller waiting."""
        self._shared.tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            error = None if task.cancelled() else task.exception()
            log.error("a request's task broke", exc_info=error)
            self._transport.abort()

    def _decline(self, rest: bytes) -> None:
        """Stay with HTTP/1.1 although another protocol was offered; `rest` comes behind the head.

        The parser stops there and passes the body over, so another one takes it. Java's HTTP client
        and `curl --http2` make such an offer with every request that is not encrypted.
        Source: RFC 9110, section 7.8: a server may ignore `upgrade`.
        """
        framing = [b"%b: %b\r\n" % pair for pair in self._headers if pair[0] in _LENGTHS]
        self._parser = httptools.HttpRequestParser(_Body(self))
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n%b" % (b"".join(framing), rest))

    def _pause_reading(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def _check_head(self) -> None:
        size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
        if size > self._shared.bounds.head_bytes:
            self._refusal = self._head_too_long()
            raise ValueError

    def _check_framing(self, names: list[bytes]) -> None:
        if len(set(names)) < len(names):
            self._refusal = BadRequest("content-length, transfer-encoding and host come once.")
            raise ValueError
        if b"content-length" in names and b"transfer-encoding" in names:
            self._refusal = BadRequest("Both content-length and transfer-encoding were sent.")
            raise ValueError

    def _refuse(self, error: TidegateError) -> None:
        """Answer what is not HTTP, after the answers that are owed before it, and close."""
        if self._transport.is_closing():
            return
        self._broken = True
        last = self._last()
        if last is not None:
            last.spoil(error)
            return
        body = chat.error_body(error, "")
        headers = [(b"content-type", b"application/json"), (b"x-should-retry", b"false")]
        self._transport.write(
            head_bytes(error.status, headers, length=len(body), close=True) + body
        )
        self._transport.close()

    def _last(self) -> Exchange | None:
        """The exchange whose head came last, unless it is over."""
        return self._waiting[-1] if self._waiting else self._active

    def _head_too_long(self) -> HeadersTooLarge:
        limit = self._shared.bounds.head_bytes
        return HeadersTooLarge(f"The request line and headers are longer than {limit:,} bytes.")


def _refusal(error: bytes, *, close: bool) -> bytes:
    """The whole answer to a request that is refused for the load."""
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    return head_bytes(429, headers, length=len(error), close=close) + error


_OVERLOADED = Overloaded("The gateway has more to do than it can; ask again in a second.")
_REFUSALS = {
    (format_ is messages, close): _refusal(format_.error_body(_OVERLOADED, ""), close=close)
    for format_ in (chat, messages)
    for close in (False, True)
}


class _Body:
    """What a parser sees of a connection whose last request's body is all that is to come."""

    def __init__(self, edge: Edge) -> None:
        self.on_body = edge.on_body
        self.on_message_complete = edge.on_message_complete
