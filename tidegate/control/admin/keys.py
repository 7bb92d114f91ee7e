"""Virtual keys: made, shown once, changed, rotated, blocked, deleted."""

from __future__ import annotations

from secrets import token_hex, token_urlsafe
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.owners import Owners
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.control.admin.publish import GUARDED
from tidegate.control.admin.shapes import (
    NAME,
    WHOLE,
    Json,
    Moment,
    Name,
    Page,
    Paging,
    Shape,
    Time,
    Word,
    page,
    show_time,
    show_time_or_none,
)
from tidegate.control.admin.signin import digest_of
from tidegate.control.admin.trail import Change, set_number
from tidegate.guard.access import Digest, Nameable
from tidegate.money import NANO
from tidegate.store.tables.admin import virtual_keys

router = APIRouter()

PREFIX: Final = "tg-"
ID: Final = "key_"
MOST_SECRETS: Final = 3
MOST_OVERLAP_S: Final = 90 * 86_400
_SHOWN: Final = 12
_SEARCHED: Final = ("name", "user", "team")

_Ref = Annotated[str, Path(pattern=NAME, description="The key's name or id.")]
_Patterns = Annotated[list[Word], Field(max_length=100)]
_PATTERNS = "Aliases it may use, `*` standing for anything; null is all of them."
_FEATURES = "Features that its requests may be for; null is any."
_MAY_NAME = "What its callers may say of a request themselves; null is all that it does not fix."
Priority = Literal["interactive", "batch"]


class KeyChange(Shape):
    """What is to be different; what is not named stays."""

    user: Name | None = None
    team: Name | None = None
    organisation: Name | None = None
    environment: Name | None = None
    models: _Patterns | None = Field(None, description=_PATTERNS)
    features: _Patterns | None = Field(None, description=_FEATURES)
    may_name: Annotated[list[Nameable], Field(max_length=4)] | None = Field(
        None, description=_MAY_NAME
    )
    priority: Priority = "interactive"
    expires_at: Moment | None = None


class NewKey(KeyChange):
    """A key to be made: with a name, and all that may be changed of it later."""

    name: Name


class Rotation(Shape):
    """How a key gets a new secret."""

    overlap_s: Annotated[int, Field(ge=0, le=MOST_OVERLAP_S), WHOLE] = Field(
        86_400, description="Seconds that the old secret stays good."
    )


class SecretShown(Shape):
    """A secret of a key, as far as it is told."""

    fingerprint: str = Field(description="The first digits of its SHA-256.")
    until: Time | None


class KeyShown(Shape):
    """A key, without its secrets."""

    id: str
    name: str
    user: str | None
    team: str | None
    organisation: str | None
    environment: str | None
    models: list[str] | None
    features: list[str] | None
    may_name: list[str] | None
    priority: str
    expires_at: Time | None
    blocked: bool
    created_at: Time
    secrets: list[SecretShown]


class KeyMade(KeyShown):
    """A key and its new secret."""

    secret: str | None = Field(description="Told once: null when the request is repeated.")


class KeyList(Paging):
    """Which keys are wanted."""

    user: Name | None = None
    team: Name | None = None
    organisation: Name | None = None
    blocked: bool | None = None
    search: Word | None = Field(None, description="A part of its name, user or team.")


@router.post("/keys", status_code=201)
def create_key(new: NewKey, desk: Annotated[Desk, changing("keys:write")]) -> KeyMade:
    """Make a key. Its secret is in the answer, and nowhere else."""
    secret = PREFIX + token_urlsafe(32)

    def work(connection: Connection, now_ns: int) -> Made:
        _refuse_taken(connection, new.name, desk)
        values = _columns(new.model_dump())
        Owners(connection, desk.configured).check(values["user"], values["team"],
                                                  values["organisation"])  # fmt: skip
        values |= {
            "id": ID + token_hex(8),
            "digests": _encode([Digest(digest_of(secret.encode()))]),
            "blocked": False,
            "created_ns": now_ns,
        }
        connection.execute(virtual_keys.insert().values(**values))
        return _made(connection, "key.create", values["id"], None, secret)

    return KeyMade.model_validate(desk.change(work))


@router.get("/keys")
def list_keys(
    wanted: Annotated[KeyList, Query()], desk: Annotated[Desk, looking("keys:read")]
) -> Page[KeyShown]:
    """The keys, by name."""
    query = select(virtual_keys).order_by(virtual_keys.c.name).limit(wanted.limit + 1)
    conditions = wanted.model_dump(exclude={"limit", "after", "search"}, exclude_none=True)
    query = query.where(*(virtual_keys.c[name] == value for name, value in conditions.items()))
    if wanted.search is not None:
        query = query.where(
            or_(
                *(
                    virtual_keys.c[name].icontains(wanted.search, autoescape=True)
                    for name in _SEARCHED
                )
            )
        )
    if wanted.after is not None:
        query = query.where(virtual_keys.c.name > wanted.after)
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    return Page[KeyShown].model_validate(page(items, "name", wanted.limit))


@router.get("/keys/{key}")
def show_key(key: _Ref, desk: Annotated[Desk, looking("keys:read")]) -> KeyShown:
    """One key."""
    with desk.reading() as connection:
        return KeyShown.model_validate(_shown(_find(connection, key)))


