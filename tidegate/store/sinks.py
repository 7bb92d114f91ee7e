"""How far each sink has been told of the records, and whose turn it is to tell it.

A sink's place is the id of a record in the order of loading, kept as a number of the store; so is
the lease by which one of several control processes tells it at a time. Records of a page come in
that order, whole and bounded in bytes, and reading them keeps nobody from writing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from zlib import crc32

from sqlalchemy import delete, func, select, update

from tidegate.store.database import Database
from tidegate.store.records import Found
from tidegate.store.tables.admin import state
from tidegate.store.tables.records import records

_HOLDERS: Final = 1 << 20
"""The low bits of a lease say whose it is; what is left of the time in them is a millisecond."""
_READ_ROWS: Final = 32


def told_to_all(database: Database, names: Collection[str]) -> int | None:
    """The id up to which all sinks of these `names` were told; None where there is none.

    One that was never told of anything wants none of the old. Raises: `SQLAlchemyError`.
    """
    if not names:
        return None
    query = select(func.min(state.c.value)).where(state.c.name.in_(map(_place, names)))
    with database.reading() as connection:
        return connection.execute(query).scalar()


def _place(name: str) -> str:
    return f"sink {name} id"


class SinkStore:
    """The place of the sink `name`, for the control process of one spool."""

    def __init__(self, database: Database, name: str, spool: str) -> None:
        self._database = database
        self._place = _place(name)
        self._goal = f"sink {name} goal"
        self._lease = f"sink {name} lease"
        self._holder = crc32(spool.encode()) % _HOLDERS

    def open(self, since_ns: int) -> int:
        """The id of the last record that is done with; a new sink begins with those since then.

        Raises: `SQLAlchemyError`, as all do.
        """
        with self._database.writing() as connection:
            found = connection.execute(select(state.c.value).where(state.c.name == self._place))
            place = found.scalar()
            if place is None:
                first = select(func.min(records.c.id)).where(records.c.started_ns >= since_ns)
                last = select(func.max(records.c.id))
                first_id: int | None = connection.execute(first).scalar()
                last_id: int | None = connection.execute(last).scalar()
                place = (last_id or 0) if first_id is None else first_id - 1
                add = self._database.insert(state).values(name=self._place, value=place)
                connection.execute(add.on_conflict_do_nothing())
            return place

    def hold(self, now_ns: int, lasts_ns: int) -> bool:
        """Whether it is this process's turn, for `lasts_ns` from now.

        A lease that another process of the same spool has left is ours: there is one at a time.
        """
        wanted = (now_ns + lasts_ns) // _HOLDERS * _HOLDERS + self._holder
        with self._database.writing("sinks") as connection:
            found = connection.execute(select(state.c.value).where(state.c.name == self._lease))
            lease = found.scalar()
            if lease is not None and lease % _HOLDERS != self._holder and lease > now_ns:
                return False
            add = self._database.insert(state).values(name=self._lease, value=wanted)
            changed = {"value": add.excluded.value}
            connection.execute(add.on_conflict_do_update(index_elements=["name"], set_=changed))
            return True

    def release(self) -> None:
        """Let another process have its turn, if it is ours."""
        mine = state.c.name == self._lease, state.c.value % _HOLDERS == self._holder
        with self._database.writing("sinks") as connection:
            connection.execute(delete(state).where(*mine))

    def advance(self, before: int, after: int) -> bool:
        """Be done with the records up to `after`; False if somebody else has moved the place."""
        here = state.c.name == self._place, state.c.value == before
        with self._database.writing() as connection:
            return connection.execute(update(state).where(*here).values(value=after)).rowcount == 1

    def place(self) -> int | None:
        """The id of the last record that is done with; None where it was never told of any."""
        return self._number(self._place)

    def goal(self) -> int | None:
        """The id of the last record of the page that it was told last, taken or not."""
        return self._number(self._goal)

    def aim(self, at: int) -> None:
        """Note that the page it is told next ends with that id."""
        with self._database.writing() as connection:
            add = self._database.insert(state).values(name=self._goal, value=at)
            changed = {"value": add.excluded.value}
            connection.execute(add.on_conflict_do_update(index_elements=["name"], set_=changed))

    def page(
        self, after: int, most_rows: int, most_bytes: int, up_to: int | None = None
    ) -> Sequence[Found]:
        """Up to so many records after that id, and at least one if there is any.

        With `up_to`, those up to that id, and no others.
        """
        query = select(records.c.id, records.c.payload).where(records.c.id > after)
        if up_to is not None:
            query = query.where(records.c.id <= up_to)
        query = query.order_by(records.c.id).limit(most_rows)
        found: list[Found] = []
        size_bytes = 0
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=_READ_ROWS).execute(query)
            for id_, payload in rows:
                size_bytes += len(payload)
                if found and size_bytes > most_bytes:
                    break
                found.append(Found(id_, payload))
            rows.close()
        return found

    def waiting(self, after: int) -> int:
        """How many records come after that id, about: ids may have gaps."""
        with self._database.reading() as connection:
            last: int | None = connection.execute(select(func.max(records.c.id))).scalar()
            return max(0, (last or 0) - after)

    def first_after(self, after: int) -> int | None:
        """When the first record after that id began."""
        query = select(records.c.started_ns).where(records.c.id > after)
        with self._database.reading() as connection:
            return connection.execute(query.order_by(records.c.id).limit(1)).scalar()

    def _number(self, name: str) -> int | None:
        with self._database.reading() as connection:
            return connection.execute(select(state.c.value).where(state.c.name == name)).scalar()
