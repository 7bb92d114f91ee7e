"""What Redis holds for requests that are over is closed by their records."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import free_port
from spools import Spool

from tidegate.admission.engine import Ask
from tidegate.admission.shared import Shared
from tidegate.admission.shared_reaper import Reaper
from tidegate.control.closing import Closing, spent_of
from tidegate.control.loader import Loader
from tidegate.control.lost import settle_lost
from tidegate.limits import Budget, Limits, Rule, Scope
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Attempt, Record, encode

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
TEAM: Scope = ("team", "search")
RULE = Rule("team", Limits(budgets=(Budget(10_000, "total"),)))
NOW_NS = time.time_ns()
HOUR_NS = 3600 * 10**9


class Later:
    """A clock that is ahead of everybody's."""

    def __init__(self, ahead_ns: int) -> None:
        self._ahead_ns = ahead_ns

    def now_ns(self) -> int:
        return time.time_ns() + self._ahead_ns

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    if SERVER is None:
        pytest.skip("NOT TESTED: there is no redis-server on the PATH")
    port = free_port()
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", "--dir", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        until_s = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until_s, "redis-server does not answer"
        yield port
        process.kill()


def _answers(port: int) -> bool:
    with suppress(redis.RedisError), redis.Redis(port=port) as asking:
        return bool(asking.ping())
    return False


@pytest.fixture
async def engine(port: int) -> AsyncGenerator[Shared]:
    engine = Shared(f"redis://127.0.0.1:{port}", [RULE])
    engine.restore([])
    running = asyncio.create_task(engine.run())
    async with asyncio.timeout(60):
        while engine.incomplete:  # noqa: ASYNC110 - Redis makes it so
            await asyncio.sleep(0.01)
    yield engine
    running.cancel()
    await asyncio.wait([running])


def money(port: int) -> tuple[int, int]:
    names = [f"{{tidegate}}:{what}:total:UTC:0:team:search" for what in ("spent", "held")]
    with redis.Redis(port=port) as asking:
        found: Any = asking.mget(names)
    return int(found[0]), int(found[1])


def record(name: str, **fields: Any) -> bytes:
    usual: dict[str, Any] = {"started_ns": NOW_NS, "worker": "gw-0", "team": "search"}
    usual |= {"wire": "chat", "path": "/", "config_version": "c"}
    return encode(Record(request_id=name, **{**usual, **fields}))


def held(name: str) -> bytes:
    return record(name, outcome="held", held_nanousd=1000, expires_ms=1.0)


async def hold(engine: Shared, name: str, expires_s: float = 600.0) -> None:
    await engine.admit(Ask(name, (TEAM,), 1, 1000, NOW_NS, expires_s))


async def test_lost_request_is_closed_as_soon_as_it_is_given_up(
    engine: Shared, port: int, spool: Spool, store: RecordStore
) -> None:
    closing = Closing(store, f"redis://127.0.0.1:{port}")
    await hold(engine, "a")
    await hold(engine, "b")
    spool.segment("01-gw", held("a"), held("b"))
    loader = Loader(spool.directory, store)
    loader.load()
    assert await closing.look() == 0
    assert money(port) == (0, 2000)
    settle_lost(store, loader.spool, NOW_NS, "upper", {"gw-0": NOW_NS + 1})
    assert await closing.look() == 2
    assert await closing.look() == 0
    assert money(port) == (2000, 0)
    closing.close()
    loader.close()


async def test_hold_past_its_time_is_closed_by_its_record_or_waits_for_one(
    engine: Shared, port: int, spool: Spool, store: RecordStore
) -> None:
    url = f"redis://127.0.0.1:{port}"
    closing = Closing(store, url, reaper=Reaper(url, grace_s=0))
    await hold(engine, "known", expires_s=0.001)
    await hold(engine, "unknown", expires_s=0.001)
    spool.segment("01-gw", held("known"), record("known", cost_nanousd=70))
    loader = Loader(spool.directory, store)
    loader.load()
    while money(port) != (70, 1000):
        await closing.look()
    await closing.look()
    assert money(port) == (70, 1000)
    much_later = Closing(store, url, reaper=Reaper(url, grace_s=0), clock=Later(2 * HOUR_NS))
    assert await much_later.look() == 1
    assert money(port) == (70, 0)
    closing.close()
    much_later.close()
    loader.close()


async def test_record_that_comes_after_an_hour_is_charged_once(
    engine: Shared, port: int, spool: Spool, store: RecordStore
) -> None:
    url = f"redis://127.0.0.1:{port}"
    reaper = Reaper(url, grace_s=0, again_s=0)
    away = Closing(store, url, reaper=reaper, clock=Later(2 * HOUR_NS))
    back = Closing(store, url, reaper=reaper)
    await hold(engine, "away", expires_s=0.001)
    while money(port) != (0, 0):
        await away.look()
    assert await back.look() == 0
    spool.segment("01-gw", held("away"), record("away", cost_nanousd=70))
    loader = Loader(spool.directory, store)
    loader.load()
    assert await back.look() == 1
    assert await back.look() == 0
    assert money(port) == (70, 0)
    with redis.Redis(port=port) as asking:
        assert not asking.exists("{tidegate}:holds", "{tidegate}:unrecorded")
    back.close()
    loader.close()


def test_each_provider_is_paid_what_was_spent_there() -> None:
    tries = [Attempt("p/m", "upstream_cut", 0.0, 1.0, cost_nanousd=30, output_tokens=3)]
    tries.append(Attempt("q/m", "ok", 0.0, 1.0))
    whole = Record("r", 0, "gw-0", "chat", "/", "c", provider="q", attempts=tries)
    whole.cost_nanousd, whole.input_tokens = 100, 7
    found = {each.provider: (each.tokens, each.nanousd) for each in spent_of(whole)}
    assert found == {"p": (3, 30), "q": (7, 70)}
