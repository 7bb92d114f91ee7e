"""Records, kept responses, and how far each segment of each spool has been loaded.

In PostgreSQL `records` is partitioned by month (`store/partitions.py`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
    true,
)

from tidegate.store.schema import SCHEMA
from tidegate.store.tables.admin import SERIAL

IS_ERROR = text("outcome != 'ok'")
"""Spelled out, not bound: a partial index is used only where the same condition is seen."""
HAS_BODIES = text("has_bodies")
_HAS_USER, _HAS_CONVERSATION = text('"user" IS NOT NULL'), text("conversation IS NOT NULL")
_HAS_TRACE = text("trace IS NOT NULL")

records = Table(
    "records",
    SCHEMA,
    Column("id", SERIAL, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("alias", Text),
    Column("key", Text),
    Column("outcome", Text, nullable=False),
    Column("provider", Text),
    Column("target", Text),
    Column("payload", LargeBinary, nullable=False),
    Column("user", Text),
    Column("team", Text),
    Column("organisation", Text),
    Column("feature", Text),
    Column("model", Text),
    Column("conversation", Text),
    Column("cost_nanousd", BigInteger),
    Column("trace", Text),
    Column("has_bodies", Boolean, nullable=False, server_default=true()),
    Index("records_started", "started_ns", "team", "organisation", "feature", "model"),
    Index("records_alias", "alias", "started_ns", "outcome"),
    Index("records_key", "key", "started_ns"),
    Index("records_outcome", "outcome", "started_ns"),
    Index("records_provider", "provider", "started_ns"),
    Index(
        "records_bodies", "started_ns", sqlite_where=HAS_BODIES, postgresql_where=HAS_BODIES
    ),
    Index("records_errors", "started_ns", sqlite_where=IS_ERROR, postgresql_where=IS_ERROR),
    Index(
        "records_user", "user", "started_ns", sqlite_where=_HAS_USER, postgresql_where=_HAS_USER
    ),
    Index(
        "records_conversation", "conversation", "started_ns",
        sqlite_where=_HAS_CONVERSATION, postgresql_where=_HAS_CONVERSATION,
    ),
    Index(
        "records_trace", "trace", "started_ns",
        sqlite_where=_HAS_TRACE, postgresql_where=_HAS_TRACE,
    ),
)  # fmt: skip
"""`request_id` is unique; in PostgreSQL together with `started_ns`, as its partitions require."""

segments = Table(
    "segments",
    SCHEMA,
    Column("spool", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("spool", "name"),
)

responses = Table(
    "responses",
    SCHEMA,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("previous", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("user", Text),
    Index("responses_root", "root", "expires_ns"),
    Index("responses_user", "user"),
)
