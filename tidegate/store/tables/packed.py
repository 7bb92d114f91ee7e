"""Bins of hours and days that are over, a row for each kind and group."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Table, Text

from tidegate.store.schema import SCHEMA

quality_packed = Table(
    "quality_packed",
    SCHEMA,
    Column("span_s", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("began_s", BigInteger, nullable=False),
    Column("group_id", BigInteger, nullable=False),
    Column("bins", LargeBinary, nullable=False),
    PrimaryKeyConstraint("span_s", "kind", "began_s", "group_id"),
    sqlite_with_rowid=False,
)
"""`bins` is in msgpack: of each bin how many values fell into it."""
