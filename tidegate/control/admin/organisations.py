"""Organisations: what teams belong to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, delete, select

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.owners import Owners, find
from tidegate.control.admin.problems import Conflict
from tidegate.control.admin.shapes import (
    NAME,
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
from tidegate.store.tables.admin import organisations, teams, virtual_keys

router = APIRouter()

_Ref = Annotated[str, Path(pattern=NAME)]


class NewOrganisation(Shape):
    """An organisation to be made."""

    name: Name


class OrganisationShown(Shape):
    """An organisation."""

    name: str
    created_at: Time


@router.post("/organisations", status_code=201)
def create_organisation(
    new: NewOrganisation, desk: Annotated[Desk, changing("people:write")]
) -> OrganisationShown:
    """Make an organisation."""

    def work(connection: Connection, now_ns: int) -> Made:
        Owners(connection, desk.configured).refuse_taken("organisation", new.name)
        connection.execute(organisations.insert().values(name=new.name, created_ns=now_ns))
        shown = _shown(find(connection, "organisation", new.name))
        return Made(Change("organisation.create", f"organisation:{new.name}", None, shown), shown)

    return OrganisationShown.model_validate(desk.change(work))


@router.get("/organisations")
def list_organisations(
    wanted: Annotated[Paging, Query()], desk: Annotated[Desk, looking("people:read")]
) -> Page[OrganisationShown]:
    """The organisations, by name."""
    query = select(organisations).order_by(organisations.c.name).limit(wanted.limit + 1)
    if wanted.after is not None:
        query = query.where(organisations.c.name > wanted.after)
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    return Page[OrganisationShown].model_validate(page(items, "name", wanted.limit))


@router.get("/organisations/{name}")
def show_organisation(
    name: _Ref, desk: Annotated[Desk, looking("people:read")]
) -> OrganisationShown:
    """One organisation."""
    with desk.reading() as connection:
        return OrganisationShown.model_validate(_shown(find(connection, "organisation", name)))


@router.delete("/organisations/{name}")
def delete_organisation(
    name: _Ref, desk: Annotated[Desk, changing("people:write")]
) -> OrganisationShown:
    """Delete an organisation that no team and no key belongs to."""

    def work(connection: Connection, _now_ns: int) -> Made:
        shown = _shown(find(connection, "organisation", name))
        for table, what in ((teams, "team"), (virtual_keys, "key")):
            query = select(table.c.name).where(table.c.organisation == name).limit(1)
            if (of := connection.execute(query).scalar()) is not None:
                raise Conflict(
                    f"The {what} `{of}` belongs to it.", remedy=f"Move or delete the {what} first."
                )
        connection.execute(delete(organisations).where(organisations.c.name == name))
        return Made(Change("organisation.delete", f"organisation:{name}", shown, None), shown)

    return OrganisationShown.model_validate(desk.change(work))


def _shown(row: Any) -> Json:
    return {"name": row.name, "created_at": show_time(row.created_ns)}
