"""Kept responses in SQLite: what conversations go on from, as the spool carried it.

A conversation expires as a whole, with the last of its responses: what came before one that may
still be continued is needed to continue it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from tidegate.store.schema import SCHEMA

MOST_BYTES = 48 << 20
"""How much of one conversation is read at a time."""

_responses = Table(
    "responses",
    SCHEMA,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("previous", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("responses_root", "root", "expires_ns"),
)


class ResponseRow(TypedDict):
    """A kept response's columns, and the response itself."""

    id: str
    owner: str
    root: str
    previous: str | None
    created_ns: int
    expires_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Past:
    """The payloads of a conversation, last one first.

    `missing` says that one of those asked for is not there; not that they were too long.
    """

    payloads: list[bytes]
    missing: bool


def add_responses(connection: Connection, rows: Sequence[ResponseRow]) -> int:
    """Add `rows` in a transaction of the caller's; return how many were not there yet."""
    add = insert(_responses).on_conflict_do_nothing(index_elements=["id"])
    return connection.execute(add, rows).rowcount if rows else 0


class ResponseStore:
    """The table of kept responses; `records.RecordStore` makes it and writes to it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def past(self, id_: str, owner: str, now_ns: int, most: int) -> Past:
        """A response and those before it, at most `most`.

        Nothing when it is not there, has expired or is not `owner`'s.
        """
        columns = (_responses.c.id, _responses.c.previous, _responses.c.payload)
        last = select(*columns, literal(1).label("place")).where(
            _responses.c.id == id_, _responses.c.owner == owner, _responses.c.expires_ns > now_ns
        )
        chain = last.cte("chain", recursive=True)
        before = select(*columns, chain.c.place + 1).where(
            _responses.c.id == chain.c.previous, chain.c.place < most
        )
        chain = chain.union_all(before)
        query = select(chain.c.previous, chain.c.payload).order_by(chain.c.place)
        payloads: list[bytes] = []
        missing, size_bytes = True, 0
        with self._engine.connect() as connection:
            for previous, payload in connection.execute(query):
                size_bytes += len(payload)
                payloads.append(payload)
                missing = previous is not None and len(payloads) < most
                if size_bytes > MOST_BYTES:
                    return Past(payloads, missing=False)
        return Past(payloads, missing=missing)

    def forget(self, id_: str, owner: str) -> bool:
        """Delete a response; whether it was there and `owner`'s."""
        mine = (_responses.c.id == id_, _responses.c.owner == owner)
        with self._engine.begin() as connection:
            return connection.execute(delete(_responses).where(*mine)).rowcount > 0

    def purge(self, now_ns: int, most: int = 1_000) -> int:
        """Delete up to `most` conversations that have expired; return how many responses went."""
        expired = (
            select(_responses.c.root)
            .group_by(_responses.c.root)
            .having(func.max(_responses.c.expires_ns) <= now_ns)
            .limit(most)
        )
        with self._engine.begin() as connection:
            gone = connection.execute(delete(_responses).where(_responses.c.root.in_(expired)))
            return gone.rowcount
