"""What is held, what was charged, and the sums by which spending is shown.

All of it follows from records, and changes in the same transaction as they do.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from tidegate.store.schema import SCHEMA

_OPEN = text("settled_ns IS NULL")

holds = Table(
    "holds",
    SCHEMA,
    Column("request_id", Text, primary_key=True),
    Column("spool", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("held_nanousd", BigInteger, nullable=False),
    Column("output_tokens", BigInteger),
    Column("said_nanousd", BigInteger),
    Column("settled_ns", BigInteger),
    Column("added", LargeBinary),
    Column("payload", LargeBinary, nullable=False),
    Index("holds_open", "expires_ns", sqlite_where=_OPEN, postgresql_where=_OPEN),
)
"""Requests whose end is not known yet.

`output_tokens` and `said_nanousd` are what was told of it last. With `settled_ns` it was given up
as lost, and `added` is what that added to the sums, to be taken back if its end comes after all.
"""

charges = Table(
    "charges",
    SCHEMA,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("began_s", BigInteger, nullable=False),
    Column("nanousd", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "name", "began_s"),
    sqlite_with_rowid=False,
)
"""What each scope was charged in each quarter of an hour; 0 is everything long ago."""

rollup_groups = Table(
    "rollup_groups",
    SCHEMA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True,
           autoincrement=False),
    Column("key", Text),
    Column("user", Text),
    Column("team", Text),
    Column("organisation", Text),
    Column("feature", Text),
    Column("alias", Text),
    Column("model", Text),
    Column("provider", Text),
    Column("outcome", Text, nullable=False),
)  # fmt: skip
"""What is counted together; the id is a digest of the rest, so that nobody has to look it up."""

rollup_names = Table(
    "rollup_names",
    SCHEMA,
    Column("day_s", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("day_s", "kind", "name"),
    sqlite_with_rowid=False,
)
"""The names that are counted apart on a day; whoever comes later is `other`."""


def _rollup(name: str) -> Table:
    counts = (
        "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens",
        "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_input_tokens",
        "audio_output_tokens", "cost_nanousd",
    )  # fmt: skip
    return Table(
        name,
        SCHEMA,
        Column("began_s", BigInteger, nullable=False),
        Column("group_id", BigInteger, nullable=False),
        *(Column(count, BigInteger, nullable=False) for count in counts),
        Column("slow", BigInteger, nullable=False, server_default=text("0")),
        PrimaryKeyConstraint("began_s", "group_id"),
        sqlite_with_rowid=False,
    )


rollups_minute = _rollup("rollups_minute")
rollups_hour = _rollup("rollups_hour")
rollups_day = _rollup("rollups_day")
