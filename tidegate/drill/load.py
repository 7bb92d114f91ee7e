"""The load: requests at a steady rate whatever becomes of them, and what their callers saw.

Open loop: each request is due at a time of its own and is sent then, however many are waiting; a
gateway that stalls is not spared by callers that politely wait for it. One connection for each
request, so that none inherits the trouble of another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Final, cast

import httptools
import msgspec

from tidegate.drill.judge import Outcome, judge

_MOST_BYTES: Final = 1 << 20
_WORDS: Final = "It is a drill: say something about the tide."
_OUTPUT_TOKENS: Final = 256

MIX: Final = (
    ("chat", True),
    ("messages", True),
    ("chat", False),
    ("responses", True),
    ("chat", True),
    ("messages", False),
)
"""The formats that are asked in, in turn, and whether streamed."""


@dataclass(slots=True)
class Seen:
    """One request, as its caller saw it. Times are of the event loop; 0 when it never came."""

    alias: str
    wire: str
    stream: bool
    due_s: float
    sent_s: float = 0.0
    """When it was really sent: later than it was due only if the drill itself is too slow."""
    first_s: float = 0.0
    """When the first byte of the answer's body came: the first token, for the gateway holds back
    what comes before it."""
    ended_s: float = 0.0
    status: int = 0
    outcome: Outcome = Outcome.UNANSWERED
    request_id: str = ""
    answer_id: str = ""
    target: str = ""
    detail: str = ""
    """The beginning of an answer that was not good."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gateway listens, and the key to ask it with."""

    host: str
    port: int
    key: str | None = None
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class Load:
    """Requests to `aliases` in turn, `rate` in a second: until `stop`, and `most` at most."""

    place: Place
    aliases: Sequence[str]
    rate: float
    patience_s: float
    most: int | None = None
    seen: list[Seen] = field(default_factory=list[Seen])
    ended: Counter[Outcome] = field(default_factory=Counter[Outcome])
    _running: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send; return when the last request has ended."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for asked in islice(self._requests(), self.most):
            await self._until(due_s)
            if self._stopped.is_set():
                break
            seen = Seen(*asked[0], due_s)
            self.seen.append(seen)
            task = loop.create_task(self._ask(asked[1], seen))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due_s += 1 / self.rate
        if self._running:
            await asyncio.wait(self._running)

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()

    @property
    def under_way(self) -> int:
        """How many requests wait for the end of their answer."""
        return len(self._running)

    async def _until(self, due_s: float) -> None:
        wait_s = due_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            try:
                await asyncio.wait_for(self._stopped.wait(), wait_s)
            except TimeoutError:
                return

    async def _ask(self, request: bytes, seen: Seen) -> None:
        await _ask(self.place, request, seen, self.patience_s)
        self.ended[seen.outcome] += 1

    def _requests(self) -> Iterator[tuple[tuple[str, str, bool], bytes]]:
        made = [
            ((alias, wire, stream), _request(self.place, alias, wire, stream=stream))
            for wire, stream in MIX
            for alias in self.aliases
        ]
        return cycle(made)


def _request(place: Place, alias: str, wire: str, *, stream: bool) -> bytes:
    """A whole HTTP request."""
    said = [{"role": "user", "content": _WORDS}]
    path, body = {
        "chat": ("/v1/chat/completions", {"messages": said, "max_tokens": _OUTPUT_TOKENS}),
        "messages": ("/v1/messages", {"messages": said, "max_tokens": _OUTPUT_TOKENS}),
        "responses": ("/v1/responses", {"input": _WORDS, "max_output_tokens": _OUTPUT_TOKENS}),
    }[wire]
    data = msgspec.json.encode({"model": alias, "stream": stream, **body})
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {place.host}:{place.port}",
        "content-type: application/json",
        f"content-length: {len(data)}",
        "connection: close",
    ]
    if wire == "messages":
        lines.append("anthropic-version: 2023-06-01")
    if place.key is not None:
        lines.append(f"authorization: Bearer {place.key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def _ask(place: Place, request: bytes, seen: Seen, patience_s: float) -> None:
    """Send one request and write into `seen` what becomes of it."""
    loop = asyncio.get_running_loop()
    caller: _Caller | None = None
    seen.sent_s = loop.time()
    try:
        async with asyncio.timeout_at(seen.sent_s + patience_s):
            _, made = await loop.create_connection(
                lambda: _Caller(request, seen), place.host, place.port, ssl=place.tls
            )
            caller = made
            await caller.ended
    except TimeoutError:
        seen.outcome, seen.detail = Outcome.LATE, f"gave up after {patience_s:g} s"
    except OSError as error:
        seen.outcome, seen.detail = Outcome.UNANSWERED, str(error)
    finally:
        seen.ended_s = loop.time()
        if caller is not None:
            caller.close()


class _Caller(asyncio.Protocol):
    """One connection that asks once."""

    def __init__(self, request: bytes, seen: Seen) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._seen = seen
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._transport: asyncio.Transport | None = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._seen.detail = f"not HTTP: {error}"
            self._end(complete=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self._seen.detail:
            self._seen.detail = str(exc) or type(exc).__name__
        self._end(complete=False)

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"x-request-id":
                self._seen.request_id = value.decode("latin-1")
            case b"x-tidegate-target":
                self._seen.target = value.decode("latin-1")
            case _:
                pass

    def on_headers_complete(self) -> None:
        self._seen.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self._seen.first_s:
            self._seen.first_s = asyncio.get_running_loop().time()
        if len(self._body) < _MOST_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        self._end(complete=True)

    def _end(self, *, complete: bool) -> None:
        seen = self._seen
        if self.ended.done():
            return
        if seen.status:
            body = bytes(self._body)
            judged = judge(seen.wire, seen.status, body, stream=seen.stream, complete=complete)
            seen.outcome, seen.answer_id = judged.outcome, judged.answer_id
            if judged.outcome is not Outcome.GOOD:
                seen.detail = seen.detail or _shorten(body)
        self.ended.set_result(None)


def _shorten(body: bytes, most: int = 200) -> str:
    text = " ".join(body[-2 * most :].decode("utf-8", "replace").split())
    return text if len(text) <= most else f"… {text[-most:]}"
