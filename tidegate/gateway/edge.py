"""The first line against bad HTTP: uvicorn's protocol, with bounds that it does not have itself.

A head that is too long or too slow, two lengths, a body that goes on after its answer: each ends
in a clear error and a closed connection, and never reaches the application. llhttp, below, already
refuses conflicting framing; what it reports comes out as JSON here.

Source: RFC 9112, sections 6.1 and 6.3 (message framing and request smuggling).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from tidegate.errors import BadRequest, HeadersTooLarge, SlowBody, TidegateError
from tidegate.gateway.openai import error_body

DISCARDED_BYTES = 64 << 20
"""How much of an already answered request is read and thrown away before the connection is cut."""

_ONCE = frozenset({b"content-length", b"transfer-encoding", b"host"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a caller may do before its request is understood."""

    head_bytes: int
    head_s: float


class EdgeProtocol(HttpToolsProtocol):
    """One connection of a caller."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: Bounds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        self._head_open = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._discarded_bytes = 0
        self._refusal: TidegateError | None = None
        self._extensions: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._extensions = {"tidegate.abort": transport.abort}
        self._head_timer = self.loop.call_later(self._bounds.head_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes, then let it be parsed."""
        if self._head_open:
            self._head_bytes += len(data)
        elif self.cycle.response_complete:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > DISCARDED_BYTES:
                self.transport.abort()
                return
        super().data_received(data)
        if self._head_open and not self.transport.is_closing():
            if self._head_bytes > self._bounds.head_bytes:
                self._refuse(self._head_too_long())
            elif self._head_timer is None and self._head_bytes:
                self._head_timer = self.loop.call_later(self._bounds.head_s, self._too_slow)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_open = True
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        """The head is in: judge it as a whole."""
        head_bytes = len(self.url)
        seen: set[bytes] = set()
        for name, value in self.headers:
            head_bytes += len(name) + len(value) + 4
            if name in _ONCE:
                if name in seen:
                    self._refusal = BadRequest(f"The header {name.decode()} was sent twice.")
                    raise ValueError
                seen.add(name)
        if len(seen) > 1 and b"content-length" in seen and b"transfer-encoding" in seen:
            self._refusal = BadRequest("Both content-length and transfer-encoding were sent.")
            raise ValueError
        if head_bytes > self._bounds.head_bytes:
            self._refusal = self._head_too_long()
            raise ValueError
        self._head_open = False
        self._head_bytes = 0
        self._discarded_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is in whole; what follows on this connection is another one's head."""
        super().on_message_complete()
        self._head_open = True

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed (or was judged above) as JSON, and close."""
        self._refuse(self._refusal or BadRequest(f"{msg.removesuffix('.')}: it is malformed."))

    def _refuse(self, error: TidegateError) -> None:
        if self.transport.is_closing():
            return
        # An answer under way belongs to an earlier request: nothing may be mixed into it.
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:  # pyright: ignore[reportUnnecessaryComparison] - None until the first head
            body = error_body(error)
            self.transport.write(
                STATUS_LINE[error.status]
                + b"content-type: application/json\r\nconnection: close\r\n"
                + b"x-should-retry: false\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()

    def _head_too_long(self) -> HeadersTooLarge:
        return HeadersTooLarge(
            f"The request line and headers are longer than {self._bounds.head_bytes:,} bytes."
        )

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(SlowBody("The request's headers did not arrive in time."))
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
