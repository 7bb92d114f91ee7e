"""How long each table is kept, and the deleting of what is older: a little at a time.

Each call deletes at most so many rows of a table in a transaction of its own, so that nobody waits
long behind it. PostgreSQL's records of whole months go as partitions. The audit trail is not cut
off here, but by the admin API, which makes that an entry of it (`control/admin/trail.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from tidegate.store.bulk import merge_many
from tidegate.store.database import Database
from tidegate.store.erasure import bared
from tidegate.store.intake import TURN
from tidegate.store.marginals import forget
from tidegate.store.order import note_gone
from tidegate.store.partitions import drop_before, month_began_ns, prepare, whole_before
from tidegate.store.sinks import told_to_all
from tidegate.store.sums import DAY_S
from tidegate.store.tables.admin import idempotency, state
from tidegate.store.tables.money import (
    charges,
    holds,
    rollup_groups,
    rollup_names,
    rollups_day,
    rollups_hour,
    rollups_minute,
)
from tidegate.store.tables.quality import (
    feedback,
    quality_bins,
    quality_groups,
    quality_hour,
)
from tidegate.store.tables.records import HAS_BODIES, records

_SECOND_NS = 10**9
_BODIES: Final = 1_000
"""Prompts and answers are long: not as many at a time as other rows."""
_FOLD_S: Final = 45 * DAY_S
"""Charges as old as this are in no day, week or month that budgets have: they become one sum."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds; None keeps for ever."""

    records_s: int | None = 90 * DAY_S
    bodies_s: int | None = 30 * DAY_S
    """Prompts and answers; their records stay."""
    minutes_s: int | None = 14 * DAY_S
    hours_s: int | None = 90 * DAY_S
    days_s: int | None = None
    holds_s: int | None = 90 * DAY_S
    """Of those given up as lost: until then a record that comes after all puts the sums right."""
    idempotency_s: int | None = DAY_S
    untold_s: int | None = 30 * DAY_S
    """How much longer records stay that an export has not been told of; None until it was."""


UNTOLD: Final = "untold"
"""Of `purge`: records deleted that an export was never told of."""


@dataclass(frozen=True, slots=True)
class _Old:
    """Which records may go: those before `until_ns`, and up to `told_id` or before `bound_ns`."""

    until_ns: int
    told_id: int | None
    bound_ns: int | None

    def condition(self) -> ColumnElement[bool]:
        old = records.c.started_ns < self.until_ns
        if self.told_id is None:
            return old
        told = records.c.id <= self.told_id
        if self.bound_ns is None:
            return and_(old, told)
        return and_(old, or_(told, records.c.started_ns < self.bound_ns))


def purge(
    database: Database,
    retention: Retention,
    now_ns: int,
    most: int = 5_000,
    sinks: Collection[str] = (),
) -> dict[str, int]:
    """Delete up to `most` rows of each table that are too old; return how many of which.

    Records that one of `sinks` has not been told of stay for `untold_s` more; how many went all the
    same is told as `UNTOLD`. There is more to do as long as one of the numbers is `most`. Raises:
    `SQLAlchemyError`.
    """
    done: dict[str, int] = {}
    gone = _old_records(database, retention, now_ns, sinks)

    def step(name: str, turn: str, work: Callable[[Connection], int]) -> None:
        with database.writing(turn) as connection:
            if count := work(connection):
                done[name] = count

    if database.postgres:
        step("partitions", TURN, lambda connection: _partitions(connection, gone, now_ns, done))
    if retention.bodies_s is not None:
        before_ns = now_ns - retention.bodies_s * _SECOND_NS
        step("bodies", TURN, lambda connection: _bare(connection, before_ns, min(most, _BODIES)))
    if gone is not None:
        step(records.name, TURN, lambda connection: _delete_records(connection, gone, most, done))
    for table, moment, keep_s, unit in (
        (rollups_minute, rollups_minute.c.began_s, retention.minutes_s, 1),
        (rollups_hour, rollups_hour.c.began_s, retention.hours_s, 1),
        (rollups_day, rollups_day.c.began_s, retention.days_s, 1),
        (quality_hour, quality_hour.c.began_s, retention.hours_s, 1),
        (quality_bins, quality_bins.c.began_s, retention.hours_s, 1),
        (feedback, feedback.c.at_ns, retention.records_s, _SECOND_NS),
        (rollup_names, rollup_names.c.day_s, retention.days_s, 1),
        (holds, holds.c.settled_ns, retention.holds_s, _SECOND_NS),
        (idempotency, idempotency.c.at_ns, retention.idempotency_s, _SECOND_NS),
    ):
        if keep_s is not None:
            before_s = now_ns // _SECOND_NS - keep_s
            old = moment < before_s * unit
            work = partial(_delete_with_marginals, table=table, before_s=before_s)
            step(table.name, TURN, partial(work, old=old, most=most))
    if retention.days_s is not None and rollups_day.name in done:
        step(rollup_groups.name, TURN, _forget_groups)
    if quality_bins.name in done:
        step(quality_groups.name, TURN, _forget_quality_groups)
    step(charges.name, TURN, lambda connection: _fold(connection, database, now_ns, most))
    return done


