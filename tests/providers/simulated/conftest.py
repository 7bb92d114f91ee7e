"""A simulated provider on a free port, and a client that shows the wire as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httptools
import pytest
from openai import AsyncOpenAI

from tidegate.providers.simulated import Server, Settings, start

PATIENCE_S = 60.0


@dataclass
class Answer:
    """What came over the wire, and how it ended: complete, closed, reset or open."""

    raw: bytes = b""
    statuses: list[int] = field(default_factory=list[int])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    reads: int = 0
    """At most as many as pieces were sent: what comes close together is read together."""
    frames: int = 0
    """Of the chunked encoding, the one that ends it too."""
    ended: str = "open"
    parser: httptools.HttpResponseParser | None = None
    complete: bool = False

    @property
    def status(self) -> int:
        return self.statuses[-1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of each event, as a strict reader of the SSE standard sees it."""
        text = self.body.decode().replace("\r\n", "\n")
        found: list[str] = []
        for block in text.split("\n\n"):
            lines = [
                line[5:].removeprefix(" ") for line in block.split("\n") if line[:5] == "data:"
            ]
            if lines:
                found.append("\n".join(lines))
        return found

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def said(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            for choice in chunk["choices"]
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        self.statuses.append(self.parser.get_status_code())

    def on_chunk_header(self) -> None:
        self.frames += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = self.statuses[-1] >= 200

    def feed(self, data: bytes) -> None:
        self.raw += data
        self.reads += 1
        if self.parser is None:
            self.parser = httptools.HttpResponseParser(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.ended = "not http"


def http(body: object, *headers: str, path: str = "/v1/chat/completions") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def exchange(
    port: int, request: bytes, *, first_s: float = PATIENCE_S, later_s: float = PATIENCE_S
) -> Answer:
    """Send `request`; read until the answer is complete, the connection ends or patience does.

    Patience is `first_s` for the first bytes and `later_s` for all others.
    """
    answer = Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        while not answer.complete and answer.ended == "open":
            try:
                data = await asyncio.wait_for(
                    reader.read(65536), later_s if answer.raw else first_s
                )
            except TimeoutError:
                break
            except ConnectionResetError:
                answer.ended = "reset"
                break
            if data:
                answer.feed(data)
            else:
                answer.ended = "closed"
        if answer.complete:
            answer.ended = "complete"
    finally:
        writer.transport.abort()
    return answer


Chat = Callable[..., Awaitable[Answer]]
Simulate = Callable[..., Awaitable[Server]]


@pytest.fixture
async def simulate() -> AsyncIterator[Simulate]:
    """Start simulated providers that end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Server:
            return await stack.enter_async_context(await start(Settings(**settings)))

        yield begin


@pytest.fixture
async def server(simulate: Simulate) -> Server:
    return await simulate()


@pytest.fixture
def raw() -> Callable[..., Awaitable[Answer]]:
    return exchange


@pytest.fixture
def chat(server: Server) -> Chat:
    """Ask `server` over a raw socket; keywords become fields of the body."""

    async def ask(
        faults: str = "",
        *headers: str,
        first_s: float = PATIENCE_S,
        later_s: float = PATIENCE_S,
        **body: Any,
    ) -> Answer:
        whole = {"model": "sim-1", "messages": [{"role": "user", "content": "hi"}], **body}
        if faults:
            headers = (*headers, f"x-simulate: {faults}")
        request = http(whole, *headers)
        return await exchange(server.port, request, first_s=first_s, later_s=later_s)

    return ask


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as sdk:
        yield sdk
