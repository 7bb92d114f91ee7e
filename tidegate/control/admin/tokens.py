"""Admin tokens: who may speak to this API, and in which role."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, delete, func, select

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.control.admin.roles import Role
from tidegate.control.admin.shapes import (
    NAME,
    Json,
    Moment,
    Name,
    Page,
    Paging,
    Shape,
    Time,
    page,
    show_time,
    show_time_or_none,
)
from tidegate.control.admin.signin import digest_of, new_token
from tidegate.control.admin.trail import Change
from tidegate.store.tables.admin import admin_tokens

router = APIRouter()

_Ref = Annotated[str, Path(pattern=NAME)]


class NewToken(Shape):
    """A token to be made."""

    name: Name
    role: Role
    expires_at: Moment | None = None


class TokenShown(Shape):
    """A token, without itself."""

    name: str
    role: Role
    expires_at: Time | None
    created_at: Time


class TokenMade(TokenShown):
    """A token and what to send."""

    token: str | None
    """Told once: null when the request is repeated."""


class WhoAmI(Shape):
    """The token that asks."""

    name: str
    role: Role


@router.get("/whoami")
def who_am_i(desk: Annotated[Desk, looking("state:read")]) -> WhoAmI:
    """Whose token this is."""
    return WhoAmI(name=desk.caller.name, role=desk.caller.role)


@router.post("/tokens", status_code=201)
def create_token(new: NewToken, desk: Annotated[Desk, changing("tokens:write")]) -> TokenMade:
    """Make a token. It is in the answer, and nowhere else."""
    token = new_token()

    def work(connection: Connection, now_ns: int) -> Made:
        if _row(connection, new.name) is not None:
            raise Conflict(
                f"There is a token `{new.name}` already.",
                param="name",
                remedy="Take another name, or delete the token that is there.",
            )
        connection.execute(
            admin_tokens.insert().values(
                name=new.name,
                role=new.role,
                digest=digest_of(token.encode()),
                expires_ns=new.expires_at,
                created_ns=now_ns,
            )
        )
        shown = _shown(_find(connection, new.name))
        change = Change("token.create", f"token:{new.name}", None, shown)
        return Made(change, shown | {"token": None}, {"token": token})

    return TokenMade.model_validate(desk.change(work))


@router.get("/tokens")
def list_tokens(
    wanted: Annotated[Paging, Query()], desk: Annotated[Desk, looking("tokens:read")]
) -> Page[TokenShown]:
    """The tokens, by name."""
    query = select(admin_tokens).order_by(admin_tokens.c.name).limit(wanted.limit + 1)
    if wanted.after is not None:
        query = query.where(admin_tokens.c.name > wanted.after)
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    return Page[TokenShown].model_validate(page(items, "name", wanted.limit))


@router.delete("/tokens/{name}")
def delete_token(name: _Ref, desk: Annotated[Desk, changing("tokens:write")]) -> TokenShown:
    """Delete a token; the last owner's that does not expire stays."""

    def work(connection: Connection, _now_ns: int) -> Made:
        row = _find(connection, name)
        shown = _shown(row)
        lasting = (admin_tokens.c.role == "owner", admin_tokens.c.expires_ns.is_(None))
        others = select(func.count()).select_from(admin_tokens)
        others = others.where(*lasting, admin_tokens.c.name != name)
        if row.role == "owner" and not connection.execute(others).scalar_one():
            raise Conflict(
                "It is the last owner's token that does not expire.",
                remedy="Make another one first.",
            )
        connection.execute(delete(admin_tokens).where(admin_tokens.c.name == name))
        return Made(Change("token.delete", f"token:{name}", shown, None), shown)

    return TokenShown.model_validate(desk.change(work))


def _row(connection: Connection, name: str) -> Any:
    return connection.execute(select(admin_tokens).where(admin_tokens.c.name == name)).one_or_none()


def _find(connection: Connection, name: str) -> Any:
    row = _row(connection, name)
    if row is None:
        raise NotFound(f"There is no token `{name}`.", param="name")
    return row


def _shown(row: Any) -> Json:
    return {
        "name": row.name,
        "role": row.role,
        "expires_at": show_time_or_none(row.expires_ns),
        "created_at": show_time(row.created_ns),
    }
