"""Records in SQLite: a few columns to search by, and the whole record as the spool carried it.

Rows and the place they were read from in the spool are written in one transaction, so that a
record is in the store exactly once however often the loader dies. A commit is on the disk before
`insert` returns (write-ahead log, `synchronous=FULL`): only then may the spool forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    create_engine,
    delete,
    event,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from tidegate.store.responses import ResponseRow, ResponseStore, add_responses
from tidegate.store.schema import SCHEMA

# Spelled out, not bound: SQLite uses a partial index only where it sees the same condition.
_IS_ERROR = text("outcome != 'ok'")

_records = Table(
    "records",
    SCHEMA,
    Column("id", Integer, primary_key=True),
    Column("request_id", Text, nullable=False, unique=True),
    Column("started_ns", BigInteger, nullable=False),
    Column("alias", Text),
    Column("key", Text),
    Column("outcome", Text, nullable=False),
    Column("provider", Text),
    Column("target", Text),
    Column("payload", LargeBinary, nullable=False),
    Index("records_started", "started_ns"),
    Index("records_alias", "alias", "started_ns"),
    Index("records_key", "key", "started_ns"),
    Index("records_outcome", "outcome", "started_ns"),
    Index("records_provider", "provider", "started_ns"),
    Index("records_errors", "started_ns", sqlite_where=_IS_ERROR),
)

_segments = Table(
    "segments",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("offset", BigInteger, nullable=False),
)


class Row(TypedDict):
    """A record's searchable columns, and the record itself."""

    request_id: str
    started_ns: int
    alias: str | None
    key: str | None
    outcome: str
    provider: str | None
    target: str | None
    payload: bytes


AnyRow = Row | ResponseRow


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are meant: those that pass every field that is set."""

    alias: str | None = None
    key: str | None = None
    outcome: str | None = None
    target: str | None = None
    """`provider/model`, or a provider alone."""
    errors: bool = False
    """Only records whose outcome is not `ok`."""
    since_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A stored record's place in the order of loading, and its payload."""

    id: int
    payload: bytes


def database_file(url: str) -> Path | None:
    """The file behind a store's URL; None when it has none."""
    database = make_url(url).database
    return Path(database) if database and database != ":memory:" else None


class RecordStore:
    """The tables at `url`, such as `sqlite:////var/lib/tidegate.db`: records first of all.

    What was kept of answers (`responses`) comes from the same segments, in between.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        if self._url.get_backend_name() != "sqlite":
            raise ValueError(f"store {self._url.render_as_string()} must begin with sqlite:///")
        self._engine = create_engine(self._url)
        event.listen(self._engine, "connect", _prepare)
        self.responses = ResponseStore(self._engine)

    def create(self) -> None:
        """Make the file and its tables where they do not exist, anew if somebody deleted it."""
        self._engine.dispose()
        file = database_file(str(self._url))
        if file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
        with self._engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        SCHEMA.create_all(self._engine)

    def exists(self) -> bool:
        """Whether the file is there."""
        file = database_file(str(self._url))
        return file is None or file.exists()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def insert(self, rows: Sequence[AnyRow], segment: str, offset: int) -> int:
        """Add `rows`, read from `segment` up to `offset`; return how many were not there yet."""
        place = insert(_segments).values(name=segment, offset=offset)
        place = place.on_conflict_do_update(set_={"offset": place.excluded.offset})
        add = insert(_records).on_conflict_do_nothing(index_elements=["request_id"])
        records = [row for row in rows if "request_id" in row]
        with self._engine.begin() as connection:
            connection.execute(place)
            new = connection.execute(add, records).rowcount if records else 0
            return new + add_responses(connection, [row for row in rows if "id" in row])

    def offsets(self) -> dict[str, int]:
        """How far each segment has been loaded."""
        with self._engine.connect() as connection:
            found = connection.execute(select(_segments.c.name, _segments.c.offset))
            return {row[0]: row[1] for row in found}

    def forget(self, segment: str) -> None:
        """Drop the place of a segment that is no more."""
        with self._engine.begin() as connection:
            connection.execute(delete(_segments).where(_segments.c.name == segment))

    def recent(self, limit: int, wanted: Filter) -> list[Found]:
        """The newest `limit` records by the time they began, oldest of them first."""
        order = (_records.c.started_ns.desc(), _records.c.id.desc())
        return self._find(_narrow(wanted).order_by(*order).limit(limit))[::-1]

    def after(self, last_id: int, limit: int, wanted: Filter) -> list[Found]:
        """Up to `limit` records loaded after the one with `last_id`, in the order of loading."""
        query = _narrow(wanted).where(_records.c.id > last_id)
        return self._find(query.order_by(_records.c.id).limit(limit))

    def last_id(self) -> int:
        """The id of the record loaded last; 0 when there is none."""
        with self._engine.connect() as connection:
            query = select(_records.c.id).order_by(_records.c.id.desc()).limit(1)
            return connection.execute(query).scalar() or 0

    def get(self, request_id: str) -> bytes | None:
        """The payload of one request."""
        query = _narrow(Filter()).where(_records.c.request_id == request_id)
        found = self._find(query)
        return found[0].payload if found else None

    def _find(self, query: Select[int, bytes]) -> list[Found]:
        with self._engine.connect() as connection:
            return [Found(id_, payload) for id_, payload in connection.execute(query)]


def _narrow(wanted: Filter) -> Select[int, bytes]:
    query = select(_records.c.id, _records.c.payload)
    if wanted.alias is not None:
        query = query.where(_records.c.alias == wanted.alias)
    if wanted.key is not None:
        query = query.where(_records.c.key == wanted.key)
    if wanted.outcome is not None:
        query = query.where(_records.c.outcome == wanted.outcome)
    if wanted.target is not None:
        named = (_records.c.target == wanted.target, _records.c.provider == wanted.target)
        query = query.where(or_(*named))
    if wanted.errors:
        query = query.where(_IS_ERROR)
    if wanted.since_ns is not None:
        query = query.where(_records.c.started_ns >= wanted.since_ns)
    return query


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.close()
