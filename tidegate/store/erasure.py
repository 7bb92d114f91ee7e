"""Take a user out of everything: a little at a time, in any order, as often as somebody asks.

What identifies them becomes the word `erased` or goes; what was counted and charged stays, so that
every sum by anything else is what it was. The store remembers a digest of the name and the time:
what a spool still holds of before that time is loaded without them. A crash in between leaves some
of it for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, update

from tidegate.store.bulk import merge_many
from tidegate.store.database import Database
from tidegate.store.erased import ERASED
from tidegate.store.marginals import rename
from tidegate.store.rows import Batch, HoldRow, ResponseRow, Row
from tidegate.store.sums import COUNTS, DAY_S, HOUR_S, MINUTE_S, Group, group_id
from tidegate.store.tables.admin import rules, state, users, virtual_keys
from tidegate.store.tables.alerts import alert_memory, silences
from tidegate.store.tables.erasures import erasures
from tidegate.store.tables.money import (
    charges,
    holds,
    rollup_groups,
    rollup_names,
    rollups_day,
    rollups_hour,
    rollups_minute,
)
from tidegate.store.tables.quality import feedback
from tidegate.store.tables.records import records, responses

TURN: Final = "records"
MOST_REMEMBERED: Final = 10_000
REMEMBERED_NS: Final = 400 * DAY_S * 10**9
"""Nothing that is older waits in a spool."""
_NUMBER: Final = "erasures"
_GROUPS: Final = 100
_GONE: Final = (
    "conversation", "tags", "trace_parent", "error", "parameters", "bodies", "cut",
    "request_body", "response_body",
)  # fmt: skip
"""What a record loses besides the name."""
_BODIES: Final = ("bodies", "cut", "request_body", "response_body")

Counts = dict[str, int]
"""How many of which: `records`, `responses`, `feedback`, `holds`, `charges`, `rollups`, `alerts`,
`limits`, `users`."""


def digest_of(name: str) -> str:
    """What is remembered of a name."""
    return sha256(b"tidegate erased user\0" + name.encode(errors="surrogatepass")).hexdigest()


def scrubbed(payload: bytes) -> bytes:
    """A record's payload without what identifies its user, or tells what was said."""
    return _without(payload, _GONE, {"user": ERASED})


def bared(payload: bytes) -> bytes:
    """A record's payload without prompt and answer."""
    return _without(payload, _BODIES, {})


def _without(payload: bytes, names: Sequence[str], instead: dict[str, str]) -> bytes:
    try:
        fields = cast("dict[str, Any]", msgspec.msgpack.decode(payload))
    except msgspec.DecodeError:  # nobody can read it: nothing of it is needed
        return msgspec.msgpack.encode(instead)
    for name in names:
        fields.pop(name, None)
    if instead:
        for tried in cast("list[dict[str, Any]]", fields.get("attempts", [])):
            tried.pop("detail", None)
    return msgspec.msgpack.encode(fields | instead)


class Erased:
    """Who was erased, for whoever loads: read anew when it has changed."""

    def __init__(self) -> None:
        self._number = 0
        self._until: dict[str, int] = {}

    def clean(self, connection: Connection, batch: Batch) -> Batch:
        """`batch` as it may be stored, in a transaction that waits its turn."""
        number = _count(connection, _NUMBER)
        if number != self._number:
            found = connection.execute(select(erasures.c.digest, erasures.c.erased_ns))
            self._until = {row[0]: row[1] for row in found}
            self._number = number
        if not self._until:
            return batch
        return replace(
            batch,
            records=[self._row(row) for row in batch.records],
            holds=[self._hold(row) for row in batch.holds],
            responses=[row for row in batch.responses if not self._is_gone(row)],
        )

    def _covers(self, user: str | None, at_ns: int) -> bool:
        return user is not None and at_ns <= self._until.get(digest_of(user), -1)

    def _row(self, row: Row) -> Row:
        if not self._covers(row["user"], row["started_ns"]):
            return row
        clean = row.copy()
        clean["user"], clean["conversation"], clean["trace"] = ERASED, None, None
        clean["has_bodies"], clean["payload"] = False, scrubbed(row["payload"])
        return clean

    def _hold(self, row: HoldRow) -> HoldRow:
        user = _user_in(row["payload"])
        if not self._covers(user, row["started_ns"]):
            return row
        clean = row.copy()
        clean["payload"] = scrubbed(row["payload"])
        return clean

    def _is_gone(self, row: ResponseRow) -> bool:
        return self._covers(row["user"], row["created_ns"])


