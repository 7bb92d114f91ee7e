"""One client's connection: HTTP/1.1 in, replies out, in the order the requests came."""

# ruff: noqa: D102 - the methods are asyncio's and httptools', which document them

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from typing import Final, cast

import httptools

from tidegate.providers.simulated.delivery import Delivery, Wheel
from tidegate.providers.simulated.reply import Reply, Request
from tidegate.providers.simulated.simulator import Simulator
from tidegate.providers.simulated.wire import Ending, put_on_wire, whole

_BODY_BYTES: Final = 64 << 20
_HEAD_BYTES: Final = 64 << 10
_PIPELINED: Final = 16
_FLUSH_S: Final = 0.02
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE: Final = (
    b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """Parses requests, asks the simulator, delivers."""

    def __init__(self, simulator: Simulator, connections: set[Connection], wheel: Wheel) -> None:
        self._simulator = simulator
        self._connections = connections
        self._wheel = wheel
        self._transport = cast("asyncio.Transport", None)
        self._parser = httptools.HttpRequestParser(self)
        # the request being read
        self._request = Request()
        self._url = b""
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._body_bytes = 0
        # requests read and not yet answered, and the answer under way
        self._waiting: deque[Request] = deque()
        self._delivery: Delivery | None = None
        self._reply: Reply | None = None
        self._full = False

    def abort(self) -> None:
        """Drop the connection and whatever is under way."""
        self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._connections.discard(self)
        self._waiting.clear()
        if self._delivery is not None:
            self._simulator.stats.cancelled += 1
            self._settle(complete=False)

    def pause_writing(self) -> None:
        self._full = True
        if self._delivery is not None:
            self._delivery.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._delivery is not None:
            self._delivery.resume()
        self._serve_waiting()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request itself was read; nobody here changes protocol
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours
        except httptools.HttpParserError:
            self._refuse(_BAD_REQUEST)

    # httptools' side

    def on_message_begin(self) -> None:
        self._request = Request()
        self._url = b""
        self._body = []
        self._head_bytes = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        name = name.lower()
        self._request.headers.append((name, value))
        match name:
            case b"authorization" | b"x-api-key" | b"api-key" | b"x-goog-api-key":
                self._request.key = value
            case b"x-simulate":
                self._request.simulate = value.decode("latin-1")
            case b"x-request-id":
                self._request.request_id = value[:200].decode("latin-1")
            case b"expect":
                if not self._waiting and self._delivery is None:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            case _:
                pass

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > _BODY_BYTES:
            self._body = []
            self._refuse(_TOO_LARGE)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        request, parser = self._request, self._parser
        request.method = parser.get_method()
        request.path, _, request.query = self._url.decode("latin-1").partition("?")
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.keeps_alive = parser.should_keep_alive()
        request.chunks_allowed = parser.get_http_version() != "1.0"
        self._body = []
        if self._delivery is None and not self._full and not self._waiting:
            self._serve(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= _PIPELINED:
            self._transport.pause_reading()

    # answering

    def _serve_waiting(self) -> None:
        while self._waiting and self._delivery is None and not self._full:
            self._serve(self._waiting.popleft())
        if len(self._waiting) < _PIPELINED and not self._transport.is_closing():
            self._transport.resume_reading()

    def _serve(self, request: Request) -> None:
        if self._transport.is_closing():
            return
        reply = self._simulator.respond(request)
        stats, meter = self._simulator.stats, reply.meter
        if reply.events is None and not reply.faults and reply.wait_s <= 0:
            self._transport.write(whole(reply, request))
            meter.delivered_tokens = meter.visible_tokens
            stats.settle(meter, complete=True)
            if not request.keeps_alive:
                self._transport.close()
            return
        stats.opened(meter)
        self._reply = reply
        wire = put_on_wire(reply, request)
        self._delivery = Delivery(self._wheel, self._transport, wire, self._finish)
        self._delivery.start()

    def _finish(self) -> None:
        """All pieces are written."""
        delivery, reply = self._delivery, self._reply
        if delivery is None or reply is None:
            return
        ending = delivery.wire.ending
        if ending is Ending.HANG:
            return
        if ending is Ending.RESET:
            # What was written has to leave first: a reset throws away what the kernel still holds.
            self._wheel.call_at(self._wheel.time() + _FLUSH_S, self._reset)
            return
        if delivery.wire.complete and reply.events is None:
            reply.meter.delivered_tokens = reply.meter.visible_tokens
        self._settle(complete=delivery.wire.complete)
        if ending is Ending.CLOSE:
            self._transport.close()
        elif self._waiting:
            self._wheel.call_soon(self._serve_waiting)

    def _settle(self, *, complete: bool) -> None:
        """The answer under way is over, one way or the other."""
        if self._delivery is not None and self._reply is not None:
            self._delivery.stop()
            self._simulator.stats.closed(self._reply.meter)
            self._simulator.stats.settle(self._reply.meter, complete=complete)
        self._delivery = self._reply = None

    def _reset(self) -> None:
        if self._transport.is_closing():
            return
        self._settle(complete=False)
        connected = cast("socket.socket", self._transport.get_extra_info("socket"))
        with socket.socket(fileno=os.dup(connected.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _refuse(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _HEAD_BYTES:
            self._refuse(_BAD_REQUEST)
