"""What the loop and the kernel alone cost: a relay on uvloop that looks at nothing it passes on.

Bytes go from each connection to one of its own upstream and back. There is no HTTP, no record, no
decision in it, so no gateway on this loop and this machine can cost less.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Half(asyncio.Protocol):
    """One side of a pair: what comes here is written there."""

    def __init__(self, other: Half | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        for data in self.early:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is None:
            return
        if other.transport is None:
            other.early.append(data)
        else:
            other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Caller(Half):
    """The side that was called; the other one is dialled at once."""

    def __init__(self, upstream: int) -> None:
        super().__init__(Half())
        self._upstream = upstream
        self._dialling: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        other = cast("Half", self.other)
        other.other = self
        loop = asyncio.get_running_loop()
        dialled = loop.create_connection(lambda: other, "127.0.0.1", self._upstream)
        self._dialling = loop.create_task(dialled)


async def relay(port: int, upstream: int) -> None:
    """Pass on what comes to `port` until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Caller(upstream), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(relay(int(sys.argv[1]), int(sys.argv[2])))
