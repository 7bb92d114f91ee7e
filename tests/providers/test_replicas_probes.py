from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tidegate.net.dns import Resolver
from tidegate.net.http import Pool
from tidegate.providers.replicas import Health, Replica, Replicas
from tidegate.providers.replicas.probes import is_well, watch


@dataclass
class Server:
    """Answers every request with `status`; with none, not at all."""

    status: int | None = 200
    port: int = 0
    asked: list[str] = field(default_factory=list[str])
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.asked.append(head.split(b"\r\n")[0].decode())
            if self.status is None:
                await reader.read()
                break
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % self.status)
        writer.close()


@asynccontextmanager
async def serving(server: Server) -> AsyncGenerator[Server]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


@pytest.fixture
async def resolver() -> AsyncGenerator[Resolver]:
    resolver = Resolver()
    yield resolver
    await resolver.close()


def replica(port: int, resolver: Resolver) -> Replica:
    url = f"http://127.0.0.1:{port}"
    pool = Pool(f"{url}/v1", allow_private=True, resolver=resolver)
    root = Pool(url, allow_private=True, resolver=resolver)
    return Replica(f"{url}/v1", pool, 1, root)


@pytest.mark.parametrize(
    ("status", "well"),
    [(200, True), (302, True), (401, True), (404, True), (500, False), (503, False)],
)
async def test_a_server_that_answers_is_well_unless_it_says_it_is_not(
    resolver: Resolver, status: int, well: bool
) -> None:
    async with serving(Server(status)) as server:
        some = Replicas("gpus", [replica(server.port, resolver)])
        assert await is_well(some.all[0], "/health", 5.0) is well
        assert await is_well(some.all[0], "/health", 5.0) is well
        await some.close()
    assert server.asked == ["GET /health HTTP/1.1"] * 2
    assert server.connections == 1


async def test_a_server_that_does_not_answer_is_not_well(resolver: Resolver) -> None:
    async with serving(Server(None)) as server:
        some = Replicas("gpus", [replica(server.port, resolver)])
        assert not await is_well(some.all[0], "/health", 0.05)
        await some.close()
    gone = Replicas("gpus", [replica(server.port, resolver)])
    assert not await is_well(gone.all[0], "/health", 5.0)
    await gone.close()


async def test_a_watch_tells_what_it_finds_until_it_is_cancelled(resolver: Resolver) -> None:
    pauses: list[float] = []
    turns = iter([200, 503, 503, 200])
    async with serving(Server(200)) as server:
        some = Replicas(
            "gpus",
            [replica(server.port, resolver), replica(server.port, resolver)],
            health=Health(failures=2, interval_s=10.0, timeout_s=5.0),
        )
        states: list[str] = []

        async def pause(wait_s: float) -> None:
            pauses.append(wait_s)
            states.append(some.snapshot(asyncio.get_running_loop().time())[0].state)
            server.status = next(turns, None)
            if server.status is None:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await watch(some, some.all[0], "/health", pause=pause, draw=lambda: 0.75)
        await some.close()
    assert states == ["usable", "usable", "usable", "down", "warming"]
    assert pauses == [7.5, 10.5, 10.5, 10.5, 10.5]


def probing() -> int:
    return sum(task.get_name().startswith("probe of") for task in asyncio.all_tasks())


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not claim():  # noqa: ASYNC110 - what is waited for is on the other side of a socket
            await asyncio.sleep(0.005)


async def test_probes_run_in_the_background_and_end_with_the_replicas(resolver: Resolver) -> None:
    async with serving(Server(503)) as ill, serving(Server(200)) as well:
        some = Replicas(
            "gpus",
            [replica(ill.port, resolver), replica(well.port, resolver)],
            health=Health(failures=2, probe="/health", interval_s=0.01, timeout_s=5.0),
        )
        some.start()
        some.start()
        assert probing() == 2
        await until(lambda: some.snapshot(0.0)[0].state == "down")
        assert some.snapshot(0.0)[1].state == "usable"
        ill.status = 200
        await until(lambda: some.snapshot(0.0)[0].state != "down")
        await some.close()
    assert probing() == 0


async def test_one_replica_is_not_probed(resolver: Resolver) -> None:
    some = Replicas("gpus", [replica(1, resolver)], health=Health(probe="/health"))
    some.start()
    assert probing() == 0
    await some.close()
