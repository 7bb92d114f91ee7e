"""What was spent, by whom or by what, over a time: answered from the roll-ups (`rollups.py`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    case,
    func,
    literal_column,
    select,
)

from tidegate.store.database import Database
from tidegate.store.rollups import Found, Summed, in_steps, summed
from tidegate.store.sums import COUNTS, DAY_S, FINE, HOUR_S
from tidegate.store.tables.records import records

Of = Literal[
    "key", "user", "team", "organisation", "feature", "alias", "model", "provider", "outcome",
]  # fmt: skip
"""What roll-ups know of a request; `outcome` is its class."""
By = Of | Literal["conversation", "day", "hour"]
OF: Final[tuple[str, ...]] = get_args(Of)
_SECOND_NS = 10**9
_MOST_NAMES: Final = 2
"""That there are marginals of."""
_COST: Final = COUNTS.index("cost_nanousd")
_SPANS: Final[Mapping[str, int]] = {"day": DAY_S, "hour": HOUR_S}


@dataclass(frozen=True, slots=True)
class SpendQuery:
    """What is asked: from `since_ns` until before `until_ns`, of what passes every filter."""

    by: By
    since_ns: int
    until_ns: int
    filters: Mapping[Of | Literal["conversation"], str] = field(default_factory=dict[Any, str])
    top: int | None = None
    """Only the dearest so many; of days and hours the latest."""


class Spent(Struct, frozen=True):
    """Sums over the requests of one `name`; tokens are None where only records could be asked."""

    name: str | None
    """None for requests that have none; a day or an hour is in ISO 8601, `2026-11-21T14:00Z`."""
    requests: int
    errors: int
    unpriced: int
    cost_nanousd: int
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    slow: int | None = None
    """Answered later than the alias's objective wants."""


class Spending(Struct, frozen=True):
    """The answer: the dearest first, or days and hours in their order; and all together."""

    rows: tuple[Spent, ...]
    total: Spent
    """Of everything that passed the filters, `top` or not."""


class Bar(NamedTuple):
    """What one name has cost in a step of the time that began at `began_s`, in Unix seconds."""

    began_s: int
    name: str | None
    cost_nanousd: int
    rest: bool = False
    """Whether it is of all other names."""