@router.patch("/keys/{key}")
def change_key(
    key: _Ref, wanted: KeyChange, desk: Annotated[Desk, changing("keys:write")]
) -> KeyShown:
    """Change what is named; its name and id stay."""

    def work(connection: Connection, _now_ns: int) -> Made:
        before = _find(connection, key)
        values = _columns(wanted.model_dump(exclude_unset=True))
        owners = [values.get(of, getattr(before, of)) for of in ("user", "team", "organisation")]
        if values.keys() & {"user", "team", "organisation"}:
            Owners(connection, desk.configured).check(*owners)
        return _update(connection, "key.change", before, values)

    return KeyShown.model_validate(desk.change(work))


@router.post("/keys/{key}/rotate")
def rotate_key(
    key: _Ref, wanted: Rotation, desk: Annotated[Desk, changing("keys:write")]
) -> KeyMade:
    """Give a key a new secret; the old one stays good for a while."""
    secret = PREFIX + token_urlsafe(32)

    def work(connection: Connection, now_ns: int) -> Made:
        before = _find(connection, key)
        until_ns = now_ns + wanted.overlap_s * NANO
        old = [_ending(digest, until_ns) for digest in _digests(before)]
        kept = [digest for digest in old if digest.until_ns is None or digest.until_ns > now_ns]
        fresh = [Digest(digest_of(secret.encode())), *kept][:MOST_SECRETS]
        return _update(connection, "key.rotate", before, {"digests": _encode(fresh)}, secret)

    return KeyMade.model_validate(desk.change(work))


@router.post("/keys/{key}/block")
def block_key(key: _Ref, desk: Annotated[Desk, changing("keys:write")]) -> KeyShown:
    """Let a key in no more, until it is unblocked."""
    return _block(key, desk, blocked=True)


@router.post("/keys/{key}/unblock")
def unblock_key(key: _Ref, desk: Annotated[Desk, changing("keys:write")]) -> KeyShown:
    """Let a blocked key in again."""
    return _block(key, desk, blocked=False)


@router.delete("/keys/{key}")
def delete_key(key: _Ref, desk: Annotated[Desk, changing("keys:write")]) -> KeyShown:
    """Delete a key. What it spent stays counted under its name."""

    def work(connection: Connection, _now_ns: int) -> Made:
        before = _find(connection, key)
        connection.execute(delete(virtual_keys).where(virtual_keys.c.id == before.id))
        set_number(connection, GUARDED, 1)
        shown = _shown(before)
        return Made(Change("key.delete", f"key:{before.name}", shown, None), shown)

    return KeyShown.model_validate(desk.change(work))


def _block(key: str, desk: Desk, *, blocked: bool) -> KeyShown:
    action = "key.block" if blocked else "key.unblock"

    def work(connection: Connection, _now_ns: int) -> Made:
        return _update(connection, action, _find(connection, key), {"blocked": blocked})

    return KeyShown.model_validate(desk.change(work))


def _refuse_taken(connection: Connection, name: str, desk: Desk) -> None:
    if name.startswith(ID):
        raise Conflict(f"A name cannot begin with `{ID}`, as ids do.", param="name")
    if name in desk.configured.keys:
        raise Conflict(
            f"The configuration file has a key `{name}`.", param="name", remedy="Take another name."
        )
    if connection.execute(select(virtual_keys.c.id).where(virtual_keys.c.name == name)).first():
        raise Conflict(
            f"There is a key `{name}` already.",
            param="name",
            remedy="Take another name, or rotate the key that is there.",
        )


def _find(connection: Connection, key: str) -> Any:
    row = connection.execute(select(virtual_keys).where(_is(key))).one_or_none()
    if row is None:
        raise NotFound(f"There is no key `{key}` that the admin API made.", param="key")
    return row


def _is(key: str) -> ColumnElement[bool]:
    return or_(virtual_keys.c.id == key, virtual_keys.c.name == key)


def _update(
    connection: Connection, action: str, before: Any, values: Json, secret: str | None = None
) -> Made:
    if values:
        mine = virtual_keys.c.id == before.id
        connection.execute(update(virtual_keys).where(mine).values(**values))
    return _made(connection, action, before.id, _shown(before), secret)


def _made(
    connection: Connection, action: str, id_: str, before: Json | None, secret: str | None
) -> Made:
    shown = _shown(_find(connection, id_))
    change = Change(action, f"key:{shown['name']}", before, shown)
    if secret is None:
        return Made(change, shown)
    return Made(change, shown | {"secret": None}, {"secret": secret})


def _columns(said: Json) -> Json:
    """The table's columns for what a request said."""
    values = dict(said)
    for name in ("models", "features", "may_name"):
        if values.get(name) is not None:
            values[name] = _encode(values[name])
    if "expires_at" in values:
        values["expires_ns"] = values.pop("expires_at")
    return values


def _shown(row: Any) -> Json:
    lists = ("models", "features", "may_name")
    plain = ("id", "name", "user", "team", "organisation", "environment", "priority", "blocked")
    return {
        **{name: getattr(row, name) for name in plain},
        **{name: _decode(getattr(row, name)) for name in lists},
        "expires_at": show_time_or_none(row.expires_ns),
        "created_at": show_time(row.created_ns),
        "secrets": [
            {"fingerprint": each.sha256[:_SHOWN], "until": show_time_or_none(each.until_ns)}
            for each in _digests(row)
        ],
    }


def _digests(row: Any) -> list[Digest]:
    return msgspec.json.decode(row.digests, type=list[Digest])


def _ending(digest: Digest, until_ns: int) -> Digest:
    sooner = until_ns if digest.until_ns is None else min(until_ns, digest.until_ns)
    return Digest(digest.sha256, sooner)


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _decode(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
