"""What fires, what was told lately, and what is silent for a time."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, delete, func, select

from tidegate.alerts.machine import Active, Alert, Memory
from tidegate.alerts.outbox import read
from tidegate.alerts.rules import DEFAULTS
from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.control.admin.shapes import Json, Moment, Shape, Time, Word, show_time
from tidegate.control.admin.trail import Change
from tidegate.control.alerting import FILE, memory_of
from tidegate.store.alerts import Acknowledged, AlertStore, acknowledge
from tidegate.store.tables.alerts import silences

router = APIRouter()

MOST_SILENCES = 100
_MOST_LABELS = 10

_Id = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
_AlertId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


class AlertList(BaseModel):
    """How much is wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200, description="At most so many of the latest messages.")


class NewAcknowledgement(Shape):
    """That somebody looks at it."""

    note: Word = "no note"


class AcknowledgementShown(Shape):
    """Who looks at it."""

    by: str
    at: Time
    note: str


class Firing(Shape):
    """Something that is wrong now, or is about to be told."""

    id: str
    rule: str
    state: Literal["pending", "firing"]
    severity: str
    summary: str
    labels: dict[str, str]
    value: float
    threshold: float
    since: Time
    what_to_do: str
    acknowledged: AcknowledgementShown | None


class Told(Shape):
    """Something that was told; with `silenced` it was only noted."""

    id: str
    at: Time
    since: Time
    status: Literal["firing", "resolved"]
    rule: str
    severity: str
    summary: str
    labels: dict[str, str]
    silenced: bool


class NewSilence(Shape):
    """What is not to be told for a time: of that rule, with those labels, or both.

    `everything` is for who means every alert: naming neither is a mistake otherwise.
    """

    until: Moment
    rule: str | None = None
    labels: dict[Word, Word] = Field(
        default_factory=dict,
        max_length=_MOST_LABELS,
        json_schema_extra={"additionalProperties": False},  # but those of the pattern
    )
    why: Word = "no reason given"
    everything: bool = False


class SilenceShown(Shape):
    """What is not told for a time."""

    id: str
    rule: str | None
    labels: dict[str, str]
    until: Time
    why: str
    by: str
    created_at: Time


class Alerts(Shape):
    """Everything about alerts, as the store and this machine's control process have it."""

    firing: list[Firing]
    recent: list[Told]
    """The latest first."""
    silences: list[SilenceShown]


@router.get("/alerts")
def list_alerts(
    wanted: Annotated[AlertList, Query()], desk: Annotated[Desk, looking("state:read")]
) -> Alerts:
    """What fires now, the gravest first; what was told lately; what is silent."""
    store = AlertStore(desk.database)
    memories, looking_at = _memories(desk), store.acknowledged()
    recent = sorted((each for one in memories for each in one.recent), key=lambda each: each.at_ns)
    query = select(silences).where(silences.c.until_ns > desk.now_ns())
    with desk.reading() as connection:
        silent = [_shown(row) for row in connection.execute(query.order_by(silences.c.until_ns))]
    return Alerts.model_validate(
        {
            "firing": [
                _firing(each, looking_at.get(each.id))
                for memory in memories
                for each in memory.active.values()
                if each.rule in DEFAULTS
            ],
            "recent": [_told(each) for each in recent[: -wanted.limit - 1 : -1]],
            "silences": silent,
        }
    )


