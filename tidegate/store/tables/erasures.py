"""Which users were erased, so that nothing that comes later brings them back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from tidegate.store.schema import SCHEMA

erasures = Table(
    "erasures",
    SCHEMA,
    Column("digest", Text, primary_key=True),
    Column("erased_ns", BigInteger, nullable=False),
    Column("done_ns", BigInteger),
    Index("erasures_erased", "erased_ns"),
)
"""The digest of a name, and until when all that is theirs goes; no `done_ns` while some is left."""
