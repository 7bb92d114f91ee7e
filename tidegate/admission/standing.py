"""What each scope has left, for the status board and for people: never asked on a request's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Struct

from tidegate.admission.rates import whole
from tidegate.admission.refusals import budget_name, rate_name
from tidegate.admission.scopes import Gauge
from tidegate.limits import Kind

MOST = 1_000


class Standing(Struct, frozen=True, omit_defaults=True):
    """One limit of one scope now. Money is in nano-dollars."""

    kind: Kind
    name: str
    limit: str
    """As settings have it: `requests_per_minute`, `concurrency`, `steps`, `usd_per_month`."""
    most: int
    left: int
    reset_s: float | None = None
    """None where it does not come back by itself."""
    held: int = 0
    """Of a budget: what running requests may still cost."""
    known: bool = True
    """Of a budget: whether what was spent before is known."""


def standings(
    gauges: Iterable[Gauge], now_s: float, unix_ns: int, most: int = MOST
) -> list[Standing]:
    """`most` limits at the most, of the scopes seen first."""
    return list(islice((one for gauge in gauges for one in _of(gauge, now_s, unix_ns)), most))


def _of(gauge: Gauge, now_s: float, unix_ns: int) -> Iterator[Standing]:
    kind, name = gauge.scope
    limits = gauge.limits
    for what, counters in (("requests", gauge.requests), ("tokens", gauge.tokens)):
        for counter in counters:
            left, reset_s = whole(counter.left(now_s)), counter.reset_s(now_s)
            said = rate_name(what, counter.window_s)
            yield Standing(kind, name, said, counter.limit, left, reset_s)
    if limits.concurrency is not None:
        left = max(limits.concurrency - gauge.active, 0)
        yield Standing(kind, name, "concurrency", limits.concurrency, left)
    if limits.steps is not None:
        yield Standing(kind, name, "steps", limits.steps, max(limits.steps - gauge.steps, 0))
    for purse in gauge.purses:
        budget, pot = purse.budget, purse.at(unix_ns)
        left = max(budget.nanousd - pot.settled - pot.held, 0)
        reset_s = None if budget.period == "total" else max(pot.ends_ns - unix_ns, 0) / 1e9
        said = budget_name(budget)
        yield Standing(kind, name, said, budget.nanousd, left, reset_s, pot.held, purse.known)
