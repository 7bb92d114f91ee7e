"""Users may be erased, and prompts and answers go before their records do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Keep every row that is there; which records have prompts is found out when they are old."""
    op.create_table(
        "erasures",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("erased_ns", sa.BigInteger, nullable=False),
        sa.Column("done_ns", sa.BigInteger),
    )
    op.create_index("erasures_erased", "erasures", ["erased_ns"])
    has_bodies = sa.Column("has_bodies", sa.Boolean, nullable=False, server_default=sa.true())
    op.add_column("records", has_bodies)
    held = sa.text("has_bodies")
    op.create_index(
        "records_bodies", "records", ["started_ns"], sqlite_where=held, postgresql_where=held
    )
    op.add_column("responses", sa.Column("user", sa.Text))
    op.create_index("responses_user", "responses", ["user"])
