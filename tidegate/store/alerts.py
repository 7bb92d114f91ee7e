"""What alerting remembers, in the store: whoever takes a turn is alone until it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, select

from tidegate.store.database import Database
from tidegate.store.tables.alerts import alert_memory, silences

_SHARED, _ACKNOWLEDGED = "shared", "acknowledged"
MOST_ACKNOWLEDGED: Final = 200

Silenced = tuple[str, str | None, str, int, str, str]
"""Id, rule, labels as JSON, end, reason and author."""


class Acknowledged(Struct, frozen=True):
    """Who is looking at what fires."""

    by: str
    at_ns: int
    note: str = ""


class AlertStore:
    """The memory that all control processes of a database have together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> bytes:
        """What is remembered; empty when nothing is. Raises: `SQLAlchemyError`, as all here."""
        query = select(alert_memory.c.value).where(alert_memory.c.name == _SHARED)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or b""

    def turn(self, change: Callable[[bytes], bytes | None]) -> None:
        """Put `change` of what is remembered in its place; None leaves it."""
        mine = alert_memory.c.name == _SHARED
        with self._database.writing("alerts") as connection:
            before = connection.execute(select(alert_memory.c.value).where(mine)).scalar() or b""
            after = change(before)
            if after is None:
                return
            connection.execute(delete(alert_memory).where(mine))
            connection.execute(alert_memory.insert().values(name=_SHARED, value=after))

    def acknowledged(self) -> dict[str, Acknowledged]:
        """What somebody is looking at, by the id of its alerts."""
        with self._database.reading() as connection:
            return acknowledged(connection)

    def silenced(self, now_ns: int) -> list[Silenced]:
        """What is silent now."""
        columns = (
            silences.c.id, silences.c.rule, silences.c.labels, silences.c.until_ns,
            silences.c.why, silences.c.by,
        )  # fmt: skip
        query = select(*columns).where(silences.c.until_ns > now_ns).order_by(silences.c.id)
        with self._database.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]


def acknowledged(connection: Connection) -> dict[str, Acknowledged]:
    """What somebody is looking at, by the id of its alerts."""
    query = select(alert_memory.c.value).where(alert_memory.c.name == _ACKNOWLEDGED)
    kept = connection.execute(query).scalar()
    return {} if kept is None else msgspec.json.decode(kept, type=dict[str, Acknowledged])


def acknowledge(connection: Connection, alert: str, said: Acknowledged) -> None:
    """Remember that somebody looks at it; of too many, the oldest are forgotten."""
    every = {**acknowledged(connection), alert: said}
    latest = sorted(every.items(), key=lambda each: each[1].at_ns)[-MOST_ACKNOWLEDGED:]
    connection.execute(delete(alert_memory).where(alert_memory.c.name == _ACKNOWLEDGED))
    value = msgspec.json.encode(dict(latest))
    connection.execute(alert_memory.insert().values(name=_ACKNOWLEDGED, value=value))
