"""Money, sums and the admin API; segments of several spools; PostgreSQL's records by month.

Records that are there already get no sums here: that takes longer than a start may. The number
`unsummed_id` says up to which id they lack them, and the control process sees to it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tidegate.store.partitions import add_partition, month_of

revision = "0002"
down_revision = "0001"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COUNTS = (
    "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_input_tokens",
    "audio_output_tokens", "cost_nanousd",
)  # fmt: skip


def upgrade() -> None:
    """Keep every row that is there."""
    postgres = op.get_context().dialect.name == "postgresql"
    _widen_records(postgres=postgres)
    _key_segments_by_spool()
    _make_money()
    _make_sums()
    _make_people()
    _make_trail()
    _refuse_changes_of_the_trail(postgres=postgres)


def _widen_records(*, postgres: bool) -> None:
    if postgres:
        _partition_records()
    for name in ("user", "team", "organisation", "feature", "model", "conversation"):
        op.add_column("records", sa.Column(name, sa.Text))
    op.add_column("records", sa.Column("cost_nanousd", sa.BigInteger))
    for name in ("user", "conversation"):
        there = sa.text(f'"{name}" IS NOT NULL')
        op.create_index(
            f"records_{name}", "records", [name, "started_ns"],
            sqlite_where=there, postgresql_where=there,
        )  # fmt: skip


def _partition_records() -> None:
    connection = op.get_bind()
    run = connection.exec_driver_sql
    run("ALTER TABLE records RENAME TO records_before")
    run("CREATE SEQUENCE records_ids")
    run("SELECT setval('records_ids', COALESCE((SELECT MAX(id) FROM records_before), 0) + 1)")
    run(
        "CREATE TABLE records (id BIGINT NOT NULL DEFAULT nextval('records_ids'),"
        " request_id TEXT NOT NULL, started_ns BIGINT NOT NULL, alias TEXT, key TEXT,"
        " outcome TEXT NOT NULL, provider TEXT, target TEXT, payload BYTEA NOT NULL"
        ") PARTITION BY RANGE (started_ns)"
    )
    began = "SELECT DISTINCT started_ns / 86400000000000 * 86400000000000 FROM records_before"
    for month in sorted({month_of(day_ns) for (day_ns,) in run(began)}):
        add_partition(connection, month)
    columns = "id, request_id, started_ns, alias, key, outcome, provider, target, payload"
    run(f"INSERT INTO records ({columns}) SELECT {columns} FROM records_before")  # noqa: S608 - ours
    run("DROP TABLE records_before")
    run("ALTER TABLE records ADD PRIMARY KEY (id, started_ns)")
    run("ALTER TABLE records ADD UNIQUE (request_id, started_ns)")
    op.create_index("records_started", "records", ["started_ns"])
    for name in ("alias", "key", "outcome", "provider"):
        op.create_index(f"records_{name}", "records", [name, "started_ns"])
    errors = sa.text("outcome != 'ok'")
    op.create_index("records_errors", "records", ["started_ns"], postgresql_where=errors)


def _key_segments_by_spool() -> None:
    op.rename_table("segments", "segments_before")
    op.create_table(
        "segments",
        sa.Column("spool", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("spool", "name", name="segments_of_spools"),
    )
    # The spool without a name is the one that there was: its loader gives it one.
    op.execute("INSERT INTO segments SELECT '', name, \"offset\" FROM segments_before")
    op.drop_table("segments_before")


def _make_money() -> None:
    op.create_table(
        "holds",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("spool", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("held_nanousd", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("said_nanousd", sa.BigInteger),
        sa.Column("settled_ns", sa.BigInteger),
        sa.Column("added", sa.LargeBinary),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    unsettled = sa.text("settled_ns IS NULL")
    op.create_index(
        "holds_open", "holds", ["expires_ns"], sqlite_where=unsettled, postgresql_where=unsettled
    )
    op.create_table(
        "charges",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("began_s", sa.BigInteger, nullable=False),
        sa.Column("nanousd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "began_s"),
        sqlite_with_rowid=False,
    )


def _make_sums() -> None:
    names = ("key", "user", "team", "organisation", "feature", "alias", "model", "provider")
    op.create_table(
        "rollup_groups",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text) for name in names),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_table(
        "rollup_names",
        sa.Column("day_s", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("day_s", "kind", "name"),
        sqlite_with_rowid=False,
    )
    for span in ("minute", "hour", "day"):
        op.create_table(
            f"rollups_{span}",
            sa.Column("began_s", sa.BigInteger, nullable=False),
            sa.Column("group_id", sa.BigInteger, nullable=False),
            *(sa.Column(count, sa.BigInteger, nullable=False) for count in _COUNTS),
            sa.PrimaryKeyConstraint("began_s", "group_id"),
            sqlite_with_rowid=False,
        )


def _make_people() -> None:
    op.create_table(
        "organisations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("organisation", sa.Text, sa.ForeignKey("organisations.name")),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("team", sa.Text, sa.ForeignKey("teams.name")),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )
    owners = ("user", "team", "organisation", "environment", "models", "features", "may_name")
    op.create_table(
        "virtual_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("digests", sa.Text, nullable=False),
        *(sa.Column(owner, sa.Text) for owner in owners),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("expires_ns", sa.BigInteger),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rules",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
    )
    op.create_table(
        "prices",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("from_ns", sa.BigInteger, nullable=False),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("provider", "model", "from_ns"),
    )
    op.create_table(
        "admin_tokens",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("expires_ns", sa.BigInteger),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
    )


def _make_trail() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_at", "audit", ["at_ns"])
    op.create_table(
        "idempotency",
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.LargeBinary),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("actor", "key"),
    )
    op.create_index("idempotency_at", "idempotency", ["at_ns"])
    op.create_table(
        "state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO state VALUES ('access_version', 0)")
    op.execute("INSERT INTO state SELECT 'unsummed_id', COALESCE(MAX(id), 0) FROM records")


def _refuse_changes_of_the_trail(*, postgres: bool) -> None:
    if postgres:
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    else:
        op.execute(
            "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit"
            " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
