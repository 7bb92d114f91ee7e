"""Several gateways on one budget in Redis, all of which die in turn: never more than there is."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from servers import free_port
from spending import CAP_NANOUSD, PATIENCE_S, TEAM, Books, Callers, Serving, ask, until, written

from tidegate.cli import main
from tidegate.providers.simulated.server import Server, start
from tidegate.providers.simulated.settings import Settings

REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
SHARED = "shared: {{url: redis://127.0.0.1:{port}, timeout: 2s}}\n"
MODELS = (*["sim/sim-1"] * 6, "sim/sim-1+status:500", "sim/sim-1+cut:4")
AT_ONCE = 8


class Memory:
    """A Redis that can lose its memory, or be stopped for a while."""

    def __init__(self, directory: Path) -> None:
        if REDIS is None:
            pytest.skip("NOT TESTED: there is no redis-server on the PATH")
        self.port = free_port()
        self._command = [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                         "--appendonly", "no", "--dir", str(directory)]  # fmt: skip
        self.client = redis.Redis(port=self.port, socket_timeout=0.2)
        self.patient = redis.Redis(port=self.port, socket_timeout=PATIENCE_S)
        """For who asks when it is known to run."""
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until_s = time.monotonic() + 60
        while not self.answers():
            assert process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until_s, "redis-server does not answer"
        return process

    def answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def forget(self) -> None:
        """Begin anew with nothing."""
        self.end()
        self.process = self._begin()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def money(self, client: redis.Redis | None = None) -> tuple[int, int]:
        """What the team has spent and what is held for it, of the same moment."""
        names = [
            f"{{tidegate}}:{what}:total:UTC:0:{TEAM[0]}:{TEAM[1]}" for what in ("spent", "held")
        ]
        found: Any = (client or self.patient).mget(names)
        return int(found[0] or 0), int(found[1] or 0)

    async def watch(self, seen: list[int]) -> None:
        """Look at it until cancelled; nothing is seen while it is gone."""
        while True:
            with suppress(redis.RedisError):
                seen.append(sum(self.money(self.client)))
            await asyncio.sleep(0.01)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path)
    yield memory
    memory.end()
    memory.client.close()
    memory.patient.close()


@pytest.fixture
async def sim() -> AsyncGenerator[Server]:
    settings = Settings(seed=7, ttft="uniform:0ms..40ms", gap="4ms", length="uniform:4..40")
    async with await start(settings) as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Serving]]:
    begun: list[Serving] = []

    def start(path: Path) -> Serving:
        begun.append(Serving(path))
        return begun[-1]

    yield start
    for serving in begun:
        serving.close()


async def two(
    tmp_path: Path, serve: Callable[[Path], Serving], sim: Server, memory: Memory, store: str,
    **values: object,
) -> tuple[Serving, Serving]:  # fmt: skip
    """Three gateway processes of two machines, as it were."""
    shared = SHARED.format(port=memory.port)
    values |= {"store": store}
    one = written(tmp_path / "one", sim.base_url, shared, workers=2, **values)
    other = written(tmp_path / "other", sim.base_url, shared, **values)
    found = await asyncio.gather(asyncio.to_thread(serve, one), asyncio.to_thread(serve, other))
    return found[0], found[1]


@pytest.mark.timeout(400)  # what killed gateways held is let go only after its time
async def test_budget_holds_while_gateways_die_and_redis_forgets_and_stops(
    tmp_path: Path,
    postgres_url: str,
    sim: Server,
    memory: Memory,
    serve: Callable[[Path], Serving],
) -> None:
    draw = random.Random(21)
    one, other = await two(tmp_path, serve, sim, memory, postgres_url, total="4s")
    callers = Callers([lambda: one.address, lambda: other.address], draw, models=MODELS)
    seen: list[int] = []
    watching = asyncio.create_task(memory.watch(seen))
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(callers.ask_on(number))

        async def more(count: int) -> None:
            before = callers.count()
            await until(lambda: callers.count() >= before + count)

        await more(6)
        one.kill(draw.choice(["gw-0", "gw-1"]))
        await more(6)
        await asyncio.to_thread(memory.forget)
        await more(6)
        memory.process.send_signal(signal.SIGSTOP)
        before = callers.count("limits_unavailable")
        await until(lambda: callers.count("limits_unavailable") > before)
        memory.process.send_signal(signal.SIGCONT)
        await more(6)
        other.kill("gw-0")
        await until(lambda: callers.count("budget_exceeded") >= 3 * AT_ONCE)
        callers.stopped = True
    await until(lambda: memory.money()[1] == 0)
    watching.cancel()
    assert await asyncio.to_thread(one.end) == 0
    assert await asyncio.to_thread(other.end) == 0
    assert max(seen) <= CAP_NANOUSD
    books = Books.of(postgres_url)
    books.check(callers, sim.stats)
    assert books.lost
    assert memory.money() == (books.spent, 0)


async def test_rate_is_one_for_all_processes_though_one_of_them_dies(
    tmp_path: Path,
    postgres_url: str,
    sim: Server,
    memory: Memory,
    serve: Callable[[Path], Serving],
) -> None:
    limits = ", limits: {requests_per_day: 40}"
    one, other = await two(tmp_path, serve, sim, memory, postgres_url, more=limits)
    callers = Callers([lambda: one.address, lambda: other.address], random.Random(22))
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(callers.ask_on(number))
        await until(lambda: callers.count() >= 10)
        one.kill("gw-1")
        await until(lambda: callers.count("rate_limit_exceeded") >= 3 * AT_ONCE)
        callers.stopped = True
    assert await asyncio.to_thread(one.end) == 0
    assert await asyncio.to_thread(other.end) == 0
    books = Books.of(postgres_url)
    asked = [r for r in books.records if r.outcome in {"ok", "client_gone", "lost"}]
    assert 0 <= 40 - len(asked) <= AT_ONCE  # some may have been killed before they were noted
    assert len(sim.stats.calls) <= 40


async def test_key_that_is_blocked_is_refused_whoever_answers(
    tmp_path: Path, sim: Server, memory: Memory, serve: Callable[[Path], Serving]
) -> None:
    shared = SHARED.format(port=memory.port)
    plenty = 1_000  # which process has heard of a key is found out by asking, and asking costs
    path = written(tmp_path, sim.base_url, shared, workers=2, usd=plenty)
    serving = await asyncio.to_thread(serve, path)
    where = await serving.hears(logger="tidegate.control", message="started")
    token = tmp_path / ".tidegate" / "spool" / "admin.token"
    await until(token.exists)
    operator = {"TIDEGATE_ADMIN_URL": f"http://127.0.0.1:{where['port']}"}
    operator["TIDEGATE_ADMIN_TOKEN"] = token.read_text().strip()

    def keys(*words: str) -> str:
        told = CliRunner().invoke(main, ["keys", *words, "--config", str(path)], env=operator)
        assert told.exit_code == 0, told.output
        return told.stdout.strip()

    async def codes() -> set[str | None]:
        """What is answered now, by whichever process takes the connection."""
        asked = [ask(serving.address, key=secret) for _ in range(16)]
        return {answer.code for answer in await asyncio.gather(*asked)}

    secret = await asyncio.to_thread(keys, "create", "guest", "--team", "product")
    while await codes() != {None}:
        pass
    await asyncio.to_thread(keys, "block", "guest")
    while await codes() != {"key_blocked"}:
        pass

    # Which process takes a connection is the kernel's choice, and may be the same one each time.
    assert serving.end() == 0
