"""A process that spends what it can of one budget, and says each admission and each charge first.

Its lines are to it what records are to a gateway: written before anything depends on them.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress

from redis_gateways import Gateways, ask, balance
from redis_server import until

from tidegate.admission.engine import Spent
from tidegate.admission.shared import Shared
from tidegate.errors import BudgetReached
from tidegate.limits import Budget, Limits, Rule

BUDGET = Budget(200_000, "month")
RULES = [Rule("team", Limits(budgets=(BUDGET,), concurrency=1_000))]
AT_ONCE = 16


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def spend(engine: Shared, requests: int, draw: random.Random, *, expires_s: float) -> None:
    for _ in range(requests):
        wanted = ask(draw.randint(0, 300), expires_s=expires_s)
        try:
            ticket = await engine.admit(wanted)
        except BudgetReached:
            continue
        say("held", wanted.request_id, wanted.nanousd)
        if draw.random() < 0.3:
            await asyncio.sleep(0)
        if draw.random() < 0.2:
            try:
                await engine.extend(ticket, [], 0, 100)
            except BudgetReached:
                pass
            else:
                say("held", wanted.request_id, ticket.held_nanousd)
        spent = draw.randint(0, ticket.held_nanousd)
        say("spent", wanted.request_id, spent)
        engine.settle(ticket, [Spent("p", 1, spent)])


async def main(port: int, seed: int, requests: int, expires_s: float) -> None:
    gateways = Gateways()
    engine = await gateways.begin(port, RULES, balances=[balance(0, BUDGET)])
    draw = random.Random(seed)
    say("begun")
    await asyncio.gather(
        *(spend(engine, requests, draw, expires_s=expires_s) for _ in range(AT_ONCE))
    )
    await until(lambda: not engine.running and len(engine.untold) == 0)
    with suppress(BudgetReached):  # answered after everything else has been
        await engine.admit(ask(BUDGET.nanousd + 1))
    await gateways.end()
    say("done")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
