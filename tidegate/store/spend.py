"""What was spent, by whom or by what, over a time: answered from the roll-ups.

The middle of the time is taken from whole days, its ends from hours and minutes, so that a month
costs hardly more than a day. Days are those of UTC. The time counts by the minute; where minutes or
hours are so old that they are not kept any more, by the hour or the day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    case,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from tidegate.store.database import Database
from tidegate.store.sums import COUNTS, DAY_S, FINE, HOUR_S, MINUTE_S
from tidegate.store.tables.money import rollup_groups, rollups_day, rollups_hour, rollups_minute
from tidegate.store.tables.records import records

Of = Literal[
    "key", "user", "team", "organisation", "feature", "alias", "model", "provider", "outcome",
]  # fmt: skip
"""What roll-ups know of a request; `outcome` is its class."""
By = Of | Literal["conversation", "day", "hour"]
OF: Final[tuple[str, ...]] = get_args(Of)
_SECOND_NS = 10**9
_SPANS: Final[Mapping[str, int]] = {"day": DAY_S, "hour": HOUR_S}

Piece = tuple[Table, int, int]
"""A table of roll-ups, and from when until before when it is taken from; in seconds."""


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


class SpendStore:
    """The roll-ups of a database, to be asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spend(self, asked: SpendQuery) -> Spending:
        """Answer. Raises: `SQLAlchemyError`.

        What concerns conversations is counted from records, as far as they are kept, and takes as
        long as there are many of them.
        """
        with self._database.reading() as connection:
            if asked.by == "conversation" or "conversation" in asked.filters:
                found = _from_records(connection, asked)
            else:
                found = _from_rollups(connection, asked)
        return _ordered(asked, found)

    def over_time(self, asked: SpendQuery, step: Literal["hour", "day"]) -> list[Bar]:
        """What each name of `asked.by` has cost in each step. Raises: `SQLAlchemyError`.

        `top` is not looked at; `by` is none of `conversation`, `day` and `hour`.
        """
        with self._database.reading() as connection:
            since_s, until_s = kept(connection, asked.since_ns, asked.until_ns)
            whole = step == "day"
            chosen = list(pieces(since_s, until_s)) if whole else _in_hours(since_s, until_s)
            if not chosen:
                return []
            query = _by_both(chosen, rollup_groups.c[asked.by], _SPANS[step], asked)
            return [Bar(int(row[0]), row[1], int(row[2])) for row in connection.execute(query)]


