"""The configurations that were in force: their texts, since when, and who brought them.

A bounded number is kept, those that were in force last. Two texts of one version differ in comments
only, and the newer one is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, select, update

from tidegate.store.database import Database
from tidegate.store.tables.configurations import configurations

MOST_KEPT: Final = 100
ASKED_NS: Final = 300 * 10**9
"""How long a change of the file may take to be the one that was asked for."""

_TURN: Final = "configurations"
_FACTS: Final = [
    column
    for column in configurations.columns
    if column.name not in {"text", "asked_ns", "asked_by"}
]


class Configuration(Struct, frozen=True):
    """A configuration that is in force, or was. Times are Unix nanoseconds."""

    version: str
    first_ns: int
    since_ns: int
    """When it came into force the last time."""
    last_ns: int
    """When it was last known to be in force."""
    how: str
    """What brought it the last time: `start`, `file`, `rollback`."""
    by: str | None
    """Who rolled back to it."""
    size_bytes: int
    hidden: tuple[str, ...]
    """Settings whose secrets stand in it, and are hidden."""
    kept: bool
    """Whether its text is."""


class ConfigurationStore:
    """The table of configurations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Configuration]:
        """Those that are kept, what was in force last first. Raises: `SQLAlchemyError`, as all."""
        query = select(*_FACTS, configurations.c.text.is_not(None).label("kept"))
        query = query.order_by(configurations.c.last_ns.desc(), configurations.c.version)
        with self._database.reading() as connection:
            return [_configuration(row) for row in connection.execute(query)]

    def text(self, version: str) -> str | None:
        """The text of `version`, if it is kept."""
        query = select(configurations.c.text).where(configurations.c.version == version)
        with self._database.reading() as connection:
            packed: bytes | None = connection.execute(query).scalar()
        return None if packed is None else zlib.decompress(packed).decode()

    def take(
        self,
        version: str,
        text: str | None,
        hidden: Sequence[str],
        now_ns: int,
        *,
        before: str | None,
    ) -> None:
        """Note that `version` is in force from now on; `before` was until now, if one is known."""
        mine = configurations.c.version == version
        packed = None if text is None else zlib.compress(text.encode(), 9)
        told: dict[str, Any] = {
            "text": packed, "size_bytes": len((text or "").encode()), "last_ns": now_ns,
            "hidden": msgspec.json.encode(list(hidden)).decode(),
        }  # fmt: skip
        how, by = ("start" if before is None else "file"), None
        with self._database.writing(_TURN) as connection:
            row: Any = connection.execute(select(configurations).where(mine)).one_or_none()
            if row is not None and _newest(connection) == version:  # it has never been away
                connection.execute(update(configurations).where(mine).values(**told))
                return
            if before is not None:
                past = configurations.c.version == before
                connection.execute(update(configurations).where(past).values(last_ns=now_ns - 1))
            if row is not None and row.asked_ns is not None and now_ns < row.asked_ns + ASKED_NS:
                how, by = "rollback", row.asked_by
            told |= {"since_ns": now_ns, "how": how, "by": by, "asked_ns": None, "asked_by": None}
            if row is not None:
                connection.execute(update(configurations).where(mine).values(**told))
            else:
                told |= {"version": version, "first_ns": now_ns}
                connection.execute(configurations.insert().values(**told))
            _forget(connection)

    def seen(self, version: str, now_ns: int) -> None:
        """Note that `version` is still in force."""
        mine = configurations.c.version == version, configurations.c.last_ns < now_ns
        with self._database.writing(_TURN) as connection:
            connection.execute(update(configurations).where(*mine).values(last_ns=now_ns))


def ask(connection: Connection, version: str, by: str, now_ns: int) -> None:
    """Note that `by` wants `version` back: it is known by that when it comes."""
    mine = configurations.c.version == version
    asked = {"asked_ns": now_ns, "asked_by": by}
    connection.execute(update(configurations).where(mine).values(**asked))


def _newest(connection: Connection) -> str | None:
    last = (configurations.c.last_ns.desc(), configurations.c.version)
    query = select(configurations.c.version).order_by(*last).limit(1)
    return connection.execute(query).scalar()


def _forget(connection: Connection) -> None:
    last = (configurations.c.last_ns.desc(), configurations.c.version)
    kept = select(configurations.c.version).order_by(*last).limit(MOST_KEPT)
    names = list(connection.execute(kept).scalars())
    connection.execute(delete(configurations).where(configurations.c.version.not_in(names)))


def _configuration(row: Any) -> Configuration:
    return Configuration(
        version=row.version,
        first_ns=row.first_ns,
        since_ns=row.since_ns,
        last_ns=row.last_ns,
        how=row.how,
        by=row.by,
        size_bytes=row.size_bytes,
        hidden=msgspec.json.decode(row.hidden, type=tuple[str, ...]),
        kept=bool(row.kept),
    )
