"""Configurations that were in force are kept, so that one of them can be put back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Keep every row that is there."""
    op.create_table(
        "configurations",
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("text", sa.LargeBinary),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("hidden", sa.Text, nullable=False),
        sa.Column("first_ns", sa.BigInteger, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
        sa.Column("how", sa.Text, nullable=False),
        sa.Column("by", sa.Text),
        sa.Column("asked_ns", sa.BigInteger),
        sa.Column("asked_by", sa.Text),
    )
    op.create_index("configurations_last", "configurations", ["last_ns"])
