"""Sums know how many requests were answered later than their alias's objective wants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Keep every row that is there: of what was before, nothing is known to be slow."""
    for table in ("rollups_minute", "rollups_hour", "rollups_day"):
        slow = sa.Column("slow", sa.BigInteger, nullable=False, server_default=sa.text("0"))
        op.add_column(table, slow)
