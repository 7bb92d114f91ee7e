"""A real Redis on a free port, and a gate before it that can stall or be shut."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from servers import free_port

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
PASSWORD = "open sesame/é"
"""With what a URL has to quote."""
QUOTED = "open%20sesame%2F%C3%A9"


def url(port: int, db: int = 0) -> str:
    return f"redis://:{QUOTED}@127.0.0.1:{port}/{db}"


def client(port: int, db: int = 0) -> redis.Redis:
    return redis.Redis(port=port, db=db, password=PASSWORD)


def answers(port: int) -> bool:
    with suppress(redis.RedisError), client(port) as asking:
        return bool(asking.ping())
    return False


@contextmanager
def redis_server(directory: Path, port: int | None = None, *more: str) -> Generator[int]:
    """The port of a Redis that lives as long as the context does."""
    if SERVER is None:
        pytest.skip("NOT TESTED: there is no redis-server on the PATH")
    port = port or free_port()
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", "--dir", str(directory), "--requirepass", PASSWORD, *more]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until_s = time.monotonic() + 60
            while not answers(port):
                assert process.poll() is None, "redis-server has ended"
                assert time.monotonic() < until_s, "redis-server does not answer"
            yield port
        finally:
            process.kill()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - it is another process that makes it so
            await asyncio.sleep(0.002)


class Gate:
    """Passes bytes on both ways while it is open."""

    def __init__(self, behind: int) -> None:
        self.port = 0
        self.connections = 0
        self._behind = behind
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()
        self._writers = set[asyncio.StreamWriter]()
        self.open()

    def stall(self) -> None:
        """Pass nothing on, either way."""
        self._there.clear()
        self._back.clear()

    def stall_answers(self) -> None:
        """Pass on what is asked, and no answers."""
        self._back.clear()

    def open(self) -> None:
        self._there.set()
        self._back.set()

    def cut(self) -> None:
        """End every connection; new ones are let through."""
        for task in tuple(self._tasks):
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        current = asyncio.current_task()
        assert current is not None
        self._tasks.add(current)
        current.add_done_callback(self._tasks.discard)
        there, here = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.add(here)
        for way in (self._pass(reader, here, self._there), self._pass(there, writer, self._back)):
            task = asyncio.get_running_loop().create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(65_536):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        tasks = tuple(self._tasks)
        self.cut()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # transports close in the next turn


@asynccontextmanager
async def gate(behind: int) -> AsyncGenerator[Gate]:
    gate = Gate(behind)
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
        await gate.close()
