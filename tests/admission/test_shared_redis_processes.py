"""Several processes on one budget, some of them killed: never above the cap, exact in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_server import client, redis_server, until, url
from redis_spender import BUDGET

from tidegate.admission.engine import Spent
from tidegate.admission.shared_reaper import Reaper

HERE = Path(__file__).parent


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with redis_server(tmp_path) as port:
        yield port


class Spender:
    """A process that spends, and what it has said."""

    def __init__(self, port: int, seed: int, requests: int, expires_s: float) -> None:
        command = [sys.executable, str(HERE / "redis_spender.py"), *map(str, (
            port, seed, requests, expires_s))]  # fmt: skip
        paths = os.pathsep.join(map(str, (HERE, HERE.parent, HERE.parents[1])))
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )
        self.held: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.begun = self.done = False
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break
            match line.split():
                case ["held", name, nanousd]:
                    self.held[name] = int(nanousd)
                case ["spent", name, nanousd]:
                    self.spent[name] = int(nanousd)
                case ["begun"]:
                    self.begun = True
                case _:
                    self.done = True

    def end(self) -> None:
        self.process.kill()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def spenders() -> Iterator[list[Spender]]:
    spenders: list[Spender] = []
    yield spenders
    for spender in spenders:
        spender.end()


def in_one_look(asking: redis.Redis) -> tuple[int, int]:
    """Spent and held, of the same moment."""
    found: Any = asking.keys("{tidegate}:held:*")
    names: list[bytes] = sorted(found)
    names += [name.replace(b":held:", b":spent:") for name in names]
    values: Any = asking.mget(names) if names else [b"0", b"0"]
    assert len(values) == 2
    return int(values[1] or 0), int(values[0] or 0)


async def test_many_processes_never_exceed_the_cap_and_add_up(
    port: int, spenders: list[Spender]
) -> None:
    spenders += [Spender(port, seed, 150, 60.0) for seed in range(3)]
    with client(port) as asking:
        while not all(spender.done for spender in spenders):
            assert sum(in_one_look(asking)) <= BUDGET.nanousd
            assert all(spender.process.poll() in {None, 0} for spender in spenders)
        spent, held = in_one_look(asking)
        said = sum(sum(spender.spent.values()) for spender in spenders)
        assert (spent, held) == (said, 0)
        assert spent > BUDGET.nanousd // 2
        assert not asking.keys("*:hold:*")
        assert not asking.keys("*:run:*")


async def test_holds_of_killed_processes_are_found_and_settled_once(
    port: int, spenders: list[Spender]
) -> None:
    spenders += [Spender(port, seed, 100_000, 0.5) for seed in range(3)]
    await until(lambda: all(len(spender.spent) > 50 for spender in spenders))
    for spender in spenders[:2]:
        spender.process.send_signal(signal.SIGKILL)
    await until(lambda: len(spenders[2].spent) > 400)
    spenders[2].process.send_signal(signal.SIGKILL)
    for spender in spenders:
        spender.end()
    held, spent = dict[str, int](), dict[str, int]()
    for spender in spenders:
        held |= spender.held
        spent |= spender.spent
    reaper = Reaper(url(port), grace_s=0)
    with client(port) as asking:
        while asking.zcard("{tidegate}:holds"):
            assert sum(in_one_look(asking)) <= BUDGET.nanousd
            for lost in await reaper.overdue(7):
                # What was held and never said to be spent goes by the upper bound.
                paid = spent.setdefault(lost.request_id, lost.held_nanousd)
                assert lost.held_nanousd >= held.get(lost.request_id, 0)
                assert await reaper.settle_lost(lost.request_id, [Spent("p", 1, paid)])
                assert not await reaper.settle_lost(lost.request_id, [Spent("p", 1, paid)])
        assert in_one_look(asking) == (sum(spent.values()), 0)
    reaper.close()