class SpendStore:
    """The roll-ups of a database, to be asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spend(self, asked: SpendQuery) -> Spending:
        """Answer. Raises: `SQLAlchemyError`.

        What concerns conversations is counted from records, as far as they are kept, and takes as
        long as there are many of them.
        """
        with self._database.reading(still=True) as connection:
            if asked.by == "conversation" or "conversation" in asked.filters:
                found = _from_records(connection, asked)
            else:
                found = _from_rollups(connection, asked)
        return _ordered(asked, found)

    def course(
        self, asked: SpendQuery, step: Literal["hour", "day"], most: int
    ) -> tuple[Spending, list[Bar]]:
        """As `spend`; and what the `most` dearest names have cost in each step, and the rest.

        `by` is none of `conversation`, `day` and `hour`. Raises: `SQLAlchemyError`.
        """
        whole = Summed(asked.since_ns, asked.until_ns, None, _SPANS[step], asked.filters)
        with self._database.reading(still=True) as connection:
            if len({asked.by, *asked.filters}) > _MOST_NAMES:  # all is looked through: but once
                found = summed(connection, replace(whole, by=asked.by))
                spending = _ordered(asked, _over_all(found))
                costs = {at: counts[_COST] for at, counts in found.items()}
                return spending, _bars(costs, spending.rows[:most])
            spending = _ordered(asked, _from_rollups(connection, asked))
            names = tuple(row.name for row in spending.rows[:most])
            whole = replace(whole, counts=("cost_nanousd",))
            costs = {at: cost for at, (cost,) in summed(connection, whole).items()}
            apart = replace(whole, by=asked.by, names=names)
            named = summed(connection, apart) if names else {}
        bars = [Bar(at_s, name, cost) for (at_s, name), (cost,) in named.items()]
        rest = {at_s: cost for (at_s, _), cost in costs.items()}
        for bar in bars:
            rest[bar.began_s] -= bar.cost_nanousd
        return spending, [*bars, *_rest(rest)]


def _bars(costs: Mapping[tuple[int, str | None], int], dearest: Sequence[Spent]) -> list[Bar]:
    names = {row.name for row in dearest}
    bars = [Bar(at_s, name, cost) for (at_s, name), cost in costs.items() if name in names]
    rest = defaultdict[int, int](int)
    for (at_s, name), cost in costs.items():
        rest[at_s] += cost * (name not in names)
    return [*bars, *_rest(rest)]


def _rest(costs: Mapping[int, int]) -> list[Bar]:
    return [Bar(at_s, None, cost, rest=True) for at_s, cost in costs.items() if cost]


def _over_all(found: Found) -> list[Spent]:
    whole: dict[str | None, tuple[int, ...]] = {}
    for (_, name), counts in found.items():
        there = whole.get(name)
        whole[name] = counts if there is None else tuple(map(int.__add__, there, counts))
    return [_counted(name, counts) for name, counts in whole.items()]


def _from_rollups(connection: Connection, asked: SpendQuery) -> list[Spent]:
    span_s = _SPANS.get(asked.by)
    by = None if span_s else asked.by
    found = summed(connection, Summed(asked.since_ns, asked.until_ns, by, span_s, asked.filters))
    return [
        _counted(_moment(at_s, span_s) if span_s else name, counts)
        for (at_s, name), counts in found.items()
    ]


def _counted(name: str | None, counts: tuple[int, ...]) -> Spent:
    told: dict[str, int] = dict(zip(COUNTS, counts, strict=True))
    return Spent(name, **told)  # type: ignore[arg-type]


def _from_records(connection: Connection, asked: SpendQuery) -> list[Spent]:
    span_s = _SPANS.get(asked.by)
    began = records.c.started_ns
    name: ColumnElement[Any]
    if span_s is not None:
        name = in_steps(began / literal_column(str(_SECOND_NS), BigInteger), span_s)
    else:
        name = records.c[asked.by]
    cost = records.c.cost_nanousd
    failed = case((records.c.outcome.in_(FINE), 0), else_=1)
    query = select(
        name.label("name"),
        func.count().label("requests"),
        func.sum(failed).label("errors"),
        func.coalesce(func.sum(cost), 0).label("cost_nanousd"),
    ).where(began >= asked.since_ns, began < asked.until_ns)
    query = query.where(*(records.c[of] == value for of, value in asked.filters.items()))
    return [_spent(row, span_s) for row in connection.execute(query.group_by(name)).mappings()]


def _spent(row: RowMapping, span_s: int | None) -> Spent:
    counts = {count: int(row[count]) for count in COUNTS if count in row}
    name: Any = row["name"]
    if span_s is not None:
        name = _moment(int(name), span_s)
    return Spent(name=name, **{"unpriced": 0, **counts})


def _moment(began_s: int, span_s: int) -> str:
    moment = datetime.fromtimestamp(began_s, UTC)
    return moment.strftime("%Y-%m-%d" if span_s == DAY_S else "%Y-%m-%dT%H:00Z")


def _ordered(asked: SpendQuery, found: list[Spent]) -> Spending:
    total = _total(found)
    if asked.by in {"day", "hour"}:
        found.sort(key=lambda spent: spent.name or "")
        return Spending(tuple(found[-asked.top :] if asked.top else found), total)
    found.sort(key=lambda spent: (-spent.cost_nanousd, -spent.requests, spent.name or ""))
    return Spending(tuple(found[: asked.top]), total)


def _total(found: list[Spent]) -> Spent:
    known = [count for count in COUNTS if all(getattr(each, count) is not None for each in found)]
    return Spent(
        name=None, **{count: sum(getattr(each, count) for each in found) for count in known}
    )
