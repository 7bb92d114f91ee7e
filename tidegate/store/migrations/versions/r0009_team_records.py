"""Teams say what may be kept of their requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Keep every row that is there: teams of before bound nothing."""
    op.add_column("teams", sa.Column("records", sa.Text))
