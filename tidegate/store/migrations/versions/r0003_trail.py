"""The audit trail keeps its rows too; people may belong to those of the configuration file.

Rows of the trail are deleted up to the number `audit_cut` only, which whoever cuts it off sets
first, in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_CUT = "COALESCE((SELECT value FROM state WHERE name = 'audit_cut'), 0)"
_REFUSED = "the audit trail is append-only"


def upgrade() -> None:
    """Keep every row that is there."""
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("users_team_fkey", "users")
        op.drop_constraint("teams_organisation_fkey", "teams")
        op.execute(
            "CREATE FUNCTION refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN IF OLD.seq > {_CUT} THEN RAISE EXCEPTION '{_REFUSED}'; END IF;"
            " RETURN OLD; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_remains BEFORE DELETE ON audit"
            " FOR EACH ROW EXECUTE FUNCTION refuse_deletion()"
        )
        op.execute(
            "CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    _make_again("users", sa.Column("team", sa.Text))
    _make_again(
        "teams",
        sa.Column("organisation", sa.Text),
        sa.Column("weight", sa.Integer, nullable=False),
    )
    op.execute(
        f"CREATE TRIGGER audit_remains BEFORE DELETE ON audit WHEN OLD.seq > {_CUT}"
        f" BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    )


def _make_again(name: str, *columns: sa.Column[object]) -> None:
    # SQLite cannot take a foreign key off a table.
    fresh = op.create_table(
        f"{name}_fresh",
        sa.Column("name", sa.Text, primary_key=True),
        *columns,
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )
    names = ", ".join(fresh.c.keys())
    op.execute(f"INSERT INTO {name}_fresh ({names}) SELECT {names} FROM {name}")  # noqa: S608
    op.drop_table(name)
    op.rename_table(f"{name}_fresh", name)
