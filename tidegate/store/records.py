"""The store as the control process and the command line see it: records first of all.

Rows and the place they were read from in the spool are written in one transaction, so that a
record is in the store exactly once however often the loader dies. A commit is on the disk before
`insert` returns: only then may the spool forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select, update

from tidegate.store.database import Database, database_file
from tidegate.store.held import HeldStore
from tidegate.store.intake import Intake
from tidegate.store.responses import ResponseStore
from tidegate.store.rows import Added, Batch, Place, Row
from tidegate.store.spend import SpendStore
from tidegate.store.tables.admin import state
from tidegate.store.tables.records import IS_ERROR, records, segments

__all__ = ["Filter", "Found", "RecordStore", "database_file"]


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


class RecordStore:
    """Everything durable at `url`: `sqlite:////var/lib/tidegate.db`, `postgresql://HOST/NAME`."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.responses = ResponseStore(self.database)
        self.held = HeldStore(self.database)
        self.spending = SpendStore(self.database)
        self._intake = Intake(self.database)

    def create(self) -> None:
        """Make what is not there, and bring what is to the schema of this version.

        Raises: `StoreTooNew` when a later version has been at work, `OSError`, `SQLAlchemyError`.
        """
        # Imported here: it is long, and whoever only asks needs none of it.
        from tidegate.store.migrations import upgrade  # noqa: PLC0415

        self.database.touch()
        upgrade(self.database)

    def exists(self) -> bool:
        """Whether the file is there; a server is taken to be."""
        return self.database.exists()

    def close(self) -> None:
        """Let go of the file or the server."""
        self.database.close()

    def insert(self, batch: Batch, place: Place) -> Added:
        """Add `batch`, read up to `place`; how many of its records and responses were new."""
        return self._intake.insert(batch, place)

    def give_up(self, lost: Sequence[Row], now_ns: int) -> list[str]:
        """Add the records of requests that were lost; return the ids whose hold was still open."""
        return self._intake.give_up(lost, now_ns)

    def unsummed(self, most: int) -> list[Found]:
        """Up to `most` records of an earlier version that are in no sum, the newest first."""
        with self.database.reading() as connection:
            number = select(state.c.value).where(state.c.name == "unsummed_id")
            last_id = connection.execute(number).scalar() or 0
        if not last_id:
            return []
        query = _narrow(Filter()).where(records.c.id <= last_id)
        return self._find(query.order_by(records.c.id.desc()).limit(most))

    def sum_up(self, rows: Sequence[tuple[int, Row]], top: int, below: int) -> None:
        """Give those records, with ids from `below` up to `top`, their columns and sums; once."""
        self._intake.sum_up(rows, top, below)

    def name_spool(self, spool: str) -> None:
        """Give the places that were noted before spools had names to `spool`."""
        with self.database.writing() as connection:
            connection.execute(update(segments).where(segments.c.spool == "").values(spool=spool))

    def offsets(self, spool: str) -> dict[str, int]:
        """How far each segment of a spool has been loaded."""
        with self.database.reading() as connection:
            query = select(segments.c.name, segments.c.offset).where(segments.c.spool == spool)
            return {row[0]: row[1] for row in connection.execute(query)}

    def forget(self, spool: str, segment: str) -> None:
        """Drop the place of a segment that is no more."""
        mine = segments.c.spool == spool, segments.c.name == segment
        with self.database.writing() as connection:
            connection.execute(delete(segments).where(*mine))

    def recent(self, limit: int, wanted: Filter) -> list[Found]:
        """The newest `limit` records by the time they began, oldest of them first."""
        order = (records.c.started_ns.desc(), records.c.id.desc())
        return self._find(_narrow(wanted).order_by(*order).limit(limit))[::-1]

    def after(self, last_id: int, limit: int, wanted: Filter) -> list[Found]:
        """Up to `limit` records loaded after the one with `last_id`, in the order of loading."""
        query = _narrow(wanted).where(records.c.id > last_id)
        return self._find(query.order_by(records.c.id).limit(limit))

    def last_id(self) -> int:
        """The id of the record loaded last; 0 when there is none."""
        with self.database.reading() as connection:
            query = select(records.c.id).order_by(records.c.id.desc()).limit(1)
            return connection.execute(query).scalar() or 0

    def last_used(self, keys: Iterable[str]) -> dict[str, int]:
        """When each of these keys asked last, in Unix nanoseconds, as far as records are kept."""
        found: dict[str, int] = {}
        with self.database.reading() as connection:
            for key in keys:  # a step in the index for each
                query = select(func.max(records.c.started_ns)).where(records.c.key == key)
                last_ns = connection.execute(query).scalar()
                if last_ns is not None:
                    found[key] = last_ns
        return found

    def get(self, request_id: str) -> bytes | None:
        """The payload of one request."""
        query = _narrow(Filter()).where(records.c.request_id == request_id)
        found = self._find(query)
        return found[0].payload if found else None

    def beginning(self, start: str, most: int) -> list[Found]:
        """Up to `most` records whose request's id begins so."""
        if self.database.postgres:
            alike = records.c.request_id.startswith(start, autoescape=True)
        else:  # where an index is used for what lies between two
            last = f"{start}\U0010ffff"
            alike = records.c.request_id.between(start, last)
        return self._find(_narrow(Filter()).where(alike).order_by(records.c.id).limit(most))

    def _find(self, query: Select[int, bytes]) -> list[Found]:
        with self.database.reading() as connection:
            return [Found(id_, payload) for id_, payload in connection.execute(query)]


def _narrow(wanted: Filter) -> Select[int, bytes]:
    query = select(records.c.id, records.c.payload)
    if wanted.alias is not None:
        query = query.where(records.c.alias == wanted.alias)
    if wanted.key is not None:
        query = query.where(records.c.key == wanted.key)
    if wanted.outcome is not None:
        query = query.where(records.c.outcome == wanted.outcome)
    if wanted.target is not None:
        provider, stroke, _ = wanted.target.partition("/")
        query = query.where(records.c.provider == provider)  # which has an index, as no target has
        if stroke:
            query = query.where(records.c.target == wanted.target)
    if wanted.errors:
        query = query.where(IS_ERROR)
    if wanted.since_ns is not None:
        query = query.where(records.c.started_ns >= wanted.since_ns)
    return query
