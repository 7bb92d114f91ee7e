"""What `tidegate serve` measures of requests that were asked of it."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from control.exposition import read
from spending import Books, Serving, ask, written

from tidegate.providers.simulated.server import Server, start
from tidegate.providers.simulated.settings import Settings


@pytest.fixture
async def sim() -> AsyncGenerator[Server]:
    async with await start(Settings(seed=7, ttft="1ms", gap="0ms", length="8")) as server:
        yield server


@pytest.fixture
def closed() -> Iterator[list[Serving]]:
    begun: list[Serving] = []
    yield begun
    for serving in begun:
        serving.close()


def page(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return read(answer.read())


async def test_requests_and_processes_are_measured(
    tmp_path: Path, sim: Server, closed: list[Serving]
) -> None:
    serving = await asyncio.to_thread(Serving, written(tmp_path, sim.base_url))
    closed.append(serving)
    port = (await serving.hears(logger="tidegate.control", message="started"))["port"]
    answered = 0
    while answered < 5:
        answered += (await ask(serving.address)).code is None
    found: dict[str, float] = {}
    ratio = 'tidegate_limit_used_ratio{scope_kind="team",limit="usd_total"}'
    while sum(found.get(name, 0) for name in _requests(found)) < 5 or not found.get(ratio):
        found = await asyncio.to_thread(page, port)
    assert sum(found[name] for name in _requests(found)) == 5
    of = '{worker="gw-0"}'
    for name in (
        "requests_running", "holds_usd", "shed_total", "loop_lag_seconds", "spool_pending_bytes",
    ):  # fmt: skip
        assert found[f"tidegate_{name}{of}"] >= 0
    assert 0 < found[ratio] < 1
    assert any(name.startswith("tidegate_concurrency_limit{") for name in found)
    assert any(name.startswith("gen_ai_client_token_usage_bucket{") for name in found)
    assert found["tidegate_loader_lag_seconds"] < 60
    assert await asyncio.to_thread(serving.end) == 0
    books = Books.of(f"sqlite:///{tmp_path}/tidegate.db")
    cost = sum(value for name, value in found.items() if name.startswith("tidegate_cost_usd_total"))
    assert cost == pytest.approx(books.spent / 1e9, rel=1e-12)


def _requests(found: dict[str, float]) -> list[str]:
    return [
        name
        for name in found
        if name.startswith("tidegate_requests_total{") and 'outcome="ok"' in name
    ]
