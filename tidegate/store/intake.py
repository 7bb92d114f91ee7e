"""The one way in for what the spool carried: rows, sums, holds and the place, all or nothing.

Whatever order the rows come in, and however often, the end is the same:

- A request has one record, the first one that comes; only one that was given up as lost makes way
  for the one that comes after all. That is the last in the order of loading, so that whoever was
  told of the loss is told of it too, and the sums change by the difference.
- A hold is there from when it is loaded until its record is; one that comes later is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Connection, delete, select, update

from tidegate.store.bulk import insert_many, is_one_of, listed
from tidegate.store.database import Database
from tidegate.store.erasure import Erased
from tidegate.store.feedback import add_feedback
from tidegate.store.names import Names
from tidegate.store.order import first_id, note_gone
from tidegate.store.partitions import month_of, prepare
from tidegate.store.responses import add_responses
from tidegate.store.rows import Added, Batch, HoldRow, Place, ProgressRow, Row
from tidegate.store.sums import add_sums
from tidegate.store.tables.admin import state
from tidegate.store.tables.money import holds
from tidegate.store.tables.records import records, segments

TURN: Final = "records"
LOST: Final = "lost"
_COLUMNS = tuple(column.name for column in records.columns if column.name != "id")
_values = cast("Callable[[Row], tuple[Any, ...]]", itemgetter(*_COLUMNS))
_HOLD = tuple(column.name for column in holds.columns)


class Intake:
    """Writes to the tables of records and money."""

    def __init__(self, database: Database, names: Names | None = None) -> None:
        self._database = database
        self._names = names or Names()
        self._erased = Erased()

    def insert(self, batch: Batch, place: Place) -> Added:
        """Add `batch`, read up to `place`. Raises: `SQLAlchemyError`; then nothing was added."""
        try:
            with self._database.writing(TURN) as connection:
                return self._insert(connection, batch, place)
        except BaseException:
            self._names.forget()
            raise

    def give_up(self, lost: Sequence[Row], now_ns: int) -> list[str]:
        """Add the records of requests that were lost; return whose hold was still open.

        Raises: `SQLAlchemyError`; then nothing was added.
        """
        try:
            with self._database.writing(TURN) as connection:
                wanted = {row["request_id"]: row for row in lost}
                condition = holds.c.request_id.in_(wanted), holds.c.settled_ns.is_(None)
                held = list(
                    connection.execute(select(holds.c.request_id).where(*condition)).scalars()
                )
                known = self._known(connection, lost)
                ids = [id_ for id_ in held if id_ not in known]
                rows = [wanted[id_] for id_ in ids]
                self._add_records(connection, rows)
                for row in rows:
                    settled = {"settled_ns": now_ns, "added": _note(row)}
                    mine = holds.c.request_id == row["request_id"]
                    connection.execute(update(holds).where(mine).values(settled))
                return ids
        except BaseException:
            self._names.forget()
            raise

    def sum_up(self, rows: Sequence[tuple[int, Row]], top: int, below: int) -> None:
        """Give records that were loaded before there were sums what they lack.

        `rows` are those of the ids from `below` up to `top`, each with its id; if somebody else
        has done them meanwhile, nothing is. Raises: `SQLAlchemyError`; then nothing was done.
        """
        columns = _COLUMNS[_COLUMNS.index("payload") + 1 :]
        number = state.c.name == "unsummed_id", state.c.value >= top
        done = update(state).where(*number).values(value=max(0, below - 1))
        try:
            with self._database.writing(TURN) as connection:
                if not connection.execute(done).rowcount:
                    return
                for id_, row in rows:
                    values: dict[str, Any] = {name: row[name] for name in columns}
                    connection.execute(update(records).where(records.c.id == id_).values(values))
                add_sums(connection, self._names, [row for _, row in rows])
        except BaseException:
            self._names.forget()
            raise

    def _insert(self, connection: Connection, batch: Batch, place: Place) -> Added:
        at = self._database.insert(segments).values(
            spool=place.spool, name=place.segment, offset=place.offset
        )
        connection.execute(
            at.on_conflict_do_update(
                index_elements=["spool", "name"], set_={"offset": at.excluded.offset}
            )
        )
        batch = self._erased.clean(connection, batch)
        known = self._known(connection, [*batch.records, *batch.holds])
        fresh: dict[str, Row] = {}
        late: dict[str, Row] = {}
        for row in batch.records:
            name = row["request_id"]
            if name not in known:
                fresh.setdefault(name, row)
            elif known[name] == LOST:
                late.setdefault(name, row)
        found = self._replace(connection, late) if late else {}
        self._add_records(connection, list(fresh.values()))
        over = fresh.keys() | known.keys()
        running = [row for row in batch.holds if row["request_id"] not in over]
        self._hold(connection, running, place.spool)
        added = [*fresh, *found]
        self._release(connection, added)
        self._note_progress(connection, batch.progress, added)
        new = len(added) + add_responses(connection, batch.responses)
        known = len(batch.records) + len(batch.responses) - new
        judged = add_feedback(connection, self._database, batch.feedback)
        return Added(new, known, added, len(found), judged)

    def _known(self, connection: Connection, rows: Sequence[Row | HoldRow]) -> dict[str, str]:
        # The outcome of those that are in the store.
        if not rows:
            return {}
        where = is_one_of(connection, "request_id")
        parameters: tuple[Any, ...] = (listed(connection, [row["request_id"] for row in rows]),)
        if self._database.postgres:  # so that other months are not looked through
            began = [row["started_ns"] for row in rows]
            where += " AND started_ns BETWEEN %s AND %s"
            parameters += (min(began), max(began))
        query = f"SELECT request_id, outcome FROM records WHERE {where}"  # noqa: S608 - ours
        found = connection.exec_driver_sql(query, parameters)
        return {row[0]: row[1] for row in found}

    def _add_records(self, connection: Connection, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._database.postgres:
            prepare(connection, {month_of(row["started_ns"]) for row in rows})
        _put(connection, rows)
        add_sums(connection, self._names, rows)

    def _replace(self, connection: Connection, late: dict[str, Row]) -> dict[str, Row]:
        # Puts records in the place of those that were given up as lost; returns which it could.
        condition = holds.c.request_id.in_(late), holds.c.added.is_not(None)
        query = select(holds.c.request_id, holds.c.added).where(*condition)
        before = {name: _read(added) for name, added in connection.execute(query)}
        found = {name: late[name] for name in before}
        add_sums(connection, self._names, list(before.values()), sign=-1)
        add_sums(connection, self._names, list(found.values()))
        for name, row in found.items():
            mine = records.c.request_id == name, records.c.started_ns == row["started_ns"]
            gone = list(connection.execute(select(records.c.id).where(*mine)).scalars())
            connection.execute(delete(records).where(*mine))
            note_gone(connection, gone)
        _put(connection, list(found.values()))
        return found

    def _hold(self, connection: Connection, rows: Sequence[HoldRow], spool: str) -> None:
        # A request that holds more later on says so again: the most counts.
        if not rows:
            return
        most: dict[str, HoldRow] = {}
        for row in rows:
            there = most.get(row["request_id"])
            if there is None or there["held_nanousd"] < row["held_nanousd"]:
                most[row["request_id"]] = row
        nothing = dict.fromkeys(_HOLD)
        add = self._database.insert(holds)
        more = add.excluded.held_nanousd > holds.c.held_nanousd
        changed = {name: add.excluded[name] for name in ("held_nanousd", "expires_ns", "payload")}
        add = add.on_conflict_do_update(
            index_elements=["request_id"], set_=changed, where=more & holds.c.settled_ns.is_(None)
        )
        connection.execute(add, [{**nothing, **row, "spool": spool} for row in most.values()])

    def _release(self, connection: Connection, names: Sequence[str]) -> None:
        where = is_one_of(connection, "request_id")
        if names:
            parameters = (listed(connection, names),)
            delete = f"DELETE FROM holds WHERE {where}"  # noqa: S608 - ours
            connection.exec_driver_sql(delete, parameters)

    def _note_progress(
        self, connection: Connection, rows: Iterable[ProgressRow], over: Sequence[str]
    ) -> None:
        done = set(over)
        latest: dict[str, ProgressRow] = {}
        for row in rows:
            there = latest.get(row["request_id"])
            if row["request_id"] not in done and (there is None or _behind(there, row)):
                latest[row["request_id"]] = row
        for name, row in latest.items():
            said = holds.c.output_tokens
            older = holds.c.request_id == name, said.is_(None) | (said < row["output_tokens"])
            values: dict[str, Any] = {
                "output_tokens": row["output_tokens"], "said_nanousd": row["said_nanousd"],
            }  # fmt: skip
            connection.execute(update(holds).where(*older).values(values))


def _behind(one: ProgressRow, other: ProgressRow) -> bool:
    return one["output_tokens"] < other["output_tokens"]


def _put(connection: Connection, rows: Sequence[Row]) -> None:
    values, first = [_values(row) for row in rows], first_id(connection)
    if first is None:
        insert_many(connection, records, _COLUMNS, values)
    else:
        numbered = [(first + number, *each) for number, each in enumerate(values)]
        insert_many(connection, records, ("id", *_COLUMNS), numbered)


def _note(row: Row) -> bytes:
    return msgspec.msgpack.encode({**row, "payload": b""})


def _read(note: bytes) -> Row:
    return cast("Row", msgspec.msgpack.decode(note))