@router.post("/silences", status_code=201)
def create_silence(
    new: NewSilence, desk: Annotated[Desk, changing("alerts:write")]
) -> SilenceShown:
    """Silence a rule, or whatever has some labels, or everything, for a time."""

    def work(connection: Connection, now_ns: int) -> Made:
        if new.rule is not None and new.rule not in DEFAULTS:
            raise Conflict(
                "There is no such rule.", param="rule", remedy=f"Rules: {', '.join(DEFAULTS)}."
            )
        if new.everything == bool(new.rule or new.labels):
            raise Conflict(
                "A silence is of a rule, of labels, or of everything.",
                param="everything",
                remedy="Name a rule or labels, or say `everything` and neither of them.",
            )
        if new.until <= now_ns:
            raise Conflict("This time is over.", param="until", remedy="Name a later one.")
        connection.execute(delete(silences).where(silences.c.until_ns <= now_ns))
        count = connection.execute(select(func.count()).select_from(silences)).scalar_one()
        if count >= MOST_SILENCES:
            raise Conflict("There are too many silences.", remedy="End one of them first.")
        made = uuid4().hex[:12]
        connection.execute(
            silences.insert().values(
                id=made, rule=new.rule, labels=msgspec.json.encode(new.labels).decode(),
                until_ns=new.until, why=new.why, by=desk.caller.name, created_ns=now_ns,
            )
        )  # fmt: skip
        shown = _shown(_find(connection, made))
        return Made(Change("silence.create", f"silence:{made}", None, shown), shown)

    return SilenceShown.model_validate(desk.change(work))


@router.delete("/silences/{id}")
def end_silence(
    id: _Id,  # noqa: A002  as the path names it
    desk: Annotated[Desk, changing("alerts:write")],
) -> SilenceShown:
    """End a silence: what still fires is told at once."""

    def work(connection: Connection, _now_ns: int) -> Made:
        shown = _shown(_find(connection, id))
        connection.execute(delete(silences).where(silences.c.id == id))
        return Made(Change("silence.end", f"silence:{id}", shown, None), shown)

    return SilenceShown.model_validate(desk.change(work))


@router.post("/alerts/{id}/acknowledgement", status_code=201)
def acknowledge_alert(
    id: _AlertId,  # noqa: A002  as the path names it
    new: NewAcknowledgement,
    desk: Annotated[Desk, changing("alerts:write")],
) -> Firing:
    """Say that somebody looks at what fires: it is not told again, only that it is over."""

    def work(connection: Connection, now_ns: int) -> Made:
        found = [each for memory in _memories(desk) for each in memory.active.values()]
        active = next((each for each in found if each.id == id and each.rule in DEFAULTS), None)
        if active is None or active.fired_ns is None:
            raise NotFound("There is no such alert that fires.", param="id")
        said = Acknowledged(desk.caller.name, now_ns, new.note)
        acknowledge(connection, id, said)
        shown = _firing(active, said)
        told = {"rule": active.rule, "labels": active.finding.labels, "note": new.note}
        return Made(Change("alert.acknowledge", f"alert:{id}", None, told), shown)

    return Firing.model_validate(desk.change(work))


def _memories(desk: Desk) -> tuple[Memory, Memory]:
    # What concerns this machine, and what concerns all.
    here = read(desk.settings.access.with_name(FILE)).memory
    return here, memory_of(AlertStore(desk.database).read())


def _firing(each: Active, said: Acknowledged | None) -> Json:
    return {
        "id": each.id,
        "rule": each.rule,
        "state": "pending" if each.fired_ns is None else "firing",
        "severity": each.finding.severity or DEFAULTS[each.rule].severity,
        "summary": each.finding.summary,
        "labels": each.finding.labels,
        "value": each.finding.value,
        "threshold": each.finding.threshold,
        "since": show_time(each.since_ns),
        "what_to_do": DEFAULTS[each.rule].todo,
        "acknowledged": None
        if said is None
        else {"by": said.by, "at": show_time(said.at_ns), "note": said.note},
    }


def _told(alert: Alert) -> Json:
    return {
        "id": alert.id,
        "at": show_time(alert.at_ns),
        "since": show_time(alert.since_ns),
        "status": alert.status,
        "rule": alert.rule,
        "severity": alert.severity,
        "summary": alert.summary,
        "labels": alert.labels,
        "silenced": alert.silenced,
    }


def _find(connection: Connection, id_: str) -> Any:
    row = connection.execute(select(silences).where(silences.c.id == id_)).one_or_none()
    if row is None:
        raise NotFound("There is no such silence.", param="id")
    return row


def _shown(row: Any) -> Json:
    return {
        "id": row.id,
        "rule": row.rule,
        "labels": msgspec.json.decode(row.labels, type=dict[str, str]),
        "until": show_time(row.until_ns),
        "why": row.why,
        "by": row.by,
        "created_at": show_time(row.created_ns),
    }
