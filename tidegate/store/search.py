"""Records by anything that is known of them, newest first, a page at a time.

No question may take long, whatever is asked and however much there is. So one index leads (that of
the field that says most), and the records that it names are looked at in stretches of time, each of
a bounded number of them; when the patience is over, the answer says how far it has come, and one
may go on from there. Pages are cut by where the last one ended, never by counting from the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from tidegate.store.database import Database
from tidegate.store.tables.records import IS_ERROR, records

PATIENCE_S: Final = 0.15
_STRETCHES: Final = (1_000, 4_000)
"""How many records are looked at with one question; the last again and again."""
_COVERED: Final = (16_000, 64_000)
"""How many, where the index that leads says all that is asked."""
_OPENED: Final = 500
"""How many, where their payloads have to be opened."""
_LEADING: Final = ("conversation", "trace", "user", "key", "outcome", "alias", "provider")
"""Fields with an index of their own, those that say most first."""
_BESIDE: Final = ("team", "organisation", "feature")
"""Fields that stand in the index of the time, as `model` does."""
_NAMES: Final = (*_LEADING, *_BESIDE, "target")
_ID_CHARACTERS: Final = len("req_") + 8
"""So many of an id's beginning lead to few records."""
_MOST_ALIKE: Final = 1_000
_AFTER_ANY_ID: Final = "z"
"""Ids are hexadecimal; it comes after their digits whatever the language of the database."""
_LAST: Final = "\U0010ffff"
NEVER_NS: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Search:
    """Which records are wanted: those that pass every field that is set."""

    since_ns: int = 0
    until_ns: int = NEVER_NS
    request_id: str | None = None
    """How it begins."""
    alias: str | None = None
    key: str | None = None
    user: str | None = None
    team: str | None = None
    organisation: str | None = None
    feature: str | None = None
    conversation: str | None = None
    trace: str | None = None
    provider: str | None = None
    target: str | None = None
    model: str | None = None
    """As the provider names it, or the target, `provider/model`."""
    outcome: str | None = None
    errors: bool = False
    """Only what did not end with `ok`."""
    least_nanousd: int | None = None
    least_ms: float | None = None
    """It took at least so long."""
    tag: tuple[str, str] | None = None
    """Name and value."""


class Spot(NamedTuple):
    """A place between records, in the order of time."""

    started_ns: int
    id: int


class Hit(NamedTuple):
    """A record that is wanted."""

    started_ns: int
    id: int
    payload: bytes

    @property
    def spot(self) -> Spot:
        """Where it is."""
        return Spot(self.started_ns, self.id)


class Hits(NamedTuple):
    """A page of records, the newest first."""

    rows: tuple[Hit, ...]
    older: Spot | None
    """Where to go on back in time; None where nothing is left."""
    newer: Spot | None
    """Where to go on towards now."""
    looked_ns: int | None = None
    """If patience was over before the page was full: until when all was looked at."""


class _Inside(Struct, gc=False):
    # What only the payload knows of a record.
    tags: dict[str, str] = {}
    duration_ms: float = 0.0


_inside = msgspec.msgpack.Decoder(_Inside)


