"""The audit trail: read, verified, and cut off at its beginning."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.problems import Conflict
from tidegate.control.admin.shapes import (
    MOST_ITEMS,
    Json,
    Moment,
    Name,
    Shape,
    Time,
    Word,
    show_time,
)
from tidegate.control.admin.trail import check, cut
from tidegate.store.tables.admin import audit

router = APIRouter()

_LAST = 2**62


class AuditList(BaseModel):
    """Which entries are wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="At most so many.")
    before: int = Field(_LAST, ge=1, le=_LAST, description="`next` of the page before.")
    actor: Name | None = None
    action: Word | None = None
    object: Word | None = Field(None, description="`key:web`.")


class EntryShown(Shape):
    """A change: who made it, and how things were before and after."""

    seq: int
    at: Time
    actor: str
    role: str
    action: str
    object: str
    before: Json | None
    after: Json | None
    previous: str
    hash: str


class Entries(Shape):
    """Some of the trail, newest first."""

    items: list[EntryShown]
    next: int | None = Field(description="What to send as `before` for more; null at the end.")


class VerdictShown(Shape):
    """Whether the chain holds."""

    ok: bool
    entries: int = Field(description="Entries that fit, from the oldest on.")
    head: str = Field(description="Hash of the last of them: the log has it too, to compare with.")
    broken: int | None = Field(description="Number of the first entry that does not fit.")
    reason: str | None


class Cut(Shape):
    """How much of the trail is no longer to be kept."""

    before: Moment = Field(description="Entries older than this go; the last one never does.")


class CutDone(Shape):
    """What was cut off."""

    seq: int = Field(description="Number of the last entry that went.")
    hash: str = Field(description="Its hash, which the rest of the chain begins with.")


@router.get("/audit")
def list_audit(
    wanted: Annotated[AuditList, Query()], desk: Annotated[Desk, looking("audit:read")]
) -> Entries:
    """What was changed, newest first."""
    query = select(audit).where(audit.c.seq < wanted.before).order_by(audit.c.seq.desc())
    conditions = wanted.model_dump(include={"actor", "action", "object"}, exclude_none=True)
    query = query.where(*(audit.c[name] == value for name, value in conditions.items()))
    with desk.reading() as connection:
        rows = connection.execute(query.limit(wanted.limit + 1)).all()
    items = [_shown(row) for row in rows[: wanted.limit]]
    more = items[-1]["seq"] if len(rows) > wanted.limit else None
    return Entries.model_validate({"items": items, "next": more})


@router.get("/audit/verify")
def verify_audit(desk: Annotated[Desk, looking("audit:read")]) -> VerdictShown:
    """Walk along the whole chain; tell the first entry that does not fit."""
    verdict = check(desk.database)
    return VerdictShown(
        ok=verdict.broken is None,
        entries=verdict.entries,
        head=verdict.head.hash,
        broken=verdict.broken,
        reason=verdict.reason,
    )


@router.post("/audit/cut")
def cut_audit(wanted: Cut, desk: Annotated[Desk, changing("audit:write")]) -> CutDone:
    """Cut off the oldest entries; that is an entry itself, and the chain goes on from there."""

    def work(connection: Connection, _now_ns: int) -> Made:
        change = cut(connection, wanted.before)
        if change is None:
            raise Conflict("No entry but the last is that old.", param="before")
        return Made(change, change.after or {})

    return CutDone.model_validate(desk.change(work))


def _shown(row: Any) -> Json:
    shown: Json = {
        name: getattr(row, name)
        for name in ("seq", "actor", "role", "action", "object", "previous", "hash")
    }
    states = {name: getattr(row, name) for name in ("before", "after")}
    shown |= {
        name: None if text is None else msgspec.json.decode(text) for name, text in states.items()
    }
    return shown | {"at": show_time(row.at_ns)}
