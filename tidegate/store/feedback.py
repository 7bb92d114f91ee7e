"""What people say of answers, tied to the requests that they were the answers to.

Whoever judges must have asked: the same key, or one of the same team. What comes before its
request's record waits for it, a while. Of the same key, request and id the latest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Connection, Select, delete, func, literal_column, or_, select

from tidegate.store.database import Database
from tidegate.store.erased import ERASED
from tidegate.store.rows import FeedbackRow, Judged
from tidegate.store.tables.quality import feedback, feedback_waiting
from tidegate.store.tables.records import records

WAITS_NS: Final = 3_600 * 10**9
MOST_WAITING, MOST_WAITING_OF_KEY = 10_000, 1_000
MOST_OF_REQUEST: Final = 20
"""By one key."""
_TRIED = 500
_DAY_NS: Final = 86_400 * 10**9
_NEGATIVE, _POSITIVE = 2, 4


class _Tags(Struct):
    """What of a record's payload its columns do not have."""

    tags: dict[str, str] = {}


_tags = msgspec.msgpack.Decoder(_Tags)


def add_feedback(
    connection: Connection, database: Database, rows: Iterable[FeedbackRow]
) -> list[Judged]:
    """Add `rows`, in a transaction that waits its turn; what became of each."""
    return [_add(connection, database, row) for row in rows]


def verdict_of(thumbs: str | None, rating: int | None) -> str | None:
    """`up`, `down` or `neutral`; None of what only says something. Thumbs go before a rating."""
    if thumbs is not None or rating is None:
        return thumbs
    return "down" if rating <= _NEGATIVE else "up" if rating >= _POSITIVE else "neutral"


def _add(connection: Connection, database: Database, row: FeedbackRow) -> Judged:
    found = connection.execute(_of(row)).mappings().first()
    if found is None:
        return _wait(connection, database, row)
    if not _may(row, found):
        return Judged("foreign")
    verdict = verdict_of(row["thumbs"], row["rating"])
    mine = feedback.c.by_key == row["by_key"], feedback.c.feedback_id == row["feedback_id"]
    if row["request_id"] is None:  # the trace has gone on since: the answer that is meant moved
        moved = feedback.c.request_id != found["request_id"], feedback.c.trace == row["trace"]
        connection.execute(delete(feedback).where(*mine, *moved, feedback.c.at_ns <= row["at_ns"]))
    others = select(func.count()).where(
        feedback.c.request_id == found["request_id"],
        feedback.c.by_key == row["by_key"],
        feedback.c.feedback_id != row["feedback_id"],
    )
    if connection.execute(others).scalar_one() >= MOST_OF_REQUEST:
        return Judged("too_many")
    target = found["target"] or ""
    said = (row["text"], row["labels"])
    if found["user"] == ERASED:  # whoever said it may be whom the answer was for
        said = (None, "{}")
    values: dict[str, Any] = {
        **{name: row[name] for name in ("by_key", "feedback_id", "at_ns", "thumbs", "rating")},
        "text": said[0],
        "labels": said[1],
        "trace": row["trace"],
        **{name: found[name] for name in ("request_id", "started_ns", "alias")},
        **{name: found[name] for name in ("key", "user", "team", "organisation", "feature")},
        "verdict": verdict,
        "model": target.partition("/")[2] or None,
        "version": _version(found["payload"]),
    }
    put = database.insert(feedback).values(values)
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["request_id", "by_key", "feedback_id"],
            set_={name: put.excluded[name] for name in values},
            where=put.excluded.at_ns >= feedback.c.at_ns,
        )
    )
    return Judged("taken", found["alias"], verdict)


def _of(row: FeedbackRow) -> Select[Any]:
    """The record that is meant: of a trace the latest of the caller's own."""
    query = select(records)
    if row["request_id"] is not None:
        return query.where(records.c.request_id == row["request_id"])
    own: list[Any] = (
        [records.c.key == row["by_key"]] if row["by_key"] else [records.c.key.is_(None)]
    )
    if row["by_team"] is not None:
        own.append(records.c.team == row["by_team"])
    meant = records.c.trace == row["trace"], or_(*own)
    return query.where(*meant).order_by(records.c.started_ns.desc()).limit(1)


def _may(row: FeedbackRow, found: Any) -> bool:
    if row["by_team"] is not None and found["team"] == row["by_team"]:
        return True
    return (found["key"] or "") == row["by_key"]


def _version(payload: bytes) -> str | None:
    try:
        return _tags.decode(payload).tags.get("prompt_version")
    except msgspec.DecodeError:
        return None


