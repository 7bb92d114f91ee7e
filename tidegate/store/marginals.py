"""Marginal sums: what roll-ups come to by one or two names, made when an hour or a day is over.

Roll-ups are by everything at once, so there are nearly as many as requests; of a month by team only
fifty times thirty sums are wanted. They are asked only as long as nothing has changed (`stale.py`):
whatever is told is the sum of the roll-ups, however late a record comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, literal, or_, select

from tidegate.store.bulk import merge_many
from tidegate.store.database import Database
from tidegate.store.packed import forget as forget_packed
from tidegate.store.packed import pack
from tidegate.store.stale import DAY_S, HOUR_S
from tidegate.store.tables.marginals import marginals, marginals_stale
from tidegate.store.tables.money import rollup_groups, rollups_day, rollups_hour
from tidegate.store.tables.quality import quality_bins

TURN: Final = "records"
NAMES: Final = (
    "user", "key", "feature", "team", "model", "alias", "provider", "organisation", "outcome",
)  # fmt: skip
"""Of two names the one that stands first here is `marginals.name`."""
_SINGLE: Final = NAMES
_PAIRS: Final = tuple(",".join(pair) for pair in combinations(NAMES, 2))
_ROLLUPS: Final = {HOUR_S: rollups_hour, DAY_S: rollups_day}
_FACES: Final = {HOUR_S: _SINGLE, DAY_S: (*_SINGLE, *_PAIRS)}
"""Pairs of each hour would be as many as roll-ups are."""
_AT_ONCE: Final = len(_SINGLE)
_LATE_S: Final = {HOUR_S: 300, DAY_S: 1_800}
"""How long after its end we wait for what was asked in it to be over."""
_COUNTS: Final = tuple(
    column.name for column in rollups_day.columns if column.name not in rollups_day.primary_key
)


def face_of(span_s: int, names: Iterable[str]) -> str | None:
    """Which marginals of such spans know these names, no more than two; None where none do."""
    wanted = set(names) or {"outcome"}
    face = ",".join(name for name in NAMES if name in wanted)
    return face if face in _FACES[span_s] else None


def column_of(face: str, name: str) -> ColumnElement[str]:
    """Where `face` has that name."""
    return marginals.c.name if face.partition(",")[0] == name else marginals.c.other


def written(name: str | None) -> str:
    """A name as it stands in marginals."""
    return "" if name is None else f"={name}"


def read(name: str) -> str | None:
    """The name that stands there; None where there is none."""
    return name[1:] if name else None


class Marginals:
    """Makes them, a span at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, now_s: int) -> bool:
        """Make those of one span that is over by now; whether there was one.

        A few faces are a short transaction; only when all are there, and nothing has
        changed meanwhile, are they asked. Raises: `SQLAlchemyError`.
        """
        stale = marginals_stale.c
        over = [
            and_(stale.span_s == span_s, stale.began_s <= now_s - span_s - late_s)
            for span_s, late_s in _LATE_S.items()
        ]
        newest = select(marginals_stale).where(or_(*over)).order_by(stale.began_s.desc()).limit(1)
        with self._database.reading() as connection:
            found = connection.execute(newest).one_or_none()
        if found is None:
            return False
        span_s, began_s, changes = found
        faces = _FACES[span_s]
        for first in range(0, len(faces), _AT_ONCE):
            with self._database.writing(TURN) as connection:
                for face in faces[first : first + _AT_ONCE]:
                    _make(connection, span_s, began_s, face)
        with self._database.writing(TURN) as connection:
            pack(connection, span_s, began_s)
        same = stale.span_s == span_s, stale.began_s == began_s, stale.changes == changes
        with self._database.writing(TURN) as connection:
            connection.execute(delete(marginals_stale).where(*same))
        return True


def _make(connection: Connection, span_s: int, began_s: int, face: str) -> None:
    one = marginals.c
    mine = one.span_s == span_s, one.face == face, one.began_s == began_s
    connection.execute(delete(marginals).where(*mine))
    table, groups = _ROLLUPS[span_s], rollup_groups.c
    named: list[ColumnElement[str]] = [
        func.coalesce(literal("=") + groups[name], "") for name in face.split(",")
    ]
    if len(named) == 1:
        named.append(literal(""))
    counts = (func.sum(table.c[count]) for count in _COUNTS)
    told = (
        select(literal(span_s), literal(face), table.c.began_s, *named, *counts)
        .join_from(table, rollup_groups, groups.id == table.c.group_id)
        .where(table.c.began_s == began_s)
        .group_by(table.c.began_s, *(groups[name] for name in face.split(",")))
    )
    connection.execute(marginals.insert().from_select(list(one), told))


def rename(
    connection: Connection, user: str, instead: str, spans: Collection[tuple[int, int]]
) -> None:
    """Count what is told of `user` in these spans for `instead`: sums by anything else stay."""
    one = marginals.c
    for span_s, every in _FACES.items():
        faces = [face for face in every if face.partition(",")[0] == "user"]
        began = sorted({began_s for each_s, began_s in spans if each_s == span_s})
        mine = one.span_s == span_s, one.face.in_(faces), one.name == written(user)
        theirs = [*mine, one.began_s.in_(began)]
        rows = [tuple(row) for row in connection.execute(select(marginals).where(*theirs))]
        moved = [(*row[:3], written(instead), *row[4:]) for row in rows]
        merge_many(connection, marginals, moved, add=_COUNTS)
        connection.execute(delete(marginals).where(*theirs))


def forget(connection: Connection, table: Table, before_s: int) -> None:
    """Drop what was made of rows of `table`, which are dropped: all of before."""
    if table is quality_bins:
        forget_packed(connection, before_s)
    span_s = next((span_s for span_s, each in _ROLLUPS.items() if each is table), None)
    if span_s is None:
        return
    one, stale = marginals.c, marginals_stale.c
    old = one.span_s == span_s, one.face.in_(_FACES[span_s]), one.began_s < before_s
    connection.execute(delete(marginals).where(*old))
    gone = stale.span_s == span_s, stale.began_s < before_s
    connection.execute(delete(marginals_stale).where(*gone))