def pieces(since_s: int, until_s: int) -> Iterator[Piece]:
    """Whole days in the middle, whole hours and then minutes on either side."""
    after: list[Piece] = []
    for table, wider_s in ((rollups_minute, HOUR_S), (rollups_hour, DAY_S)):
        begin_s, end_s = -(-since_s // wider_s) * wider_s, until_s // wider_s * wider_s
        if begin_s > end_s:  # all within one of the wider ones
            yield table, since_s, until_s
            since_s = until_s = 0
            break
        if since_s < begin_s:
            yield table, since_s, begin_s
        if end_s < until_s:
            after.append((table, end_s, until_s))
        since_s, until_s = begin_s, end_s
    if since_s < until_s:
        yield rollups_day, since_s, until_s
    yield from after


def _from_rollups(connection: Connection, asked: SpendQuery) -> list[Spent]:
    since_s, until_s = kept(connection, asked.since_ns, asked.until_ns)
    chosen = list(pieces(since_s, until_s))
    if asked.by == "hour":
        chosen = _in_hours(since_s, until_s)
    if not chosen:
        return []
    if asked.by in _SPANS:
        query = _by_span(chosen, _SPANS[asked.by], asked)
    else:
        query = _by_group(chosen, rollup_groups.c[asked.by], asked)
    found = connection.execute(query).mappings()
    return [_spent(row, _SPANS.get(asked.by)) for row in found]


def _by_span(chosen: list[Piece], span_s: int, asked: SpendQuery) -> Select[Any]:
    parts: list[Select[Any]] = []
    for table, from_s, to_s in chosen:
        when = _span(table.c.began_s, span_s)
        part = select(when.label("name"), *_sums(table.c)).where(*_within(table, from_s, to_s))
        if asked.filters:
            meant = select(rollup_groups.c.id).where(*_passing(asked))
            part = part.where(table.c.group_id.in_(meant))
        parts.append(part.group_by(when))
    inner = union_all(*parts).subquery()
    return select(inner.c.name, *_sums(inner.c)).group_by(inner.c.name)


def _by_group(chosen: list[Piece], name: ColumnElement[Any], asked: SpendQuery) -> Select[Any]:
    parts: list[Select[Any]] = []
    for table, from_s, to_s in chosen:
        part = select(table.c.group_id, *_sums(table.c)).where(*_within(table, from_s, to_s))
        parts.append(part.group_by(table.c.group_id))
    inner = union_all(*parts).subquery()
    both = inner.join(rollup_groups, rollup_groups.c.id == inner.c.group_id)
    query = select(name.label("name"), *_sums(inner.c)).select_from(both)
    return query.where(*_passing(asked)).group_by(name)


def _by_both(
    chosen: list[Piece], name: ColumnElement[Any], span_s: int, asked: SpendQuery
) -> Select[Any, Any, Any]:
    parts: list[Select[Any, Any, Any]] = []
    for table, from_s, to_s in chosen:
        when = _span(table.c.began_s, span_s)
        cost = func.sum(table.c.cost_nanousd).label("cost")
        part = select(when.label("began_s"), table.c.group_id, cost).where(
            *_within(table, from_s, to_s)
        )
        parts.append(part.group_by(when, table.c.group_id))
    inner = union_all(*parts).subquery()
    both = inner.join(rollup_groups, rollup_groups.c.id == inner.c.group_id)
    query = select(inner.c.began_s, name, func.sum(inner.c.cost)).select_from(both)
    return query.where(*_passing(asked)).group_by(inner.c.began_s, name)


def _sums(columns: ReadOnlyColumnCollection[str, Any]) -> list[ColumnElement[Any]]:
    return [func.sum(columns[count]).label(count) for count in COUNTS]


def _within(table: Table, from_s: int, to_s: int) -> tuple[ColumnElement[bool], ...]:
    return table.c.began_s >= from_s, table.c.began_s < to_s


def _passing(asked: SpendQuery) -> list[ColumnElement[bool]]:
    return [rollup_groups.c[of] == value for of, value in asked.filters.items()]


def _from_records(connection: Connection, asked: SpendQuery) -> list[Spent]:
    span_s = _SPANS.get(asked.by)
    began = records.c.started_ns
    name: ColumnElement[Any]
    if span_s is not None:
        name = _span(began / literal_column(str(_SECOND_NS), BigInteger), span_s)
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


def _span(seconds: ColumnElement[int], span_s: int) -> ColumnElement[int]:
    # Spelled out, not bound: PostgreSQL takes two parameters for two different groupings.
    size = literal_column(str(span_s), BigInteger)
    return seconds - seconds % size


def kept(connection: Connection, since_ns: int, until_ns: int) -> tuple[int, int]:
    """The time in whole minutes, or hours or days where no finer sums are kept; in seconds."""
    since_s = since_ns // _SECOND_NS // MINUTE_S * MINUTE_S
    until_s = -(-until_ns // _SECOND_NS // MINUTE_S) * MINUTE_S
    for table, wider_s in ((rollups_minute, HOUR_S), (rollups_hour, DAY_S)):
        oldest_s = connection.execute(select(func.min(table.c.began_s))).scalar()
        if oldest_s is None:
            continue
        if since_s < oldest_s:
            since_s = since_s // wider_s * wider_s
        if until_s < oldest_s:
            until_s = until_s // wider_s * wider_s
    return since_s, max(since_s, until_s)


def _in_hours(since_s: int, until_s: int) -> list[Piece]:
    # As `pieces`, but a day of its hours.
    return [
        (rollups_hour if table is rollups_day else table, from_s, to_s)
        for table, from_s, to_s in pieces(since_s, until_s)
    ]


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
