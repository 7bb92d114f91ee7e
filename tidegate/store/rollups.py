"""What roll-ups come to in a time, by name and by step: taken from the fewest sums that know it.

The middle of the time is taken from whole days, its ends from hours and minutes; hours and days
from their marginals where there are some that know all the names. Days are those of UTC. The time
counts by the minute; where minutes or hours are so old that they are not kept any more, by the hour
or the day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    func,
    literal_column,
    null,
    or_,
    select,
)

from tidegate.store.marginals import column_of, face_of, read, written
from tidegate.store.stale import Stretch, stretches
from tidegate.store.sums import COUNTS, DAY_S, HOUR_S, MINUTE_S
from tidegate.store.tables.marginals import marginals
from tidegate.store.tables.money import rollup_groups, rollups_day, rollups_hour, rollups_minute

_SECOND_NS: Final = 10**9

Piece = tuple[Table, int, int]
"""A table of roll-ups, and from when until before when it is taken from; in seconds."""
Counts = tuple[int, ...]
Found = dict[tuple[int, str | None], Counts]
"""The counts of each step and name."""


@dataclass(frozen=True, slots=True)
class Summed:
    """What is asked: from `since_ns` until before `until_ns`, of what passes every filter."""

    since_ns: int
    until_ns: int
    by: str | None = None
    """None is everything together: the name is None, too."""
    step_s: int | None = None
    """Of hours or days; None is the whole time, whose beginning is told as 0."""
    filters: Mapping[Any, str] = field(default_factory=dict[Any, str])
    counts: tuple[str, ...] = COUNTS
    names: tuple[str | None, ...] | None = None
    """Only these of `by`."""


def summed(connection: Connection, asked: Summed) -> Found:
    """Answer, in a transaction that sees one state of the data. Raises: `SQLAlchemyError`."""
    since_s, until_s = kept(connection, asked.since_ns, asked.until_ns)
    found: Found = {}
    for piece in pieces(since_s, until_s, days=asked.step_s != HOUR_S):
        for at, counts in _piece(connection, asked, piece):
            there = found.get(at)
            found[at] = counts if there is None else tuple(map(int.__add__, there, counts))
    return found


def pieces(since_s: int, until_s: int, *, days: bool = True) -> Iterator[Piece]:
    """Whole days in the middle, whole hours and then minutes on either side.

    Without `days`, hours are in the middle.
    """
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
        yield (rollups_day if days else rollups_hour), since_s, until_s
    yield from after


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


_Rows = Iterator[tuple[tuple[int, str | None], Counts]]


def _piece(connection: Connection, asked: Summed, piece: Piece) -> _Rows:
    table, from_s, to_s = piece
    span_s = {rollups_hour: HOUR_S, rollups_day: DAY_S}.get(table)
    names = {*asked.filters, *([] if asked.by is None else [asked.by])}
    face = None if span_s is None else face_of(span_s, names)
    if span_s is None or face is None:
        yield from _plain(connection, asked, piece)
        return
    for stretch in stretches(connection, span_s, from_s, to_s):
        if stretch.made:
            mine = marginals.c.span_s == span_s, marginals.c.face == face
            yield from _marginal(connection, asked, face, stretch, *mine)
        else:
            yield from _plain(connection, asked, (table, stretch.from_s, stretch.to_s))


def _plain(connection: Connection, asked: Summed, piece: Piece) -> _Rows:
    table, from_s, to_s = piece
    groups = rollup_groups.c
    by = None if asked.by is None else groups[asked.by]
    query = _sums(asked, table, by)
    query = query.where(table.c.began_s >= from_s, table.c.began_s < to_s)
    if by is not None or asked.filters:
        query = query.join_from(table, rollup_groups, groups.id == table.c.group_id)
    passing: list[ColumnElement[bool]] = [
        groups[name] == value for name, value in asked.filters.items()
    ]
    if by is not None and asked.names is not None:
        passing.append(or_(*(by.is_not_distinct_from(name) for name in asked.names)))
    if passing and table is rollups_day:  # of many groups few pass, and those alone are looked up
        query = query.where(table.c.group_id.in_(select(groups.id).where(*passing)))
    for row in map(tuple, connection.execute(query.where(*passing))):
        yield (int(row[0]), row[1]), tuple(map(int, row[2:]))


def _marginal(
    connection: Connection, asked: Summed, face: str, at: Stretch, *mine: ColumnElement[bool]
) -> _Rows:
    by = None if asked.by is None else column_of(face, asked.by)
    began = marginals.c.began_s
    query = _sums(asked, marginals, by).where(*mine, began >= at.from_s, began < at.to_s)
    for name, value in asked.filters.items():
        query = query.where(column_of(face, name) == written(value))
    if by is not None and asked.names is not None:
        query = query.where(by.in_([written(name) for name in asked.names]))
    for row in map(tuple, connection.execute(query)):
        yield (int(row[0]), read(row[1] or "")), tuple(map(int, row[2:]))


def _sums(asked: Summed, table: Table, by: ColumnElement[Any] | None) -> Select[Any, Any, Any]:
    began = table.c.began_s
    step = None if asked.step_s is None else in_steps(began, asked.step_s)
    counts = [func.sum(table.c[count]) for count in asked.counts]
    said = (
        (literal_column("0", BigInteger) if step is None else step),
        (null() if by is None else by),
    )
    query: Select[Any, Any, Any] = select(*said, *counts)
    grouped = [each for each in (step, by) if each is not None]
    return query.group_by(*grouped) if grouped else query.having(func.count() > 0)


def in_steps(seconds: ColumnElement[int], step_s: int) -> ColumnElement[int]:
    """When the step began that a moment is in."""
    # Spelled out, not bound: PostgreSQL takes two parameters for two different groupings.
    size = literal_column(str(step_s), BigInteger)
    return seconds - seconds % size
