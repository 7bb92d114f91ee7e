"""Budgets as they stand: what is spent of each in its present period, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.limits import show_budget
from tidegate.control.admin.publish import rule_of
from tidegate.control.admin.shapes import (
    MOST_ITEMS,
    Json,
    Money,
    Shape,
    Time,
    Word,
    money,
    show_time,
    show_time_or_none,
)
from tidegate.control.balances import stands
from tidegate.limits import Budget, Kind, Period, Rule, span_of
from tidegate.store.held import HeldStore
from tidegate.store.tables.admin import rules

router = APIRouter()

Source = Literal["admin", "configuration"]


class BudgetList(BaseModel):
    """Which budgets are wanted."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    name: Word | None = None
    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="At most so many, the fullest first.")


class BudgetState(Shape):
    """A budget of a scope in its present period."""

    kind: Kind
    name: str
    each: bool = Field(description="Whether the limit is one for each of its kind.")
    source: Source
    amount: Money
    spent: Money = Field(description="Settled; what runs just now is not in it.")
    left: Money
    spent_percent: int = Field(description="Rounded down.")
    state: Literal["fine", "soft", "spent"]
    period: Period
    timezone: str
    begins_at: Time | None = Field(description="Null for `total`.")
    ends_at: Time | None
    soft_percent: int
    downgrade: str | None


class Budgets(Shape):
    """The fullest first."""

    items: list[BudgetState]
    more: bool = Field(description="Whether there are others that are less full.")


class _Stand(NamedTuple):
    source: Source
    rule: Rule
    name: str
    budget: Budget
    spent_nanousd: int


@router.get("/budgets")
def list_budgets(
    wanted: Annotated[BudgetList, Query()], desk: Annotated[Desk, looking("limits:read")]
) -> Budgets:
    """Every budget of whoever has spent anything, and those that name whom they are for."""
    now_ns = desk.now_ns()
    found = [
        each
        for each in _stands(desk, wanted.kind, now_ns)
        if wanted.name is None or each.name == wanted.name
    ]
    found.sort(key=lambda each: (-_share(each), each.rule.kind, each.name))
    items = [_shown(each, now_ns) for each in found[: wanted.limit]]
    return Budgets.model_validate({"items": items, "more": len(found) > wanted.limit})


def _stands(desk: Desk, kind: Kind | None, now_ns: int) -> Iterator[_Stand]:
    known = [each for each in _rules(desk) if kind in (None, each[1].kind)]
    sources: dict[tuple[Kind, str | None], Source] = {
        (rule.kind, rule.name): source for source, rule in known
    }
    for each in stands(HeldStore(desk.database), (rule for _, rule in known), now_ns):
        rule = each.rule
        source = sources[rule.kind, rule.name]
        yield _Stand(source, rule, each.name, each.budget, each.spent_nanousd)


def _rules(desk: Desk) -> list[tuple[Source, Rule]]:
    with desk.reading() as connection:
        own = [rule_of(row) for row in connection.execute(select(rules))]
    ours = desk.configured.rules
    taken = {(rule.kind, rule.name) for rule in ours}
    told: list[tuple[Source, Rule]] = [("configuration", rule) for rule in ours]
    return told + [("admin", rule) for rule in own if (rule.kind, rule.name) not in taken]


def _share(stand: _Stand) -> float:
    # Of a budget of nothing, nothing is left.
    return stand.spent_nanousd / stand.budget.nanousd if stand.budget.nanousd else 1.0


def _shown(stand: _Stand, now_ns: int) -> Json:
    budget, spent_nanousd = stand.budget, stand.spent_nanousd
    span = span_of(budget, now_ns)
    left_nanousd = max(0, budget.nanousd - spent_nanousd)
    state = "fine"
    if spent_nanousd >= budget.nanousd:
        state = "spent"
    elif spent_nanousd >= budget.soft * budget.nanousd:
        state = "soft"
    return {
        "kind": stand.rule.kind,
        "name": stand.name,
        "each": stand.rule.name is None,
        "source": stand.source,
        **show_budget(budget),
        "spent": money(spent_nanousd),
        "left": money(left_nanousd),
        "spent_percent": int(_share(stand) * 100),
        "state": state,
        "begins_at": None if budget.period == "total" else show_time(span.began_ns),
        "ends_at": show_time_or_none(span.ends_ns),
    }
