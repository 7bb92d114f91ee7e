"""The audit trail in the store: an entry for each change, in the transaction that makes it.

The table refuses every change of a row. Its oldest part may be cut off, which is itself an entry:
it tells the last entry that went and its hash, where the rest of the chain begins.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from tidegate.control.admin.chain import Entry, Head, Verdict, canonical, hash_of, verify
from tidegate.store.database import Database
from tidegate.store.tables.admin import audit, state

CUT: Final = "audit.cut"
_SEQ, _CUT = "audit_seq", "audit_cut"
_BATCH: Final = 1_000

_log = logging.getLogger("tidegate.control.audit")


class Change(Struct, frozen=True):
    """What was done to what: `keys.create`, `key:web`; secrets are in neither state."""

    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def record(connection: Connection, actor: str, role: str, change: Change, now_ns: int) -> Entry:
    """Append `change`, in a transaction that holds the turn `admin`."""
    last = _last(connection)
    entry = Entry(
        seq=max(last.seq, _number(connection, _SEQ)) + 1,
        time_ns=now_ns,
        actor=actor,
        role=role,
        action=change.action,
        object=change.object,
        before=None if change.before is None else canonical(change.before),
        after=None if change.after is None else canonical(change.after),
        previous=last.hash,
    )
    entry = msgspec.structs.replace(entry, hash=hash_of(entry))
    values = msgspec.structs.asdict(entry)
    values["at_ns"] = values.pop("time_ns")
    connection.execute(audit.insert().values(**values))
    set_number(connection, _SEQ, entry.seq)
    told = {"seq": entry.seq, "hash": entry.hash, "actor": actor, "object": change.object}
    _log.info(change.action, extra={"fields": told})
    return entry


def check(database: Database) -> Verdict:
    """Walk along the whole trail. Raises: `SQLAlchemyError`."""
    with database.reading() as connection:
        said = _number(connection, _SEQ)
        last = _last(connection)
        head = Head(last.seq, last.hash) if last.seq >= said else Head(said)
        # One statement: whatever is added or cut off meanwhile, it sees one state of the table.
        query = select(audit).where(audit.c.seq <= last.seq).order_by(audit.c.seq)
        connection.execution_options(yield_per=_BATCH)
        with connection.execute(query) as rows:
            entries = map(entry_of, rows)
            first = next(entries, None)
            if first is None:
                return verify((), Head(), head)
            rest = chain((first,), entries)
            if first.seq == 1:
                return verify(rest, Head(), head)
            anchor = Head(first.seq - 1, first.previous)
            verdict = verify(rest, anchor, head)
        if _was_cut(connection, anchor):
            return verdict
    return Verdict(0, Head(), 1, "the beginning is missing, and no entry says why")


def cut(connection: Connection, before_ns: int) -> Change | None:
    """Delete the entries older than `before_ns`, never the last one; what to record about it.

    None when there is none. An entry goes only with all before it, whatever the clock did.
    """
    newest = _last(connection).seq
    kept = select(func.min(audit.c.seq)).where(audit.c.at_ns >= before_ns)
    seq = min(connection.execute(kept).scalar() or newest, newest) - 1
    last = connection.execute(select(audit.c.hash).where(audit.c.seq == seq)).scalar()
    if last is None:
        return None
    set_number(connection, _CUT, seq)
    connection.execute(delete(audit).where(audit.c.seq <= seq))
    return Change(CUT, "audit", None, {"seq": seq, "hash": last})


def entry_of(row: Any) -> Entry:
    """The entry that a row of the table holds."""
    return Entry(
        row.seq, row.at_ns, row.actor, row.role, row.action, row.object,
        row.before, row.after, row.previous, row.hash,
    )  # fmt: skip


def _last(connection: Connection) -> Head:
    query = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Head() if row is None else Head(row.seq, row.hash)


def _was_cut(connection: Connection, anchor: Head) -> bool:
    after = canonical({"seq": anchor.seq, "hash": anchor.hash})
    query = select(audit.c.seq).where(audit.c.action == CUT, audit.c.after == after)
    return connection.execute(query.limit(1)).one_or_none() is not None


def _number(connection: Connection, name: str) -> int:
    query = select(state.c.value).where(state.c.name == name)
    return connection.execute(query).scalar() or 0


def set_number(connection: Connection, name: str, value: int) -> None:
    """Let the store's number `name` be `value`, in a transaction that holds the turn `admin`."""
    done = connection.execute(update(state).where(state.c.name == name).values(value=value))
    if not done.rowcount:
        connection.execute(state.insert().values(name=name, value=value))
