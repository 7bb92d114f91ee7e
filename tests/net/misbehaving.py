"""A server whose behaviour is a script, one run of it per connection."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol, Self

from tidegate.net.http import Pool, Response, Timeouts

PATIENT = Timeouts(connect_s=20, first_byte_s=20, idle_s=20)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.requests: list[bytes] = []

    async def request(self) -> bytes:
        """The next request, head and body; b"" when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            body = await self.reader.readexactly(int(length.partition(b"\r\n")[0] or 0))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.requests.append(head + body)
        return head + body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def fileno(self) -> int:
        return int(self.writer.get_extra_info("socket").fileno())

    def reset(self) -> None:
        self.writer.transport.abort()

    def reset_hard(self) -> None:
        """Close with RST instead of FIN."""
        with socket.socket(fileno=os.dup(self.fileno())) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.peers: list[Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> list[bytes]:
        return [request for peer in self.peers for request in peer.requests]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
            await asyncio.gather(peer.writer.wait_closed(), return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        try:
            await self.script(peer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client or the test is over, and the streams would log it
        finally:
            writer.close()


class StartUpstream(Protocol):
    async def __call__(self, script: Script) -> Upstream: ...


class OpenPool(Protocol):
    def __call__(self, upstream: Upstream, **options: object) -> Pool: ...


def answers(*answers: bytes) -> Script:
    """Answer the requests of each connection with these, then close it."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            if not await peer.request():
                return
            await peer.send(answer)

    return script


async def echo(peer: Peer) -> None:
    """Answer every request with its own body."""
    while request := await peer.request():
        body = request.partition(b"\r\n\r\n")[2]
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def post(
    pool: Pool, body: bytes = b"", *, timeouts: Timeouts = PATIENT, total_s: float = 20
) -> Response:
    deadline = asyncio.get_running_loop().time() + total_s
    return await pool.open("POST", "/chat", b"", body, timeouts=timeouts, deadline=deadline)


async def fetch(
    pool: Pool, body: bytes = b"", *, timeouts: Timeouts = PATIENT, total_s: float = 20
) -> bytes:
    response = await post(pool, body, timeouts=timeouts, total_s=total_s)
    return await response.read_all(1 << 30)
