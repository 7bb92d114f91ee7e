"""A real Redis on a free port, and a proxy before it that can stall or be gone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from servers import free_port

SERVER = shutil.which("redis-server")
PASSWORD = "hunter2-hunter2"


def answers(port: int) -> bool:
    with suppress(redis.RedisError), redis.Redis(port=port, password=PASSWORD) as client:
        return bool(client.ping())
    return False


@contextmanager
def redis_server(directory: Path, port: int | None = None) -> Generator[int]:
    """The port of a Redis that lives as long as the context does."""
    if SERVER is None:
        pytest.skip("NOT TESTED: there is no redis-server on the PATH")
    port = port or free_port()
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", "--dir", str(directory), "--requirepass", PASSWORD]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until_s = time.monotonic() + 60
            while not answers(port):
                assert process.poll() is None, "redis-server has ended"
                assert time.monotonic() < until_s, "redis-server does not answer"
            yield port
        finally:
            process.kill()


class Proxy:
    """Passes bytes on both ways, unless it is told to stall."""

    def __init__(self, behind: int) -> None:
        self.port = 0
        self.connections = 0
        self._behind = behind
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks = set[asyncio.Task[None]]()

    def stall(self) -> None:
        """Pass nothing on from now on, and take connections all the same."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, here = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = (self._pass(reader, here), self._pass(there, writer))
        for way in ways:
            task = asyncio.get_running_loop().create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def proxy(behind: int) -> AsyncGenerator[Proxy]:
    proxy = Proxy(behind)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
