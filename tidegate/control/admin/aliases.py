"""The aliases of the configuration: where they lead, what is known of the prices, how they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import select

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Json, Shape
from tidegate.policy.board import read_boards
from tidegate.store.tables.admin import prices
from tidegate.types import allowed

router = APIRouter()


class TargetShown(Shape):
    """One of an alias's targets."""

    name: str
    weight: int
    priced: bool
    """Whether anybody knows what it costs."""
    breakers: dict[str, str]
    """What each gateway's breaker says: `closed`, `half_open`, `open`; none before it was asked."""


class AliasShown(Shape):
    """A model name that callers ask for."""

    name: str
    targets: list[TargetShown]
    priced: bool
    """Whether the price of every target is known."""


class Aliases(Shape):
    """All of them: there are as many as the configuration file has."""

    items: list[AliasShown]


@router.get("/aliases")
def list_aliases(desk: Annotated[Desk, looking("state:read")]) -> Aliases:
    """The aliases, by name."""
    breakers = defaultdict[str, dict[str, str]](dict)
    for board in read_boards(desk.settings.boards):
        for target in board.targets:
            breakers[target.name][board.worker] = target.state
    known = _priced_here(desk)
    items: list[Json] = []
    for name, targets in sorted(desk.configured.aliases.items()):
        rows = [
            {
                "name": each.name,
                "weight": each.weight,
                "priced": each.priced or known(each.name),
                "breakers": breakers.get(each.name, {}),
            }
            for each in targets
        ]
        items.append({"name": name, "targets": rows, "priced": all(row["priced"] for row in rows)})
    return Aliases.model_validate({"items": items})


def _priced_here(desk: Desk) -> Callable[[str], bool]:
    """Whether the admin API has set a price for a target, by its name, that holds now."""
    query = select(prices.c.provider, prices.c.model).where(prices.c.from_ns <= desk.now_ns())
    with desk.reading() as connection:
        patterns = tuple({f"{row.provider}/{row.model}" for row in connection.execute(query)})
    return lambda name: allowed(patterns, name)
