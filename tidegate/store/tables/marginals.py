"""Sums of roll-ups by one or two names, for hours and days that are over.

They follow from the roll-ups, whose every change is noted beside them (`store/marginals.py`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text

from tidegate.store.schema import SCHEMA
from tidegate.store.tables.money import rollups_day

_KEY = rollups_day.primary_key.columns.keys()

marginals = Table(
    "marginals",
    SCHEMA,
    Column("span_s", BigInteger, nullable=False),
    Column("face", Text, nullable=False),
    Column("began_s", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("other", Text, nullable=False),
    *(
        Column(count.name, BigInteger, nullable=False)
        for count in rollups_day.columns
        if count.name not in _KEY
    ),
    PrimaryKeyConstraint("span_s", "face", "began_s", "name", "other"),
    sqlite_with_rowid=False,
)
"""`face` says what is named, `team` or `user,team`; a name is `=` and the name, or empty."""

marginals_stale = Table(
    "marginals_stale",
    SCHEMA,
    Column("span_s", BigInteger, nullable=False),
    Column("began_s", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("span_s", "began_s"),
    sqlite_with_rowid=False,
)
"""Hours and days whose roll-ups have changed since their marginals were made, if ever they were."""
