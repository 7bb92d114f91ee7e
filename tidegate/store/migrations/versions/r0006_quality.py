"""What answers were like is summed by the hour, and feedback on them is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COUNTS = (
    "answers", "good", "repaired", "malformed", "unchecked", "truncated", "refused", "sampled",
    "worded", "output_tokens", "cost_nanousd",
)  # fmt: skip


def upgrade() -> None:
    """Keep every row that is there; of records of before nothing is summed."""
    op.add_column("records", sa.Column("trace", sa.Text))
    has_trace = sa.text("trace IS NOT NULL")
    op.create_index(
        "records_trace", "records", ["trace", "started_ns"],
        sqlite_where=has_trace, postgresql_where=has_trace,
    )  # fmt: skip
    op.create_table(
        "quality_groups",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("alias", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("version", sa.Text),
    )
    op.create_table(
        "quality_hour",
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        *(sa.Column(count, sa.BigInteger, nullable=False) for count in _COUNTS),
        sa.PrimaryKeyConstraint("began_s", "group_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quality_bins",
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("bin", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("began_s", "group_id", "kind", "bin"),
        sqlite_with_rowid=False,
    )
    _feedback()


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("by_key", sa.Text, nullable=False),
        sa.Column("feedback_id", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("thumbs", sa.Text),
        sa.Column("rating", sa.BigInteger),
        sa.Column("verdict", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("trace", sa.Text),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text)
            for name in (
                "alias", "model", "version", "key", "user", "team", "organisation", "feature",
            )
        ),
        sa.PrimaryKeyConstraint("request_id", "by_key", "feedback_id"),
    )  # fmt: skip
    for name, columns in (
        ("feedback_at", ["at_ns"]),
        ("feedback_started", ["started_ns"]),
        ("feedback_alias", ["alias", "at_ns"]),
        ("feedback_verdict", ["verdict", "at_ns"]),
        ("feedback_user", ["user"]),
        ("feedback_trace", ["trace"]),
    ):
        op.create_index(name, "feedback", columns)
    op.create_table(
        "feedback_waiting",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("by_key", sa.Text, nullable=False),
        sa.Column("feedback_id", sa.Text, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "trace", "by_key", "feedback_id"),
    )
    op.create_index("feedback_waiting_since", "feedback_waiting", ["since_ns"])
