"""What may be spent: limits on one scope, the periods of budgets, and balances.

A scope is a kind and a name: `("team", "product")`. Limits are counted for each scope apart. Money
is nano-dollars; times of day are Unix nanoseconds, so that a balance means the same on every
machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

Kind = Literal[
    "organisation", "team", "user", "key", "feature", "alias", "provider", "conversation"
]
KINDS: Final[tuple[Kind, ...]] = (
    "organisation", "team", "user", "key", "feature", "alias", "provider", "conversation",
)  # fmt: skip
Period = Literal["day", "week", "month", "total"]
Scope = tuple[Kind, str]

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
MOST_NANOUSD = 9_000_000 * 10**9
"""The highest budget: beyond 2^53 Redis's scripts can no longer count to the nano-dollar."""


class Rate(Struct, frozen=True):
    """At most `limit` within any `window_s` seconds."""

    limit: int
    window_s: int


class Budget(Struct, frozen=True):
    """At most `nanousd` within a period of the calendar in `timezone`; weeks begin on Monday."""

    nanousd: int
    period: Period = "month"
    timezone: str = "UTC"
    soft: float = 0.8
    """The share from which on it is warned of, or downgraded."""
    downgrade: str | None = None
    """The alias that is asked instead once the soft share is spent; None only warns."""


class Limits(Struct, frozen=True):
    """Everything that may be limited of one scope; what is empty or None is not."""

    requests: tuple[Rate, ...] = ()
    tokens: tuple[Rate, ...] = ()
    """Input and output together."""
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()
    steps: int | None = None
    """Requests of a conversation in all."""


class Rule(Struct, frozen=True):
    """Limits for the scope `kind`, `name`; without a name, for each scope of that kind apart.

    A rule with a name takes the place of the one without.
    """

    kind: Kind
    limits: Limits
    name: str | None = None


class Balance(Struct, frozen=True, array_like=True):
    """What a scope has spent in one period: settled, and held by nobody any more."""

    kind: Kind
    name: str
    period: Period
    timezone: str
    began_ns: int
    """When the period began; 0 for `total`."""
    nanousd: int


class OpenHold(Struct, frozen=True, array_like=True):
    """A request that has held money and is not settled yet, as its record says."""

    request_id: str
    until_s: float
    """Unix time at which it is over at the latest."""
    holds: tuple[Balance, ...]
    """What it holds of each budget, in the period that pays it."""


class Owed(Struct, frozen=True, array_like=True):
    """All that engines begin with, as it was at one moment."""

    balances: list[Balance]
    holds: list[OpenHold]


class Span(Struct, frozen=True):
    """One period of the calendar: from `began_ns` until before `ends_ns`, which None never is."""

    began_ns: int
    ends_ns: int | None


def span_of(budget: Budget, unix_ns: int) -> Span:
    """The period of `budget` that `unix_ns` falls in.

    Days, weeks and months begin at midnight of the budget's time zone, whatever its clocks do.
    Raises: `ZoneInfoNotFoundError` for a time zone that does not exist.
    """
    if budget.period == "total":
        return Span(0, None)
    zone = ZoneInfo(budget.timezone)
    now = datetime.fromtimestamp(unix_ns // 10**9, zone)
    first = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if budget.period == "day":
        after = first + timedelta(days=1)
    elif budget.period == "week":
        first -= timedelta(days=first.weekday())
        after = first + timedelta(days=7)
    else:
        first = first.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return Span(_unix_ns(first, zone), _unix_ns(after, zone))


def _unix_ns(local: datetime, zone: ZoneInfo) -> int:
    return round(local.replace(tzinfo=zone).astimezone(UTC).timestamp()) * 10**9