def _old_records(
    database: Database, retention: Retention, now_ns: int, sinks: Collection[str]
) -> _Old | None:
    if retention.records_s is None:
        return None
    until_ns = now_ns - retention.records_s * _SECOND_NS
    untold_s = retention.untold_s
    bound_ns = None if untold_s is None else until_ns - untold_s * _SECOND_NS
    return _Old(until_ns, told_to_all(database, sinks), bound_ns)


def _partitions(
    connection: Connection, gone: _Old | None, now_ns: int, done: dict[str, int]
) -> int:
    prepare(connection, (), now_ns)
    if gone is None:
        return 0
    until_ns = gone.until_ns
    if gone.told_id is not None and whole_before(connection, until_ns):
        untold = records.c.id > gone.told_id, records.c.started_ns < until_ns
        oldest_ns = connection.execute(
            select(func.min(records.c.started_ns)).where(*untold)
        ).scalar()
        if oldest_ns is not None:
            until_ns = min(until_ns, max(oldest_ns, gone.bound_ns or oldest_ns))
            late = records.c.id > gone.told_id, records.c.started_ns < month_began_ns(until_ns)
            count = connection.execute(select(func.count()).where(*late)).scalar()
            if count:
                done[UNTOLD] = done.get(UNTOLD, 0) + count
    return len(drop_before(connection, until_ns))


def _delete_records(connection: Connection, gone: _Old, most: int, done: dict[str, int]) -> int:
    chosen = select(records.c.id, records.c.started_ns).where(gone.condition()).limit(most)
    rows = connection.execute(chosen).all()
    if not rows:
        return 0
    if gone.told_id is not None:
        untold = sum(row[0] > gone.told_id for row in rows)
        if untold:
            done[UNTOLD] = done.get(UNTOLD, 0) + untold
    note_gone(connection, [row[0] for row in rows])
    # `started_ns` too, so that PostgreSQL looks into the right months only.
    key = tuple_(records.c.id, records.c.started_ns)
    return connection.execute(delete(records).where(key.in_(chosen))).rowcount


def _delete(connection: Connection, table: Table, old: ColumnElement[bool], most: int) -> int:
    key: list[ColumnElement[Any]] = list(table.primary_key)
    chosen = select(*key).where(old).limit(most)
    return connection.execute(delete(table).where(tuple_(*key).in_(chosen))).rowcount


def _delete_with_marginals(
    connection: Connection, *, table: Table, old: ColumnElement[bool], most: int, before_s: int
) -> int:
    forget(connection, table, before_s)
    return _delete(connection, table, old, most)


def _bare(connection: Connection, before_ns: int, most: int) -> int:
    old = HAS_BODIES, records.c.started_ns < before_ns
    columns = records.c.id, records.c.started_ns, records.c.payload
    query = select(*columns).where(*old).order_by(records.c.started_ns).limit(most)
    found = connection.execute(query).all()
    for id_, started_ns, payload in found:
        one = records.c.id == id_, records.c.started_ns == started_ns
        bare = {"payload": bared(payload), "has_bodies": False}
        connection.execute(update(records).where(*one).values(bare))
    return len(found)


def _forget_groups(connection: Connection) -> int:
    used = select(rollups_day.c.group_id).where(rollups_day.c.group_id == rollup_groups.c.id)
    return connection.execute(delete(rollup_groups).where(~used.exists())).rowcount


def _forget_quality_groups(connection: Connection) -> int:
    used = [
        select(table.c.group_id).where(table.c.group_id == quality_groups.c.id).exists()
        for table in (quality_hour, quality_bins)
    ]
    unused = delete(quality_groups).where(*(~each for each in used))
    return connection.execute(unused).rowcount


def _fold(connection: Connection, database: Database, now_ns: int, most: int) -> int:
    # Looked for once a day, for it reads all charges.
    today = now_ns // _SECOND_NS // DAY_S
    query = select(state.c.value).where(state.c.name == "charges_folded")
    if connection.execute(query).scalar() == today:
        return 0
    old = charges.c.began_s > 0, charges.c.began_s < now_ns // _SECOND_NS - _FOLD_S
    rows = connection.execute(select(charges).where(*old).limit(most)).all()
    if rows:
        key = tuple_(charges.c.kind, charges.c.name, charges.c.began_s)
        connection.execute(delete(charges).where(key.in_([tuple(row[:3]) for row in rows])))
        sums: dict[tuple[str, str], int] = {}
        for kind, name, _, nanousd in rows:
            sums[kind, name] = sums.get((kind, name), 0) + nanousd
        merged = [(kind, name, 0, nanousd) for (kind, name), nanousd in sorted(sums.items())]
        merge_many(connection, charges, merged, add=["nanousd"])
    if len(rows) < most:
        _set(connection, database, "charges_folded", today)
    return len(rows)


def _set(connection: Connection, database: Database, name: str, value: int) -> None:
    put = database.insert(state).values(name=name, value=value)
    put = put.on_conflict_do_update(index_elements=["name"], set_={"value": put.excluded.value})
    connection.execute(put)
