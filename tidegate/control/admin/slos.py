"""How it stands with what is promised of aliases: error budgets, and how fast they burn."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter

from tidegate.alerts.objectives import WINDOWS_S, Burn
from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Shape
from tidegate.control.burns import Burns

router = APIRouter()


class Windows(Shape):
    """A rule's two windows, and how fast the error budget burns in each: 1 is as it may."""

    rule: str
    long_s: float
    short_s: float
    burn_long: float
    burn_short: float


class SloShown(Shape):
    """An objective of an alias."""

    alias: str
    slo: Literal["availability", "latency"]
    objective: float
    """The share of requests that has to be good."""
    under_s: float | None
    """Of `latency`: how soon the first content has to come."""
    window_s: float
    requests: int
    """In the window."""
    bad: int
    budget_left: float
    """Of the error budget: 1 is all of it, below 0 it is overdrawn."""
    burning: list[Windows]


class Slos(Shape):
    """All objectives."""

    items: list[SloShown]


@router.get("/slos")
def list_slos(desk: Annotated[Desk, looking("state:read")]) -> Slos:
    """Each objective of each alias: what was promised, and what is left of its error budget."""
    objectives = desk.settings.configured().objectives
    found = Burns(desk.database, lambda: objectives).look(desk.now_ns())
    return Slos(
        items=[
            SloShown(
                alias=alias,
                slo=slo,
                objective=burn.objective,
                under_s=objectives[alias].under_s if slo == "latency" else None,
                window_s=burn.window_s,
                requests=burn.whole.requests,
                bad=burn.whole.bad,
                budget_left=burn.left,
                burning=[_windows(rule, burn) for rule in WINDOWS_S],
            )
            for (alias, slo), burn in sorted(found.items())
        ]
    )


def _windows(rule: str, burn: Burn) -> Windows:
    long_s, short_s = WINDOWS_S[rule]
    return Windows(
        rule=rule,
        long_s=long_s,
        short_s=short_s,
        burn_long=burn.windows[long_s].burn(burn.objective),
        burn_short=burn.windows[short_s].burn(burn.objective),
    )
