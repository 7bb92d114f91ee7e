"""Gateways' engines on one Redis, for tests: begun and ended, with balances if they are wanted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from redis_server import until, url

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask
from tidegate.admission.shared import Shared, SharedSettings
from tidegate.admission.shared_spare import shares
from tidegate.limits import Balance, Budget, Limits, Rate, Rule, Scope, span_of

CAP = 1_000
BUDGET = Budget(CAP, "month")
TEAM: Scope = ("team", "product")
PATIENT_S = 20.0
HASTY_S = 0.1
MONEY = [Rule("team", Limits(budgets=(BUDGET,)))]
RUNNING = [Rule("team", Limits(concurrency=2))]
RATES = [Rule("team", Limits(requests=(Rate(20, 86_400),)))]
numbers = itertools.count()


def ask(nanousd: int = 0, *, expires_s: float = 600.0, scopes: Sequence[Scope] = (TEAM,)) -> Ask:
    name = f"req_{time.time_ns():x}{next(numbers)}"
    return Ask(name, tuple(scopes), 10, nanousd, time.time_ns(), expires_s)


def balance(nanousd: int, budget: Budget = BUDGET, scope: Scope = TEAM) -> Balance:
    began_ns = span_of(budget, time.time_ns()).began_ns
    return Balance(*scope, budget.period, budget.timezone, began_ns, nanousd)


def money(client: redis.Redis) -> tuple[int, int]:
    """Spent and held in all."""
    found = list[int]()
    for what in ("spent", "held"):
        names: Any = client.keys(f"{{tidegate}}:{what}:*")
        values: Any = client.mget(names) if names else []
        found.append(sum(map(int, values)))
    return found[0], found[1]


class Gateways:
    """Engines of one test."""

    def __init__(self) -> None:
        self.running: list[asyncio.Task[None]] = []
        self.asked = 0

    async def begin(
        self,
        port: int,
        rules: Iterable[Rule] = MONEY,
        *,
        timeout_s: float = PATIENT_S,
        fail_open: bool = False,
        share: float = 0.5,
        balances: Iterable[Balance] | None = (),
        at: str | None = None,
    ) -> Shared:
        """An engine that is up, and knows what was spent unless `balances` is None."""
        engine = self.make(
            port, rules, timeout_s=timeout_s, fail_open=fail_open, share=share,
            balances=balances, at=at,
        )  # fmt: skip
        await until(lambda: engine.link.is_up)
        if balances is not None:
            await until(lambda: not engine.incomplete)
        return engine

    def make(
        self,
        port: int,
        rules: Iterable[Rule] = MONEY,
        *,
        timeout_s: float = PATIENT_S,
        fail_open: bool = False,
        share: float = 0.5,
        balances: Iterable[Balance] | None = (),
        at: str | None = None,
    ) -> Shared:
        rules = list(rules)
        spare = None
        if fail_open:
            spare = Embedded(shares(rules, share), monotonic=time.monotonic)
        settings = SharedSettings(
            timeout_s=timeout_s, on_loss="fail_open" if fail_open else "fail_closed", share=share
        )

        def needs_balances() -> None:
            self.asked += 1
            if balances is not None:
                engine.restore(balances)

        engine = Shared(
            at or url(port), rules, settings=settings, spare=spare,
            needs_balances=needs_balances, draw=lambda: 0.0,
        )  # fmt: skip
        self.running.append(asyncio.create_task(engine.run()))
        return engine

    async def end(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
