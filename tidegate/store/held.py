"""Holds whose request is not over, and what scopes were charged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, and_, func, literal_column, or_, select

from tidegate.store.database import Database
from tidegate.store.sums import DAY_S, QUARTER_S
from tidegate.store.tables.money import charges, holds

_ELSEWHERE_NS = 900 * 10**9
"""How much longer we wait for what another machine's spool may still hold."""


@dataclass(frozen=True, slots=True)
class Held:
    """A hold, and what its request had got when it was last heard of."""

    payload: bytes
    held_nanousd: int
    output_tokens: int | None
    said_nanousd: int | None


class HeldStore:
    """The tables of holds and charges; `Intake` writes to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def overdue(
        self, spool: str, expired_ns: int, dead: Mapping[str, int], most: int
    ) -> list[Held]:
        """Up to `most` open holds that nobody will settle any more, oldest first.

        Those that should have been over by `expired_ns`; and of `spool` those that a worker in
        `dead` began before the time that is said there.
        """
        expired = holds.c.expires_ns + _ELSEWHERE_NS <= expired_ns
        ours = [holds.c.expires_ns <= expired_ns]
        ours += [
            and_(holds.c.worker == worker, holds.c.started_ns < before_ns)
            for worker, before_ns in dead.items()
        ]
        query = (
            select(
                holds.c.payload, holds.c.held_nanousd, holds.c.output_tokens, holds.c.said_nanousd
            )
            .where(holds.c.settled_ns.is_(None))
            .where(or_(expired, and_(holds.c.spool == spool, or_(*ours))))
            .order_by(holds.c.started_ns)
            .limit(most)
        )
        with self._database.reading() as connection:
            return [Held(*row) for row in connection.execute(query)]

    def open_count(self) -> int:
        """How many requests hold money, as far as was loaded."""
        query = select(func.count()).select_from(holds).where(holds.c.settled_ns.is_(None))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def open(self, most: int) -> list[Held]:
        """Up to `most` requests that hold money, as far as was loaded, oldest first."""
        with self._database.reading() as connection:
            return _open(connection, most)

    def beginning(self, start: str, most: int) -> list[Held]:
        """Up to `most` requests that hold money and whose id begins so."""
        columns = holds.c.payload, holds.c.held_nanousd, holds.c.output_tokens, holds.c.said_nanousd
        alike = holds.c.request_id.startswith(start, autoescape=True)
        query = select(*columns).where(holds.c.settled_ns.is_(None), alike).limit(most)
        with self._database.reading() as connection:
            return [Held(*row) for row in connection.execute(query)]

    def given_up(self, since_ns: int, most: int) -> list[tuple[str, int]]:
        """Up to `most` requests that were given up as lost since then, and when; oldest first."""
        query = (
            select(holds.c.request_id, holds.c.settled_ns)
            .where(holds.c.settled_ns >= since_ns)
            .order_by(holds.c.settled_ns)
            .limit(most)
        )
        with self._database.reading() as connection:
            return [(row[0], int(row[1])) for row in connection.execute(query)]

    def owed(
        self, wanted: Sequence[tuple[str, str | None, int]], most: int
    ) -> tuple[list[dict[str, int]], list[Held]]:
        """What `charged` tells of each of `wanted`, and what is `open`: both of one moment."""
        with self._database.reading(still=True) as connection:
            return [_charged(connection, *each) for each in wanted], _open(connection, most)

    def charged(self, kind: str, name: str | None, since_ns: int) -> dict[str, int]:
        """What each scope of `kind`, or the one `name`, was charged for requests since then.

        Exact where `since_ns` is a quarter of an hour; else from the quarter before on.
        """
        with self._database.reading() as connection:
            return _charged(connection, kind, name, since_ns)

    def charged_by_day(self, kind: str, name: str | None, since_s: int) -> dict[int, int]:
        """What all of `kind`, or the one `name`, were charged in each day from that one on."""
        day = charges.c.began_s - charges.c.began_s % literal_column(str(DAY_S), BigInteger)
        query = select(day, func.sum(charges.c.nanousd)).where(
            charges.c.kind == kind, charges.c.began_s >= since_s
        )
        if name is not None:
            query = query.where(charges.c.name == name)
        with self._database.reading() as connection:
            found = connection.execute(query.group_by(day))
            return {int(row[0]): int(row[1]) for row in found}


def _open(connection: Connection, most: int) -> list[Held]:
    query = (
        select(holds.c.payload, holds.c.held_nanousd, holds.c.output_tokens, holds.c.said_nanousd)
        .where(holds.c.settled_ns.is_(None))
        .order_by(holds.c.started_ns)
        .limit(most)
    )
    return [Held(*row) for row in connection.execute(query)]


def _charged(connection: Connection, kind: str, name: str | None, since_ns: int) -> dict[str, int]:
    since_s = since_ns // 10**9 // QUARTER_S * QUARTER_S
    query = select(charges.c.name, func.sum(charges.c.nanousd)).where(
        charges.c.kind == kind, charges.c.began_s >= since_s
    )
    if name is not None:
        query = query.where(charges.c.name == name)
    found = connection.execute(query.group_by(charges.c.name))
    return {row[0]: int(row[1]) for row in found}
