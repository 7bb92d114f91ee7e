"""Erasures: a user is taken out of everything that is stored."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, select

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing
from tidegate.control.admin.problems import Conflict
from tidegate.control.admin.shapes import Name, Shape
from tidegate.control.admin.trail import Change
from tidegate.store.erasure import Counts, Erasure, digest_of
from tidegate.store.tables.admin import state, virtual_keys

router = APIRouter()

_WORK_S: Final = 2.0
_DIGITS: Final = 16
_MOST_KEYS: Final = 100


class NewErasure(Shape):
    """Whom to erase."""

    user: Name
    dry_run: bool = Field(default=False, description="Tells what there is, and erases nothing.")


class ErasureShown(Shape):
    """What was done, or with `dry_run` what there is to do."""

    id: str = Field(description="Of the name: what the audit trail calls it.")
    done: bool = Field(description="Whether nothing is left; if not, ask again for the rest.")
    counts: dict[str, int] = Field(description="How many of which, by kind.")
    keys: list[str] = Field(description="Keys that belong to the user, and stay: delete them.")


@router.post("/erasures")
def erase_user(new: NewErasure, desk: Annotated[Desk, changing("people:erase")]) -> ErasureShown:
    """Erase a user, or as much of it as fits into two seconds; ask again until it is done."""
    erasure = Erasure(desk.database, new.user)
    shown = digest_of(new.user)[:_DIGITS]
    with desk.reading() as connection:
        query = select(virtual_keys.c.name).where(virtual_keys.c.user == new.user)
        keys = list(connection.execute(query.limit(_MOST_KEYS)).scalars())
        unsummed = select(state.c.value).where(state.c.name == "unsummed_id")
        if connection.execute(unsummed).scalar():
            raise Conflict(
                "Records of an earlier version are still being summed.",
                remedy="Ask again in a minute.",
            )
    if new.dry_run:
        counts = erasure.found()
        return ErasureShown(id=shown, done=not counts, counts=counts, keys=keys)
    at_once: Counts = {}

    def work(connection: Connection, now_ns: int) -> Made:
        nothing: dict[str, Any] = {"begun": True}
        if not erasure.is_open(connection):
            at_once.update(erasure.remember(connection, now_ns))
            return Made(Change("user.erase", f"user:{shown}", None, nothing), nothing)
        return Made(Change("user.erase", f"user:{shown}", nothing, nothing), nothing)

    desk.change(work)
    counts, until_s = dict(at_once), monotonic() + _WORK_S
    while not erasure.is_done and monotonic() < until_s:
        for kind, count in erasure.step(desk.now_ns()).items():
            counts[kind] = counts.get(kind, 0) + count
    return ErasureShown(id=shown, done=erasure.is_done, counts=counts, keys=keys)
