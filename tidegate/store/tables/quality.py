"""What answers were like, hour by hour, and what people say of them.

The sums follow from records, and change in the same transaction as they do.
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
)

from tidegate.store.schema import SCHEMA

QUALITY_COUNTS = (
    "answers", "good", "repaired", "malformed", "unchecked", "truncated", "refused", "sampled",
    "worded", "output_tokens", "cost_nanousd",
)  # fmt: skip

quality_groups = Table(
    "quality_groups",
    SCHEMA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True,
           autoincrement=False),
    Column("alias", Text),
    Column("model", Text),
    Column("version", Text),
)  # fmt: skip
"""What is counted together; the id is a digest of the rest."""

quality_hour = Table(
    "quality_hour",
    SCHEMA,
    Column("began_s", BigInteger, nullable=False),
    Column("group_id", BigInteger, nullable=False),
    *(Column(count, BigInteger, nullable=False) for count in QUALITY_COUNTS),
    PrimaryKeyConstraint("began_s", "group_id"),
    sqlite_with_rowid=False,
)

quality_bins = Table(
    "quality_bins",
    SCHEMA,
    Column("began_s", BigInteger, nullable=False),
    Column("group_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bin", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("began_s", "group_id", "kind", "bin"),
    sqlite_with_rowid=False,
)
"""How many values of a kind fell into which bin: `length`, `wait`, `language`, `gram`.

Those of `gram` stand under the alias alone.
"""

feedback = Table(
    "feedback",
    SCHEMA,
    Column("request_id", Text, nullable=False),
    Column("by_key", Text, nullable=False),
    Column("feedback_id", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("thumbs", Text),
    Column("rating", BigInteger),
    Column("verdict", Text),
    Column("text", Text),
    Column("labels", Text, nullable=False),
    Column("trace", Text),
    Column("started_ns", BigInteger, nullable=False),
    Column("alias", Text),
    Column("model", Text),
    Column("version", Text),
    Column("key", Text),
    Column("user", Text),
    Column("team", Text),
    Column("organisation", Text),
    Column("feature", Text),
    PrimaryKeyConstraint("request_id", "by_key", "feedback_id"),
    Index("feedback_at", "at_ns"),
    Index("feedback_started", "started_ns"),
    Index("feedback_alias", "alias", "at_ns"),
    Index("feedback_verdict", "verdict", "at_ns"),
    Index("feedback_user", "user"),
    Index("feedback_trace", "trace"),
)
"""JSON: `labels`. `verdict` is `up`, `down`, `neutral`, or NULL of what only says something.

From `started_ns` on it is what the request's record says.
"""

feedback_waiting = Table(
    "feedback_waiting",
    SCHEMA,
    Column("request_id", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("by_key", Text, nullable=False),
    Column("feedback_id", Text, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("request_id", "trace", "by_key", "feedback_id"),
    Index("feedback_waiting_since", "since_ns"),
)
"""Feedback on what is not in the store yet."""