class RecordSearch:
    """The records of a database, to be searched."""

    def __init__(
        self, database: Database, *, patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:  # fmt: skip
        self._database = database
        self._patience_s = patience_s
        self._clock = clock

    def older(self, wanted: Search, most: int, before: Spot | None = None) -> Hits:
        """The newest `most` records, or those before a spot. Raises: `SQLAlchemyError`."""
        rows, looked_ns = self._found(wanted, most, before, _Back())
        cut = len(rows) > most
        rows = rows[:most]
        last = rows[-1].spot if cut else None
        if looked_ns is not None:
            last = Spot(looked_ns, 0)
        first = rows[0].spot if rows else before
        return Hits(tuple(rows), last, None if before is None else first, looked_ns)

    def newer(self, wanted: Search, most: int, after: Spot) -> Hits:
        """Those `most` records that follow on a spot. Raises: `SQLAlchemyError`."""
        rows, looked_ns = self._found(wanted, most, after, _Forth())
        cut = len(rows) > most
        rows = rows[:most][::-1]
        first = rows[0].spot if cut else None
        if looked_ns is not None:
            first = Spot(looked_ns, 0)
        return Hits(tuple(rows), rows[-1].spot if rows else after, first, looked_ns)

    def _found(
        self, wanted: Search, most: int, spot: Spot | None, way: _Way
    ) -> tuple[list[Hit], int | None]:
        """Up to one more than `most`; and how far was looked, if not to the end."""
        until_s = self._clock() + self._patience_s
        postgres = self._database.postgres
        lead, rest = _conditions(wanted, postgres=postgres)
        # PostgreSQL asks the table too for whatever was not vacuumed since it was written.
        covered = not postgres and _is_covered(wanted)
        opens = wanted.tag is not None or wanted.least_ms is not None
        found: list[Hit] = []
        with self._database.reading() as connection:
            for size in _sizes(opens=opens, covered=covered):
                span = [*lead, *way.beyond(wanted, spot)]
                whole = not rest and not opens
                edge_ns = None if whole else _edge(connection, span, size, way)
                stretch = [*lead, *way.beyond(wanted, spot, edge_ns), *rest]
                query = select(records.c.started_ns, records.c.id, records.c.payload)
                query = query.where(*stretch).order_by(*way.order())
                left = most + 1 - len(found)
                if not opens:
                    query = query.limit(left)
                hits = (Hit(*row) for row in connection.execute(query))
                found += [each for each in hits if not opens or _passes(wanted, each)][:left]
                if len(found) > most or edge_ns is None:
                    return found, None
                if self._clock() >= until_s:
                    return found, edge_ns
                spot = way.past(edge_ns)
        raise AssertionError("stretches do not end")


class _Back:
    # From now towards the past.

    def order(self) -> tuple[ColumnElement[Any], ...]:
        return records.c.started_ns.desc(), records.c.id.desc()

    def beyond(
        self, wanted: Search, spot: Spot | None, edge_ns: int | None = None
    ) -> list[ColumnElement[bool]]:
        # Each bound is said once: SQLite takes the first one, and looks at all that is beyond.
        began, id_ = records.c.started_ns, records.c.id
        span = [began >= (wanted.since_ns if edge_ns is None else edge_ns)]
        if spot is None or spot.started_ns >= wanted.until_ns:
            return [*span, began < wanted.until_ns]
        later = or_(began < spot.started_ns, id_ < spot.id)
        return [*span, began <= spot.started_ns, later]

    def past(self, edge_ns: int) -> Spot:
        return Spot(edge_ns, 0)


class _Forth:
    # The other way.

    def order(self) -> tuple[ColumnElement[Any], ...]:
        return records.c.started_ns, records.c.id

    def beyond(
        self, wanted: Search, spot: Spot | None, edge_ns: int | None = None
    ) -> list[ColumnElement[bool]]:
        began, id_ = records.c.started_ns, records.c.id
        span = [began < wanted.until_ns if edge_ns is None else began <= edge_ns]
        if spot is None or spot.started_ns < wanted.since_ns:
            return [*span, began >= wanted.since_ns]
        later = or_(began > spot.started_ns, id_ > spot.id)
        return [*span, began >= spot.started_ns, later]

    def past(self, edge_ns: int) -> Spot:
        return Spot(edge_ns, NEVER_NS)


_Way = _Back | _Forth


def _sizes(*, opens: bool, covered: bool) -> Iterator[int]:
    stretches = (_OPENED,) if opens else _COVERED if covered else _STRETCHES
    yield from stretches
    while True:
        yield stretches[-1]


def _edge(
    connection: Connection, span: list[ColumnElement[bool]], size: int, way: _Way
) -> int | None:
    """When the last of the next `size` records began; None where there are not so many."""
    query = select(records.c.started_ns).where(*span).order_by(way.order()[0])
    return connection.execute(query.offset(size - 1).limit(1)).scalar()


def _conditions(
    wanted: Search, *, postgres: bool
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What an index leads to, and what is looked for among that."""
    lead: list[ColumnElement[bool]] = []
    rest: list[ColumnElement[bool]] = []
    if wanted.request_id is not None:
        if len(wanted.request_id) >= _ID_CHARACTERS:
            lead.append(_begins(wanted.request_id, postgres=postgres))
        else:
            rest.append(records.c.request_id.startswith(wanted.request_id, autoescape=True))
    for name in _NAMES:
        value = getattr(wanted, name)
        if value is None:
            continue
        if not lead and name in _LEADING:
            lead.append(records.c[name] == value)
        elif name in _BESIDE:
            rest.append(records.c[name] == value)
        else:  # said so that no index is used for it, which would lead through all of the time
            rest.append((records.c[name] + "") == value)
    if wanted.model is not None:
        rest.append(_model(wanted.model))
    if wanted.errors and wanted.outcome is None:
        (rest if lead else lead).append(and_(IS_ERROR))
    if wanted.least_nanousd is not None:
        rest.append(records.c.cost_nanousd >= wanted.least_nanousd)
    return lead, rest


def _is_covered(wanted: Search) -> bool:
    # Whether the index that leads says all that is asked, and only what is found is looked at.
    named = (*_NAMES, "model", "request_id", "least_nanousd")
    asked = {name for name in named if getattr(wanted, name) is not None}
    if wanted.errors:
        return asked == {"alias"}
    return asked <= {*_BESIDE, "model"} and "/" not in (wanted.model or "")


def _model(name: str) -> ColumnElement[bool]:
    # Only a target, `provider/model`, has a stroke for certain; a model may have one.
    own = records.c.model == name
    return or_(own, records.c.target == name) if "/" in name else own


def _begins(start: str, *, postgres: bool) -> ColumnElement[bool]:
    # `LIKE` is not answered from the index in SQLite, nor in PostgreSQL but for the locale C.
    last = start + (_AFTER_ANY_ID * _ID_CHARACTERS if postgres else _LAST)
    id_ = records.c.request_id
    alike = id_.between(start, last), id_.startswith(start, autoescape=True)
    return records.c.id.in_(select(records.c.id).where(*alike).order_by(id_).limit(_MOST_ALIKE))


def _passes(wanted: Search, hit: Hit) -> bool:
    try:
        inside = _inside.decode(hit.payload)
    except msgspec.DecodeError:  # of a version that is not ours
        return False
    if wanted.tag is not None and inside.tags.get(wanted.tag[0]) != wanted.tag[1]:
        return False
    return wanted.least_ms is None or inside.duration_ms >= wanted.least_ms