def _wait(connection: Connection, database: Database, row: FeedbackRow) -> Judged:
    key = {
        "request_id": row["request_id"] or "",
        "trace": row["trace"] or "",
        "by_key": row["by_key"],
        "feedback_id": row["feedback_id"],
    }
    same = [feedback_waiting.c[name] == value for name, value in key.items()]
    if connection.execute(select(func.count()).where(*same)).scalar_one() == 0:
        everything = select(func.count()).select_from(feedback_waiting)
        own = everything.where(feedback_waiting.c.by_key == row["by_key"])
        if (
            connection.execute(own).scalar_one() >= MOST_WAITING_OF_KEY
            or connection.execute(everything).scalar_one() >= MOST_WAITING
        ):
            return Judged("full")
    values = {**key, "since_ns": row["at_ns"], "payload": msgspec.msgpack.encode(row)}
    put = database.insert(feedback_waiting).values(values)
    connection.execute(
        put.on_conflict_do_update(index_elements=list(key), set_={"payload": put.excluded.payload})
    )
    return Judged("waiting")


@dataclass(frozen=True, slots=True)
class FeedbackFilter:
    """Which feedback is meant: what passes every field that is set."""

    alias: str | None = None
    model: str | None = None
    version: str | None = None
    key: str | None = None
    user: str | None = None
    team: str | None = None
    request_id: str | None = None
    verdict: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    before: tuple[int, str] | None = None
    """When and of which request the last one of the page before was."""


class FeedbackStore:
    """The feedback of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settle(self, now_ns: int) -> list[Judged]:
        """Tie what waited to records that have come since; drop what has waited too long.

        Raises: `SQLAlchemyError`.
        """
        waiting = feedback_waiting.c
        come = or_(
            select(records.c.id).where(records.c.request_id == waiting.request_id).exists(),
            select(records.c.id)
            .where(waiting.request_id == "", records.c.trace == waiting.trace)
            .exists(),
        )
        key = tuple(feedback_waiting.primary_key)
        query = select(*key, waiting.payload).where(come).limit(_TRIED)
        with self._database.reading() as connection:
            late = waiting.since_ns < now_ns - WAITS_NS
            is_late = connection.execute(select(key[0]).where(late).limit(1)).first()
            if is_late is None and connection.execute(query.limit(1)).first() is None:
                return []
        with self._database.writing("records") as connection:
            rows = connection.execute(query).all()
            for row in rows:
                same = [column == value for column, value in zip(key, row[:-1], strict=True)]
                connection.execute(delete(feedback_waiting).where(*same))
            told = [cast("FeedbackRow", msgspec.msgpack.decode(row[-1])) for row in rows]
            judged = add_feedback(connection, self._database, told)
            gone = connection.execute(delete(feedback_waiting).where(late)).rowcount
        return [each for each in judged if each.became != "waiting"] + [Judged("unknown")] * gone

    def find(self, wanted: FeedbackFilter, limit: int) -> list[Any]:
        """The latest `limit`, the newest first. Raises: `SQLAlchemyError`."""
        query = select(feedback).where(*_passing(wanted))
        order = feedback.c.at_ns.desc(), feedback.c.request_id.desc()
        with self._database.reading() as connection:
            return list(connection.execute(query.order_by(*order).limit(limit)).all())

    def trend(self, wanted: FeedbackFilter, of: Sequence[str]) -> list[Any]:
        """How many of each verdict by the columns `of`, and by `day`, in days since 1970.

        Raises: `SQLAlchemyError`.
        """
        day = feedback.c.at_ns // literal_column(str(_DAY_NS), BigInteger)
        by = [day.label("day") if name == "day" else feedback.c[name] for name in of]
        query = select(*by, feedback.c.verdict, func.count().label("count"))
        groups = [day if name == "day" else feedback.c[name] for name in of]
        query = query.where(*_passing(wanted)).group_by(*groups, feedback.c.verdict)
        with self._database.reading() as connection:
            return list(connection.execute(query).all())


def _passing(wanted: FeedbackFilter) -> list[Any]:
    names = ("alias", "model", "version", "key", "user", "team", "request_id", "verdict")
    found: list[Any] = [
        feedback.c[name] == value for name in names if (value := getattr(wanted, name)) is not None
    ]
    if wanted.since_ns is not None:
        found.append(feedback.c.at_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        found.append(feedback.c.at_ns < wanted.until_ns)
    if wanted.before is not None:
        at_ns, request_id = wanted.before
        older = feedback.c.at_ns < at_ns
        found.append(older | ((feedback.c.at_ns == at_ns) & (feedback.c.request_id < request_id)))
    return found
