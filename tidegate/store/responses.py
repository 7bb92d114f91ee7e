"""Kept responses: what conversations go on from, as the spool carried it.

A conversation expires as a whole, with the last of its responses: what came before one that may
still be continued is needed to continue it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, literal, select

from tidegate.store.database import Database
from tidegate.store.rows import ResponseRow
from tidegate.store.tables.records import responses

MOST_BYTES = 48 << 20
"""How much of one conversation is read at a time."""


@dataclass(frozen=True, slots=True)
class Past:
    """The payloads of a conversation, last one first.

    `missing` says that one of those asked for is not there; not that they were too long.
    """

    payloads: list[bytes]
    missing: bool


def add_responses(connection: Connection, rows: Sequence[ResponseRow]) -> int:
    """Add `rows` in a transaction that waits its turn; return how many were not there yet."""
    if not rows:
        return 0
    query = select(responses.c.id).where(responses.c.id.in_([row["id"] for row in rows]))
    known = set(connection.execute(query).scalars())
    new = {row["id"]: row for row in reversed(rows) if row["id"] not in known}
    if new:
        connection.execute(insert(responses), list(new.values()))
    return len(new)


class ResponseStore:
    """The table of kept responses; `Intake` writes to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def past(self, id_: str, owner: str, now_ns: int, most: int) -> Past:
        """A response and those before it, at most `most`.

        Nothing when it is not there, has expired or is not `owner`'s.
        """
        columns = (responses.c.id, responses.c.previous, responses.c.payload)
        last = select(*columns, literal(1).label("place")).where(
            responses.c.id == id_, responses.c.owner == owner, responses.c.expires_ns > now_ns
        )
        chain = last.cte("chain", recursive=True)
        before = select(*columns, chain.c.place + 1).where(
            responses.c.id == chain.c.previous, chain.c.place < most
        )
        chain = chain.union_all(before)
        query = select(chain.c.previous, chain.c.payload).order_by(chain.c.place)
        payloads: list[bytes] = []
        missing, size_bytes = True, 0
        with self._database.reading() as connection:
            for previous, payload in connection.execute(query):
                size_bytes += len(payload)
                payloads.append(payload)
                missing = previous is not None and len(payloads) < most
                if size_bytes > MOST_BYTES:
                    return Past(payloads, missing=False)
        return Past(payloads, missing=missing)

    def forget(self, id_: str, owner: str) -> bool:
        """Delete a response; whether it was there and `owner`'s."""
        mine = (responses.c.id == id_, responses.c.owner == owner)
        with self._database.writing() as connection:
            return connection.execute(delete(responses).where(*mine)).rowcount > 0

    def purge(self, now_ns: int, most: int = 1_000) -> int:
        """Delete up to `most` conversations that have expired; return how many responses went."""
        expired = (
            select(responses.c.root)
            .group_by(responses.c.root)
            .having(func.max(responses.c.expires_ns) <= now_ns)
            .limit(most)
        )
        with self._database.writing() as connection:
            gone = connection.execute(delete(responses).where(responses.c.root.in_(expired)))
            return gone.rowcount
