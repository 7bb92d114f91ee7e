"""Users: whom keys belong to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, delete, select, update

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
from tidegate.store.tables.admin import users, virtual_keys

router = APIRouter()

_Ref = Annotated[str, Path(pattern=NAME)]


class NewUser(Shape):
    """A user to be made."""

    name: Name
    team: Name | None = None


class UserChange(Shape):
    """What is to be different; what is not named stays."""

    team: Name | None = None


class UserShown(Shape):
    """A user."""

    name: str
    team: str | None
    created_at: Time


class UserList(Paging):
    """Which users are wanted."""

    team: Name | None = None


@router.post("/users", status_code=201)
def create_user(new: NewUser, desk: Annotated[Desk, changing("people:write")]) -> UserShown:
    """Make a user."""

    def work(connection: Connection, now_ns: int) -> Made:
        owners = Owners(connection, desk.configured)
        owners.refuse_taken("user", new.name)
        if new.team is not None:
            owners.require("team", new.team)
        connection.execute(users.insert().values(**new.model_dump(), created_ns=now_ns))
        shown = _shown(find(connection, "user", new.name))
        return Made(Change("user.create", f"user:{new.name}", None, shown), shown)

    return UserShown.model_validate(desk.change(work))


@router.get("/users")
def list_users(
    wanted: Annotated[UserList, Query()], desk: Annotated[Desk, looking("people:read")]
) -> Page[UserShown]:
    """The users, by name."""
    query = select(users).order_by(users.c.name).limit(wanted.limit + 1)
    if wanted.after is not None:
        query = query.where(users.c.name > wanted.after)
    if wanted.team is not None:
        query = query.where(users.c.team == wanted.team)
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    return Page[UserShown].model_validate(page(items, "name", wanted.limit))


@router.get("/users/{name}")
def show_user(name: _Ref, desk: Annotated[Desk, looking("people:read")]) -> UserShown:
    """One user."""
    with desk.reading() as connection:
        return UserShown.model_validate(_shown(find(connection, "user", name)))


@router.patch("/users/{name}")
def change_user(
    name: _Ref, wanted: UserChange, desk: Annotated[Desk, changing("people:write")]
) -> UserShown:
    """Move a user to another team, or to none."""

    def work(connection: Connection, _now_ns: int) -> Made:
        before = _shown(find(connection, "user", name))
        values = wanted.model_dump(exclude_unset=True)
        if values.get("team") is not None:
            Owners(connection, desk.configured).require("team", values["team"])
        if values:
            connection.execute(update(users).where(users.c.name == name).values(**values))
        shown = _shown(find(connection, "user", name))
        return Made(Change("user.change", f"user:{name}", before, shown), shown)

    return UserShown.model_validate(desk.change(work))


@router.delete("/users/{name}")
def delete_user(name: _Ref, desk: Annotated[Desk, changing("people:write")]) -> UserShown:
    """Delete a user that no key belongs to."""

    def work(connection: Connection, _now_ns: int) -> Made:
        shown = _shown(find(connection, "user", name))
        query = select(virtual_keys.c.name).where(virtual_keys.c.user == name).limit(1)
        if (key := connection.execute(query).scalar()) is not None:
            raise Conflict(f"The key `{key}` is theirs.", remedy="Move or delete the key first.")
        connection.execute(delete(users).where(users.c.name == name))
        return Made(Change("user.delete", f"user:{name}", shown, None), shown)

    return UserShown.model_validate(desk.change(work))


def _shown(row: Any) -> Json:
    return {"name": row.name, "team": row.team, "created_at": show_time(row.created_ns)}
