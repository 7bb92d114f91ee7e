"""What the admin API keeps: keys, people, limits, prices, and the trail of who changed what.

Times are Unix nanoseconds. Columns that say "JSON" hold text that `msgspec.json` wrote, because
what is in them is checked by its type when it is read, and searched by nobody.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from tidegate.store.schema import SCHEMA

SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives out, growing."""

organisations = Table(
    "organisations",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
)

teams = Table(
    "teams",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("organisation", Text),
    Column("weight", Integer, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("records", Text),
)
"""JSON: `records`, of `guard.access.TeamRecords`; NULL bounds nothing."""

users = Table(
    "users",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("team", Text),
    Column("created_ns", BigInteger, nullable=False),
)

virtual_keys = Table(
    "virtual_keys",
    SCHEMA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("digests", Text, nullable=False),
    # Owners are names: a key may belong to somebody who is registered nowhere.
    Column("user", Text),
    Column("team", Text),
    Column("organisation", Text),
    Column("environment", Text),
    Column("models", Text),
    Column("features", Text),
    Column("may_name", Text),
    Column("priority", Text, nullable=False),
    Column("expires_ns", BigInteger),
    Column("blocked", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)
"""JSON: `digests` (of `guard.access.Digest`), `models`, `features`, `may_name`; NULL is None."""

rules = Table(
    "rules",
    SCHEMA,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
)
"""JSON: `limits`. The name of a rule that has none is empty."""

prices = Table(
    "prices",
    SCHEMA,
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("from_ns", BigInteger, nullable=False),
    Column("price", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "model", "from_ns"),
)
"""JSON: `price`, the whole entry."""

audit = Table(
    "audit",
    SCHEMA,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Index("audit_at", "at_ns"),
    sqlite_autoincrement=True,
)
"""JSON: `before`, `after`. A trigger refuses every change of a row; only retention deletes."""

idempotency = Table(
    "idempotency",
    SCHEMA,
    Column("actor", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("at_ns", BigInteger, nullable=False),
    PrimaryKeyConstraint("actor", "key"),
    Index("idempotency_at", "at_ns"),
)
"""A write that was asked for under a key of the asker's; no `status` until it is done."""

admin_tokens = Table(
    "admin_tokens",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("expires_ns", BigInteger),
    Column("created_ns", BigInteger, nullable=False),
)

state = Table(
    "state",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers of the store as a whole; `access_version` is there from the beginning, as 0."""
