"""What the last minutes were like: requests, money and tokens of each, by class of outcome."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from sqlalchemy import func, select

from tidegate.store.database import Database
from tidegate.store.tables.money import rollup_groups, rollups_minute
from tidegate.store.tables.records import records

_SECOND_NS: Final = 10**9


class Minute(Struct, frozen=True):
    """The requests of one class of outcome that began in a minute."""

    began_s: int
    outcome: str
    requests: int
    cost_nanousd: int
    input_tokens: int
    output_tokens: int


class MinuteStore:
    """The sums by minute, and some of the records of one; to be asked.

    Raises: `SQLAlchemyError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def sums(self, since_s: int, until_s: int) -> list[Minute]:
        """What was summed up of each minute, in their order; nothing of one without requests."""
        minute, group = rollups_minute.c, rollup_groups.c
        counts = (minute.requests, minute.cost_nanousd, minute.input_tokens, minute.output_tokens)
        query = (
            select(minute.began_s, group.outcome, *(func.sum(each) for each in counts))
            .join_from(rollups_minute, rollup_groups, group.id == minute.group_id)
            .where(minute.began_s >= since_s, minute.began_s < until_s)
            .group_by(minute.began_s, group.outcome)
            .order_by(minute.began_s, group.outcome)
        )
        with self._database.reading() as connection:
            found = [tuple(row) for row in connection.execute(query)]
        return [Minute(row[0], row[1], *map(int, row[2:])) for row in found]

    def sample(self, since_s: int, until_s: int, most: int) -> list[bytes]:
        """The payloads of up to `most` requests that began in that time, the first of them."""
        began = records.c.started_ns
        query = (
            select(records.c.payload)
            .where(began >= since_s * _SECOND_NS, began < until_s * _SECOND_NS)
            .order_by(began)
            .limit(most)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())
