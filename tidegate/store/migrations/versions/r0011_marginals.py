"""Hours and days that are over are summed up by fewer names, and their bins packed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_COUNTS = (
    "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_input_tokens",
    "audio_output_tokens", "cost_nanousd", "slow",
)  # fmt: skip


def upgrade() -> None:
    """Keep every row that is there; all is made later, the newest first."""
    op.create_table(
        "marginals",
        sa.Column("span_s", sa.BigInteger, nullable=False),
        sa.Column("face", sa.Text, nullable=False),
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("other", sa.Text, nullable=False),
        *(sa.Column(count, sa.BigInteger, nullable=False) for count in _COUNTS),
        sa.PrimaryKeyConstraint("span_s", "face", "began_s", "name", "other"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marginals_stale",
        sa.Column("span_s", sa.BigInteger, nullable=False),
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("span_s", "began_s"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quality_packed",
        sa.Column("span_s", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("bins", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("span_s", "kind", "began_s", "group_id"),
        sqlite_with_rowid=False,
    )
    for span_s, table in ((3_600, "rollups_hour"), (86_400, "rollups_day")):
        op.execute(
            f"INSERT INTO marginals_stale SELECT DISTINCT {span_s}, began_s, 1 FROM {table}"  # noqa: S608 - ours
        )
