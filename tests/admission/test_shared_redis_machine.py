"""The engine in Redis, held to the same contract by the same machine as the embedded one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator, Iterable, Sequence

import pytest
from admission_contract import machine
from msgspec import structs
from redis_server import client, redis_server, until, url

from tidegate.admission.engine import Ask, Spent, Ticket
from tidegate.admission.shared import Shared, SharedSettings
from tidegate.limits import Balance, Budget, Rule, Scope

UNREACHED = 1_000_000
"""Redis counts running requests and steps from when they are limited on, so they always are."""
numbers = itertools.count()
port = 0


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    global port  # the machine makes its subjects out of nothing
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield


class SharedSubject:
    """An engine on a loop that turns only while something is asked of it."""

    def __init__(self, rules: Iterable[Rule], now_s: float) -> None:
        self.now_s = now_s
        self.runner = asyncio.Runner()
        self.runner.run(self._begin(rules))

    async def _begin(self, rules: Iterable[Rule]) -> None:
        settings = SharedSettings(timeout_s=20, prefix=f"example{next(numbers)}")
        self.engine = Shared(
            url(port), limited(rules), settings=settings, monotonic=lambda: self.now_s
        )
        self.running = asyncio.create_task(self.engine.run())
        await until(lambda: self.engine.link.is_up)

    def advance(self, duration_s: float) -> None:
        self.now_s += duration_s

    def admit(self, ask: Ask) -> Ticket:
        async def admitted() -> Ticket:
            return await self.engine.admit(ask)

        return self.runner.run(admitted())

    def extend(self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int) -> None:
        async def extended() -> None:
            await self.engine.extend(ticket, scopes, tokens, nanousd)

        self.runner.run(extended())

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None:
        async def settled() -> None:
            self.engine.settle(ticket, spent)

        self.runner.run(settled())

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None:
        return self.engine.soft(scopes, unix_ns)

    def restore(self, balances: Iterable[Balance]) -> None:
        async def restored() -> None:
            self.engine.restore(balances)
            await until(lambda: not self.engine.incomplete)

        self.runner.run(restored())

    def replace(self, rules: Iterable[Rule]) -> None:
        async def replaced() -> None:
            self.engine.replace(limited(rules))
            await until(lambda: self.engine.parts.known <= self.engine.parts.budgets)

        self.runner.run(replaced())

    def close(self) -> None:
        async def ended() -> None:
            self.running.cancel()
            await asyncio.wait([self.running])

        self.runner.run(ended())
        self.runner.close()
        with client(port) as asking:
            asking.flushall()


def limited(rules: Iterable[Rule]) -> list[Rule]:
    return [
        structs.replace(
            rule,
            limits=structs.replace(
                rule.limits,
                concurrency=UNREACHED if rule.limits.concurrency is None
                else rule.limits.concurrency,
                steps=UNREACHED if rule.limits.steps is None else rule.limits.steps,
            ),
        )
        for rule in rules
    ]  # fmt: skip


TestShared = machine(SharedSubject, examples=30).TestCase
