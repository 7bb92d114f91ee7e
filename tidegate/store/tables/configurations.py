"""The configurations that were in force, each once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from tidegate.store.schema import SCHEMA

configurations = Table(
    "configurations",
    SCHEMA,
    Column("version", Text, primary_key=True),
    Column("text", LargeBinary),
    Column("size_bytes", BigInteger, nullable=False),
    Column("hidden", Text, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("how", Text, nullable=False),
    Column("by", Text),
    Column("asked_ns", BigInteger),
    Column("asked_by", Text),
    Index("configurations_last", "last_ns"),
)
"""`text` is deflated, and NULL where it could not be kept; `hidden` is JSON. `since_ns` is when it
came into force the last time, `how` is `start`, `file` or `rollback`. `asked_ns` and `asked_by` say
who has asked for it to come back, until it has."""
