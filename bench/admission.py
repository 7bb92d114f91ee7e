"""What admission costs a request: `python -m bench.admission` prints microseconds.

Eight scopes, each with requests and tokens per minute, concurrency and a monthly budget. What is
timed is `admit` alone, and `admit` with `settle`; the clock is the machine's, as in the gateway.
"""

from __future__ import annotations

import gc
import statistics
import time

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Spent
from tidegate.limits import KINDS, MINUTE_S, Budget, Limits, Rate, Rule

ROUNDS, REQUESTS = 200, 500
LIMITS = Limits(
    requests=(Rate(10**9, MINUTE_S),),
    tokens=(Rate(10**12, MINUTE_S),),
    concurrency=10**6,
    budgets=(Budget(10**15),),
)
SPENT = (Spent("provider-name", 900, 1_000),)


def main() -> None:
    for name, kinds in (("eight scopes", KINDS), ("no limits", ())):
        engine = Embedded([Rule(kind, LIMITS) for kind in kinds], monotonic=time.monotonic)
        engine.restore(())
        admit_us, both_us = measure(engine)
        print(f"{name}: admit {shown(admit_us)}; admit and settle {shown(both_us)}")


def measure(engine: Embedded) -> tuple[list[float], list[float]]:
    """Microseconds for a request, of each round."""
    admits: list[float] = []
    both: list[float] = []
    for _ in range(ROUNDS):
        # As a request brings them: strings and tuples of its own.
        asks = [
            Ask(
                str(number),
                tuple((kind, f"{kind}-name") for kind in KINDS),
                1_000,
                5_000,
                time.time_ns(),
                60.0,
            )
            for number in range(REQUESTS)
        ]
        gc.collect()
        began = time.perf_counter()
        tickets = [engine.admit(ask) for ask in asks]
        admitted = time.perf_counter()
        for ticket in tickets:
            engine.settle(ticket, SPENT)
        admits.append((admitted - began) / REQUESTS * 1e6)
        both.append((time.perf_counter() - began) / REQUESTS * 1e6)
    return admits, both


def shown(times_us: list[float]) -> str:
    return f"median {statistics.median(times_us):.2f} µs, min {min(times_us):.2f} µs"


if __name__ == "__main__":
    main()