class Erasure:
    """What is to be erased of one user."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._digest = digest_of(name)
        self._until_ns = 1 << 62
        self.is_done = False
        """Whether a step has left nothing."""

    def found(self) -> Counts:
        """How much there is that would be erased. Raises: `SQLAlchemyError`, as all here."""
        with self._database.reading() as connection:
            counts = {
                "records": _rows(connection, records, records.c.user == self._name),
                "responses": _rows(connection, responses, self._own_responses()),
                "feedback": _rows(connection, feedback, feedback.c.user == self._name),
                "holds": len(self._holds(connection)),
                "charges": _rows(connection, charges, *self._own_charges()),
                "rollups": _rows(connection, rollup_groups, rollup_groups.c.user == self._name),
                "alerts": len(self._alerts(connection)),
                "limits": _rows(connection, rules, *self._own_rules()),
                "users": _rows(connection, users, *self._own_entry()),
            }
        return {kind: count for kind, count in counts.items() if count}

    def is_open(self, connection: Connection) -> bool:
        """Whether it was begun and is not done."""
        mine = erasures.c.digest == self._digest, erasures.c.done_ns.is_(None)
        return _rows(connection, erasures, *mine) > 0

    def remember(self, connection: Connection, now_ns: int) -> Counts:
        """Begin, in a transaction of the admin's: from now on loading brings nothing back.

        Limits on the user go at once, and so does their entry, if no key belongs to them.
        """
        self._remember(connection, now_ns)
        counts = {
            "limits": connection.execute(delete(rules).where(*self._own_rules())).rowcount,
            "users": connection.execute(delete(users).where(*self._own_entry())).rowcount,
        }
        return {kind: count for kind, count in counts.items() if count}

    def _remember(self, connection: Connection, now_ns: int) -> None:
        connection.execute(delete(erasures).where(erasures.c.digest == self._digest))
        old = erasures.c.erased_ns < now_ns - REMEMBERED_NS
        connection.execute(delete(erasures).where(old, erasures.c.done_ns.is_not(None)))
        over = _rows(connection, erasures) - MOST_REMEMBERED + 1
        if over > 0:
            query = select(erasures.c.digest).order_by(erasures.c.erased_ns).limit(over)
            connection.execute(delete(erasures).where(erasures.c.digest.in_(query)))
        connection.execute(erasures.insert().values(digest=self._digest, erased_ns=now_ns))
        number = _count(connection, _NUMBER) + 1
        put = self._database.insert(state).values(name=_NUMBER, value=number)
        put = put.on_conflict_do_update(index_elements=["name"], set_={"value": put.excluded.value})
        connection.execute(put)

    def step(self, now_ns: int, most: int = 500) -> Counts:
        """Erase up to `most` of each kind; empty when nothing was left.

        What the user did since it was begun is not looked for, or there might be no end.
        """
        done: Counts = {}
        with self._database.reading() as connection:
            query = select(erasures.c.erased_ns).where(erasures.c.digest == self._digest)
            self._until_ns = connection.execute(query).scalar() or now_ns
        for kind, work in (
            ("records", self._records), ("responses", self._responses),
            ("feedback", self._feedback), ("holds", self._erase_holds),
            ("charges", self._charges), ("rollups", self._rollups), ("alerts", self._erase_alerts),
        ):  # fmt: skip
            if count := self._in_turn(work, most, "alerts" if kind == "alerts" else TURN):
                done[kind] = count
        if done.keys() <= {"charges", "rollups"} and done.get("rollups", 0) < _GROUPS:
            with self._database.writing(TURN) as connection:
                mine = erasures.c.digest == self._digest
                connection.execute(update(erasures).where(mine).values(done_ns=now_ns))
            if not self._database.postgres:  # what was there is in the log of writes still
                with self._database.engine.connect() as connection:
                    raw: Any = connection.connection.driver_connection
                    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.is_done = True
        return done

    def _in_turn(self, work: Callable[[Connection, int], int], most: int, turn: str) -> int:
        with self._database.writing(turn) as connection:
            return work(connection, most)

    def _records(self, connection: Connection, most: int) -> int:
        columns = records.c.id, records.c.started_ns, records.c.conversation, records.c.payload
        mine = records.c.user == self._name, records.c.started_ns <= self._until_ns
        found = connection.execute(select(*columns).where(*mine).limit(most)).all()
        for id_, started_ns, _, payload in found:
            values = {
                "user": ERASED, "conversation": None, "trace": None, "has_bodies": False,
                "payload": scrubbed(payload),
            }  # fmt: skip
            one = records.c.id == id_, records.c.started_ns == started_ns
            connection.execute(update(records).where(*one).values(values))
        for name in {row[2] for row in found if row[2] is not None}:
            _fold(connection, "conversation", name)
        return len(found)

    def _own_responses(self) -> ColumnElement[bool]:
        # A conversation goes as a whole: without one of its turns nobody can go on.
        theirs = select(responses.c.root).where(responses.c.user == self._name)
        return responses.c.root.in_(theirs)

    def _responses(self, connection: Connection, most: int) -> int:
        mine = responses.c.user == self._name, responses.c.created_ns <= self._until_ns
        roots = select(responses.c.root).where(*mine).limit(most)
        found = list(connection.execute(roots).scalars())
        return connection.execute(delete(responses).where(responses.c.root.in_(found))).rowcount

    def _feedback(self, connection: Connection, _most: int) -> int:
        values = {"user": ERASED, "text": None, "labels": "{}", "trace": None}
        mine = feedback.c.user == self._name, feedback.c.at_ns <= self._until_ns
        return connection.execute(update(feedback).where(*mine).values(values)).rowcount

    def _holds(self, connection: Connection) -> list[tuple[str, bytes, bytes | None]]:
        query = select(holds.c.request_id, holds.c.payload, holds.c.added)
        query = query.where(holds.c.started_ns <= self._until_ns)
        return [
            (row[0], row[1], row[2])
            for row in connection.execute(query)
            if _user_in(row[1]) == self._name
        ]

    def _erase_holds(self, connection: Connection, most: int) -> int:
        found = self._holds(connection)[:most]
        for id_, payload, added in found:
            note = added
            if added is not None:
                row = cast("dict[str, Any]", msgspec.msgpack.decode(added))
                note = msgspec.msgpack.encode(row | {"user": ERASED, "conversation": None})
            values = {"payload": scrubbed(payload), "added": note}
            connection.execute(update(holds).where(holds.c.request_id == id_).values(values))
        return len(found)

    def _own_charges(self) -> tuple[ColumnElement[bool], ...]:
        return charges.c.kind == "user", charges.c.name == self._name

    def _charges(self, connection: Connection, _most: int) -> int:
        return _fold(connection, "user", self._name)

    def _own_rules(self) -> tuple[ColumnElement[bool], ...]:
        return rules.c.kind == "user", rules.c.name == self._name

    def _own_entry(self) -> tuple[ColumnElement[bool], ...]:
        # Keys must belong to somebody who is there.
        keys = select(virtual_keys.c.id).where(virtual_keys.c.user == self._name)
        return users.c.name == self._name, ~keys.exists()

    def _rollups(self, connection: Connection, _most: int) -> int:
        mine = rollup_groups.c.user == self._name
        groups = connection.execute(select(rollup_groups).where(mine).limit(_GROUPS)).all()
        spans = set[tuple[int, int]]()
        for number, *names in groups:
            group = cast("Group", (names[0], ERASED, *names[2:]))
            there = group_id(group)
            merge_many(connection, rollup_groups, [(there, *group)])
            for table, span_s in (
                (rollups_minute, MINUTE_S), (rollups_hour, HOUR_S), (rollups_day, DAY_S),
            ):  # fmt: skip
                own = table.c.group_id == number
                rows = connection.execute(select(table).where(own)).all()
                moved = [(row[0], there, *row[2:]) for row in rows]
                merge_many(connection, table, moved, add=COUNTS)
                spans.update((span_s, row[0]) for row in rows)
                connection.execute(delete(table).where(own))
            connection.execute(delete(rollup_groups).where(rollup_groups.c.id == number))
        rename(connection, self._name, ERASED, spans)
        named = rollup_names.c.kind == "user", rollup_names.c.name == self._name
        days = connection.execute(select(rollup_names.c.day_s).where(*named)).scalars()
        merge_many(connection, rollup_names, [(day_s, "user", ERASED) for day_s in days])
        connection.execute(delete(rollup_names).where(*named))
        return len(groups)

    def _alerts(self, connection: Connection) -> dict[str, bytes]:
        """What alerting remembers, without what it remembers of the user; where there is some."""
        changed: dict[str, bytes] = {}
        for name, value in connection.execute(select(alert_memory)):
            try:
                before = msgspec.json.decode(value)
            except msgspec.DecodeError:
                continue
            after = _without_mentions(before, self._name)
            if after != before:
                changed[name] = msgspec.json.encode(after)
        return changed

    def _erase_alerts(self, connection: Connection, _most: int) -> int:
        changed = self._alerts(connection)
        for name, value in changed.items():
            mine = alert_memory.c.name == name
            connection.execute(update(alert_memory).where(mine).values(value=value))
        return len(changed) + self._silences(connection)

    def _silences(self, connection: Connection) -> int:
        found = [
            id_
            for id_, labels in connection.execute(select(silences.c.id, silences.c.labels))
            if _mentions("", msgspec.json.decode(labels), self._name)
        ]
        return connection.execute(delete(silences).where(silences.c.id.in_(found))).rowcount


def _without_mentions(memory: Any, name: str) -> Any:
    """The memory of alerts without those that are about the user."""
    if not isinstance(memory, dict):
        return memory
    fields = cast("dict[str, Any]", memory).copy()
    for field in ("active", "told"):
        known = cast("dict[str, Any]", fields.get(field) or {})
        fields[field] = {key: each for key, each in known.items() if not _mentions(key, each, name)}
    recent = cast("list[Any]", fields.get("recent") or [])
    fields["recent"] = [each for each in recent if not _mentions("", each, name)]
    return {key: fields[key] for key in cast("dict[str, Any]", memory)}


def _mentions(key: str, value: object, name: str) -> bool:
    """Whether an alert, a silence, or what is told once under `key`, is about the user."""
    quoted = msgspec.json.encode(name).decode()
    text = msgspec.json.encode(value).decode()
    is_scope = '"kind":"user"' in text and f'"name":{quoted}' in text
    return key.startswith(f"user/{name}/") or is_scope or f'"user":{quoted}' in text


def _fold(connection: Connection, kind: str, name: str) -> int:
    mine = charges.c.kind == kind, charges.c.name == name
    rows = connection.execute(select(charges).where(*mine)).all()
    folded = [(kind, ERASED, row.began_s, row.nanousd) for row in rows]
    merge_many(connection, charges, folded, add=["nanousd"])
    connection.execute(delete(charges).where(*mine))
    return len(rows)


def _user_in(payload: bytes) -> str | None:
    try:
        return msgspec.msgpack.decode(payload, type=_Held).user
    except msgspec.DecodeError:
        return None


class _Held(msgspec.Struct):
    user: str | None = None


def _rows(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(*conditions)
    return connection.execute(query).scalar_one()


def _count(connection: Connection, name: str) -> int:
    return connection.execute(select(state.c.value).where(state.c.name == name)).scalar() or 0
