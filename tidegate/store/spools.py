"""How far each spool of a store has been loaded, where several machines load into one.

Somebody asks how far; everybody who has loaded all that was there after hearing of it says so.
No clocks are compared for that, only to tell who is gone.
"""

from __future__ import annotations

from sqlalchemy import Connection, Select, select

from tidegate.store.database import Database
from tidegate.store.tables.admin import state

_ASKED, _LOADED, _SEEN = "spools_asked", "spool_loaded:", "spool_seen:"


class SpoolStore:
    """Rows of the table of the store's numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self) -> int:
        """Ask everybody once more; the number of the question. Raises: `SQLAlchemyError`."""
        with self._database.writing(_ASKED) as connection:
            number = (connection.execute(_value(_ASKED)).scalar() or 0) + 1
            self._put(connection, _ASKED, number)
            return number

    def asked(self) -> int:
        """The number of the last question; 0 when there was none. Raises: `SQLAlchemyError`."""
        with self._database.reading() as connection:
            return connection.execute(_value(_ASKED)).scalar() or 0

    def answer(self, spool: str, number: int, now_ns: int) -> None:
        """Say that all that was in `spool` after question `number` was heard is loaded."""
        with self._database.writing() as connection:
            self._put(connection, _LOADED + spool, number)
            self._put(connection, _SEEN + spool, now_ns)

    def behind(self, number: int, since_ns: int) -> list[str]:
        """The spools that were there since then and have not answered question `number`."""
        query = select(state.c.name, state.c.value).where(state.c.name.startswith("spool_"))
        with self._database.reading() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        names = [name.removeprefix(_SEEN) for name, seen in found.items()
                 if name.startswith(_SEEN) and seen >= since_ns]  # fmt: skip
        return sorted(name for name in names if found.get(_LOADED + name, 0) < number)

    def _put(self, connection: Connection, name: str, value: int) -> None:
        add = self._database.insert(state).values(name=name, value=value)
        changed = {"value": add.excluded.value}
        connection.execute(add.on_conflict_do_update(index_elements=["name"], set_=changed))


def _value(name: str) -> Select[int]:
    return select(state.c.value).where(state.c.name == name)
