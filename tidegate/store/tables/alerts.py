"""What alerting remembers of what concerns all gateways, and what operators have silenced."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from tidegate.store.schema import SCHEMA

alert_memory = Table(
    "alert_memory",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""JSON: what fires and what has been told, so that it is told once, whoever looks."""

silences = Table(
    "silences",
    SCHEMA,
    Column("id", Text, primary_key=True),
    Column("rule", Text),
    Column("labels", Text, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)
"""JSON: `labels`."""
