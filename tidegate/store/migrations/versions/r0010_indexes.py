"""Indexes that filters by team, organisation, feature, model and outcome are answered from."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

_INDEXES = (
    ("records_started", ("started_ns", "team", "organisation", "feature", "model")),
    ("records_alias", ("alias", "started_ns", "outcome")),
)


def upgrade() -> None:
    """Make two indexes anew, wider than before."""
    for name, columns in _INDEXES:
        op.drop_index(name, "records")
        op.create_index(name, "records", list(columns))
