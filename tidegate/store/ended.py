"""How requests of aliases ended in a time, and how many of them were slow: from the roll-ups.

Days that are over are told by their marginals, which are few; the rest by the roll-ups themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Select, func, select

from tidegate.store.database import Database
from tidegate.store.marginals import read, written
from tidegate.store.rollups import Piece, kept, pieces
from tidegate.store.stale import DAY_S, stretches
from tidegate.store.tables.marginals import marginals
from tidegate.store.tables.money import rollup_groups, rollups_day

_FACE: Final = "alias,outcome"


class Ended(Struct, frozen=True):
    """Requests of one class of outcome."""

    requests: int
    slow: int


_Row = tuple[str | None, str | None, int, int]
_Query = Select[Any, Any, Any, Any]


def ended(
    database: Database, aliases: Collection[str], since_ns: int, until_ns: int
) -> Mapping[tuple[str, str], Ended]:
    """The requests of `aliases`, by alias and class of outcome. Raises: `SQLAlchemyError`."""
    found: dict[tuple[str, str], Ended] = {}
    if not aliases:
        return found
    with database.reading(still=True) as connection:
        for piece in pieces(*kept(connection, since_ns, until_ns)):
            for alias, outcome, requests, slow in _piece(connection, aliases, piece):
                at = alias or "", outcome or ""
                there = found.get(at, Ended(0, 0))
                found[at] = Ended(there.requests + requests, there.slow + slow)
    return found


def _piece(connection: Connection, aliases: Collection[str], piece: Piece) -> Iterator[_Row]:
    table, from_s, to_s = piece
    if table is not rollups_day:
        yield from _told(connection, _plain(aliases, piece))
        return
    for stretch in stretches(connection, DAY_S, from_s, to_s):
        if stretch.made:
            query = _marginal(aliases, stretch.from_s, stretch.to_s)
            for alias, outcome, requests, slow in _told(connection, query):
                yield read(alias or ""), read(outcome or ""), requests, slow
        else:
            yield from _told(connection, _plain(aliases, (table, stretch.from_s, stretch.to_s)))


def _plain(aliases: Collection[str], piece: Piece) -> _Query:
    table, from_s, to_s = piece
    groups = rollup_groups.c
    return (
        select(groups.alias, groups.outcome, func.sum(table.c.requests), func.sum(table.c.slow))
        .join_from(table, rollup_groups, groups.id == table.c.group_id)
        .where(table.c.began_s >= from_s, table.c.began_s < to_s)
        .where(groups.alias.in_(sorted(aliases)))
        .group_by(groups.alias, groups.outcome)
    )


def _marginal(aliases: Collection[str], from_s: int, to_s: int) -> _Query:
    one = marginals.c
    return (
        select(one.name, one.other, func.sum(one.requests), func.sum(one.slow))
        .where(one.span_s == DAY_S, one.face == _FACE)
        .where(one.began_s >= from_s, one.began_s < to_s)
        .where(one.name.in_([written(alias) for alias in sorted(aliases)]))
        .group_by(one.name, one.other)
    )


def _told(connection: Connection, query: _Query) -> Iterator[_Row]:
    for alias, outcome, requests, slow in connection.execute(query):
        yield alias, outcome, int(requests), int(slow)
