"""Records, segments and responses, as they were before the schema had versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make what is not there yet: what is was made by a Tidegate without versions."""
    op.create_table(
        "records",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False, unique=True),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("alias", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("target", sa.Text),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "segments",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    for name, table, columns in (
        ("records_started", "records", ["started_ns"]),
        ("records_alias", "records", ["alias", "started_ns"]),
        ("records_key", "records", ["key", "started_ns"]),
        ("records_outcome", "records", ["outcome", "started_ns"]),
        ("records_provider", "records", ["provider", "started_ns"]),
        ("responses_root", "responses", ["root", "expires_ns"]),
    ):
        op.create_index(name, table, columns, if_not_exists=True)
    errors = sa.text("outcome != 'ok'")
    op.create_index(
        "records_errors", "records", ["started_ns"],
        sqlite_where=errors, postgresql_where=errors, if_not_exists=True,
    )  # fmt: skip
