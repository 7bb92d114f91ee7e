"""Processes are killed while money is held: no budget is passed, and nothing is charged twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from spending import CAP_NANOUSD, PATIENCE_S, Books, Callers, Serving, ask, until, written

from tidegate.ledger.segment import SUFFIX
from tidegate.providers.simulated.server import Server, start
from tidegate.providers.simulated.settings import Settings

AT_ONCE = 6


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


def store_of(directory: Path) -> str:
    return f"sqlite:///{directory}/tidegate.db"


async def refused_at_last(serving: Serving) -> None:
    """Ask until the budget is used up: whoever is told so is told what is true."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await ask(serving.address)).code != "budget_exceeded":
            assert answer.code in {None, "limits_unavailable"}


@pytest.mark.parametrize("policy", ["upper", "delivered", "zero"])
async def test_gateway_killed_under_load_passes_no_budget(
    tmp_path: Path, sim: Server, serve: Callable[[Path], Serving], policy: str
) -> None:
    serving = await asyncio.to_thread(serve, written(tmp_path, sim.base_url, lost=policy))
    callers = Callers([lambda: serving.address], random.Random(11))
    spool, kept = tmp_path / ".tidegate" / "spool", tmp_path / "kept"
    kept.mkdir()
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(callers.ask_on(number))
        for _ in range(2 if policy == "upper" else 1):
            before = callers.count()
            await until(lambda b=before: callers.count() >= b + 15)
            for segment in spool.glob(f"*{SUFFIX}"):
                with suppress(FileNotFoundError, FileExistsError):  # loaded, or not yet
                    os.link(segment, kept / segment.name)
            serving.kill("gw-0")
            await serving.hears(child="gw-0", message="gw-0 started")
        await until(lambda: callers.count("budget_exceeded") >= AT_ONCE)
        callers.stopped = True
    await refused_at_last(serving)
    assert await asyncio.to_thread(serving.end) == 0
    books = Books.of(store_of(tmp_path))
    books.check(callers, sim.stats if policy == "upper" else None)
    assert books.lost
    for record in books.lost:
        assert record.held_nanousd
        assert record.cost_nanousd is not None
        if policy == "upper":
            assert record.cost_nanousd == record.held_nanousd
        elif policy == "zero":
            assert record.cost_nanousd == 0
        else:
            assert 0 < record.cost_nanousd <= record.held_nanousd
    assert books.spent > CAP_NANOUSD - max(r.held_nanousd or 0 for r in books.records)

    for segment in kept.iterdir():  # the same once more
        os.link(segment, spool / segment.name)
    again = await asyncio.to_thread(serve, tmp_path / "tidegate.yaml")
    await refused_at_last(again)
    assert await asyncio.to_thread(again.end) == 0
    assert not list(spool.glob(f"*{SUFFIX}"))
    replayed = Books.of(store_of(tmp_path))
    assert replayed.charged == replayed.spent == books.spent
    known = {record.request_id for record in books.records}
    assert {r.request_id for r in replayed.records if r.cost_nanousd} <= known


async def test_control_killed_under_load_disturbs_nobody_and_counts_once(
    tmp_path: Path, sim: Server, serve: Callable[[Path], Serving]
) -> None:
    serving = await asyncio.to_thread(serve, written(tmp_path, sim.base_url))
    await serving.hears(logger="tidegate.control", message="started")
    callers = Callers([lambda: serving.address], random.Random(12))
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(callers.ask_on(number))
        await until(lambda: callers.count() >= 10)
        unknown = callers.count("limits_unavailable")
        serving.kill("control")
        began = callers.count()
        await until(lambda: callers.count() >= began + 12)
        await serving.hears(logger="tidegate.control", message="started")
        callers.stopped = True
    assert await asyncio.to_thread(serving.end) == 0
    books = Books.of(store_of(tmp_path))
    books.check(callers, sim.stats)
    assert not books.lost
    assert callers.count("limits_unavailable") == unknown


async def test_everything_killed_and_begun_again_goes_on_with_what_was_spent(
    tmp_path: Path, sim: Server, serve: Callable[[Path], Serving]
) -> None:
    path = written(tmp_path, sim.base_url)
    serving = await asyncio.to_thread(serve, path)
    callers = Callers([lambda: serving.address], random.Random(13))
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(callers.ask_on(number))
        await until(lambda: callers.count() >= 12)
        await asyncio.to_thread(serving.kill_all)
        serving = await asyncio.to_thread(serve, path)
        await until(lambda: callers.count("budget_exceeded") >= AT_ONCE)
        callers.stopped = True
    await refused_at_last(serving)
    assert await asyncio.to_thread(serving.end) == 0
    books = Books.of(store_of(tmp_path))
    books.check(callers, sim.stats)
    assert books.lost
