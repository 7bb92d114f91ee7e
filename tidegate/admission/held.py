"""The ticket of the embedded engine, and which limits stand in a request's way."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from tidegate.admission.budgets import Pot
from tidegate.admission.engine import Ask, Left
from tidegate.admission.rates import Counter, whole
from tidegate.admission.refusals import (
    budget_reached,
    concurrency_reached,
    rate_name,
    rate_reached,
    steps_reached,
    unknown_spending,
)
from tidegate.admission.scopes import Gauge
from tidegate.errors import LimitReached, LimitsUnavailable
from tidegate.limits import Scope


class More(Struct):
    """Tokens that were taken at another time than the ticket's: by `extend`."""

    counter: Counter
    taken_s: float
    tokens: int
    first: bool
    """Whether this counter had counted nothing of the ticket before."""


class Held(Struct, eq=False):
    """What an admitted request holds. Each of `pots` holds `nanousd`."""

    requests: Left | None
    tokens: Left | None
    held_nanousd: int
    ask: Ask
    taken_s: float
    gauges: list[Gauge]
    counters: list[Counter]
    """Of tokens: each took what the ask says, at `taken_s`."""
    pots: list[Pot]
    nanousd: int
    rules: int
    """Which ones it was admitted by."""
    taken_tokens: int
    """With what extensions took."""
    more: list[More] | None = None
    further: tuple[Scope, ...] = ()
    settled: bool = False
    lapsed: bool = False


def reached(  # noqa: PLR0917 as many as there are things to compare
    gauge: Gauge, tokens: int, nanousd: int, unix_ns: int, now_s: float, holder: Held | None
) -> Iterator[LimitReached | LimitsUnavailable]:
    """What of `gauge` does not let the request through."""
    again = holder is not None
    scope = gauge.scope
    for what, count, counters in (
        ("requests", 0 if again else 1, gauge.requests),
        ("tokens", tokens, gauge.tokens),
    ):
        for counter in counters:
            left = counter.left(now_s)
            if count and left < count:
                yield rate_reached(
                    scope,
                    rate_name(what, counter.window_s),
                    counter.limit,
                    whole(left),
                    count,
                    retry_after_s=counter.retry_after_s(count, now_s),
                )
    if not again and gauge.active >= gauge.most:
        yield concurrency_reached(scope, int(gauge.most))
    if not again and gauge.steps >= gauge.most_steps:
        yield steps_reached(scope, int(gauge.most_steps))
    for purse in gauge.purses:
        pot = purse.at(unix_ns)
        if holder is not None and pot not in holder.pots:
            continue
        if not purse.known:
            yield unknown_spending(scope)
        elif nanousd and pot.settled + pot.held + nanousd > purse.limit:
            never = purse.budget.period == "total"
            ends_s = None if never else max(pot.ends_ns - unix_ns, 0) / 1e9
            yield budget_reached(scope, purse.budget, pot.settled, pot.held, nanousd, ends_s=ends_s)


def gravity(error: LimitReached | LimitsUnavailable) -> tuple[bool, float]:
    """Unknown balances first: what they hide may be worse. Then what no waiting helps."""
    wait_s = math.inf if error.retry_after_s is None else error.retry_after_s
    return isinstance(error, LimitsUnavailable), wait_s
