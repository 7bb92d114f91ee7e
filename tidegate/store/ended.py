"""How requests of aliases ended in a time, and how many of them were slow: from the roll-ups."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct
from sqlalchemy import func, select, union_all

from tidegate.store.database import Database
from tidegate.store.rollups import kept, pieces
from tidegate.store.tables.money import rollup_groups


class Ended(Struct, frozen=True):
    """Requests of one class of outcome."""

    requests: int
    slow: int


def ended(
    database: Database, aliases: Collection[str], since_ns: int, until_ns: int
) -> Mapping[tuple[str, str], Ended]:
    """The requests of `aliases`, by alias and class of outcome. Raises: `SQLAlchemyError`."""
    with database.reading() as connection:
        chosen = list(pieces(*kept(connection, since_ns, until_ns)))
        if not chosen or not aliases:
            return {}
        groups = rollup_groups.c
        parts = [
            select(table.c.group_id, table.c.requests, table.c.slow)
            .join(rollup_groups, groups.id == table.c.group_id)
            .where(table.c.began_s >= from_s, table.c.began_s < to_s)
            .where(groups.alias.in_(sorted(aliases)))
            for table, from_s, to_s in chosen
        ]
        every = union_all(*parts).subquery()
        counts = func.sum(every.c.requests), func.sum(every.c.slow)
        query = (
            select(groups.alias, groups.outcome, *counts)
            .select_from(every.join(rollup_groups, groups.id == every.c.group_id))
            .group_by(groups.alias, groups.outcome)
        )
        return {
            (alias, outcome): Ended(int(requests), int(slow))
            for alias, outcome, requests, slow in connection.execute(query)
        }
