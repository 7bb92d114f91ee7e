"""The order of loading: a record's id is greater than that of every record before it, for good.

Whoever reads on from an id (`store/sinks.py`, `tidegate log --follow`) would miss records else.
PostgreSQL gives no number twice; SQLite gives those of the last rows again when they are deleted,
so it is noted here how far they had come.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from tidegate.store.tables.admin import state
from tidegate.store.tables.records import records

_GONE = "records gone"


def note_gone(connection: Connection, ids: Sequence[int]) -> None:
    """Note that the records of these ids are deleted, in the transaction that does it."""
    if ids and connection.dialect.name == "sqlite":
        put = insert(state).values(name=_GONE, value=max(ids))
        most = func.max(state.c.value, put.excluded.value)
        connection.execute(put.on_conflict_do_update(index_elements=["name"], set_={"value": most}))


def first_id(connection: Connection) -> int | None:
    """The id that the next record has to be given; None where the database finds it alone."""
    if connection.dialect.name != "sqlite":
        return None
    query = select(state.c.value).where(state.c.name == _GONE)
    gone: int = connection.execute(query).scalar() or 0
    last: int = connection.execute(select(func.max(records.c.id))).scalar() or 0
    return gone + 1 if last < gone else None
