"""Teams: what users belong to, with their share where requests wait and what is kept of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import Connection, delete, select, update

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.owners import Owners, find
from tidegate.control.admin.problems import Conflict
from tidegate.control.admin.shapes import (
    NAME,
    WHOLE,
    Json,
    Name,
    Page,
    Paging,
    Shape,
    Time,
    page,
    show_time,
)
from tidegate.control.admin.trail import Change
from tidegate.store.tables.admin import teams, users, virtual_keys

router = APIRouter()

_Ref = Annotated[str, Path(pattern=NAME)]
_Weight = Annotated[
    int,
    Field(ge=1, le=1_000, description="Its share where requests wait, relative to others."),
    WHOLE,
]


class TeamRecords(Shape):
    """What may be kept of a team's requests; an alias may allow less, and the stricter holds."""

    bodies: Literal["none", "metadata", "redacted", "full"] | None = Field(
        None, description="As in the configuration's `records`; null is no bound."
    )
    share: Annotated[float, Field(strict=False, ge=0, le=1)] | None = Field(
        None, description="Of the requests, those whose bodies may be kept: `0.1`; null is all."
    )
    max_body_bytes: Annotated[int, Field(ge=1, le=1 << 40), WHOLE] | None = Field(
        None, description="Most that may be kept of a prompt, and of an answer; null is no bound."
    )


class NewTeam(Shape):
    """A team to be made."""

    name: Name
    organisation: Name | None = None
    weight: _Weight = 1
    records: TeamRecords | None = None


class TeamChange(Shape):
    """What is to be different; what is not named stays."""

    organisation: Name | None = None
    weight: _Weight = 1
    records: TeamRecords | None = Field(
        None, description="What of it is not named stays; null takes all bounds away."
    )


class TeamShown(Shape):
    """A team."""

    name: str
    organisation: str | None
    weight: int
    records: TeamRecords | None
    created_at: Time


class TeamList(Paging):
    """Which teams are wanted."""

    organisation: Name | None = None


@router.post("/teams", status_code=201)
def create_team(new: NewTeam, desk: Annotated[Desk, changing("people:write")]) -> TeamShown:
    """Make a team."""

    def work(connection: Connection, now_ns: int) -> Made:
        owners = Owners(connection, desk.configured)
        owners.refuse_taken("team", new.name)
        if new.organisation is not None:
            owners.require("organisation", new.organisation)
        values = {**new.model_dump(), "records": _bounds(None, new.records)}
        connection.execute(teams.insert().values(**values, created_ns=now_ns))
        shown = _shown(find(connection, "team", new.name))
        return Made(Change("team.create", f"team:{new.name}", None, shown), shown)

    return TeamShown.model_validate(desk.change(work))


@router.get("/teams")
def list_teams(
    wanted: Annotated[TeamList, Query()], desk: Annotated[Desk, looking("people:read")]
) -> Page[TeamShown]:
    """The teams, by name."""
    query = select(teams).order_by(teams.c.name).limit(wanted.limit + 1)
    if wanted.after is not None:
        query = query.where(teams.c.name > wanted.after)
    if wanted.organisation is not None:
        query = query.where(teams.c.organisation == wanted.organisation)
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    return Page[TeamShown].model_validate(page(items, "name", wanted.limit))


@router.get("/teams/{name}")
def show_team(name: _Ref, desk: Annotated[Desk, looking("people:read")]) -> TeamShown:
    """One team."""
    with desk.reading() as connection:
        return TeamShown.model_validate(_shown(find(connection, "team", name)))


@router.patch("/teams/{name}")
def change_team(
    name: _Ref, wanted: TeamChange, desk: Annotated[Desk, changing("people:write")]
) -> TeamShown:
    """Change what is named."""

    def work(connection: Connection, _now_ns: int) -> Made:
        row = find(connection, "team", name)
        before = _shown(row)
        values = wanted.model_dump(exclude_unset=True)
        if "records" in values:
            values["records"] = _bounds(row.records, wanted.records)
        if values.get("organisation") is not None:
            Owners(connection, desk.configured).require("organisation", values["organisation"])
        if values:
            connection.execute(update(teams).where(teams.c.name == name).values(**values))
        shown = _shown(find(connection, "team", name))
        return Made(Change("team.change", f"team:{name}", before, shown), shown)

    return TeamShown.model_validate(desk.change(work))


@router.delete("/teams/{name}")
def delete_team(name: _Ref, desk: Annotated[Desk, changing("people:write")]) -> TeamShown:
    """Delete a team that no user and no key belongs to."""

    def work(connection: Connection, _now_ns: int) -> Made:
        shown = _shown(find(connection, "team", name))
        for table, what in ((users, "user"), (virtual_keys, "key")):
            query = select(table.c.name).where(table.c.team == name).limit(1)
            if (of := connection.execute(query).scalar()) is not None:
                raise Conflict(
                    f"The {what} `{of}` belongs to it.", remedy=f"Move or delete the {what} first."
                )
        connection.execute(delete(teams).where(teams.c.name == name))
        return Made(Change("team.delete", f"team:{name}", shown, None), shown)

    return TeamShown.model_validate(desk.change(work))


def _bounds(before: str | None, wanted: TeamRecords | None) -> str | None:
    """The bounds as the store has them, where of those of `before` what is not named stays."""
    if wanted is None:
        return None
    bounds: Json = {} if before is None else msgspec.json.decode(before)
    bounds |= wanted.model_dump(exclude_unset=True)
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    return msgspec.json.encode(bounds).decode() if bounds else None


def _shown(row: Any) -> Json:
    created_at = show_time(row.created_ns)
    bounds = None if row.records is None else TeamRecords(**msgspec.json.decode(row.records))
    return {
        "name": row.name, "organisation": row.organisation, "weight": row.weight,
        "records": None if bounds is None else bounds.model_dump(), "created_at": created_at,
    }  # fmt: skip
