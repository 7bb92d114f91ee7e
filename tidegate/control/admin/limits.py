"""Limits: one rule for a scope, or for each scope of a kind apart."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import ColumnElement, Connection, and_, delete, select, tuple_

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.problems import Conflict, Invalid, NotFound
from tidegate.control.admin.shapes import (
    WHOLE,
    WORD,
    Amount,
    Json,
    Money,
    Page,
    Paging,
    Shape,
    Time,
    Word,
    money,
    show_time,
)
from tidegate.control.admin.trail import Change
from tidegate.limits import DAY_S, HOUR_S, MINUTE_S, Budget, Kind, Limits, Period, Rate
from tidegate.store.tables.admin import rules

router = APIRouter()

EACH: Final = "*"
"""The name of a rule for each scope of its kind apart."""
_WINDOWS: Final = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S}
_SEPARATOR: Final = "/"

_Kind = Annotated[Kind, Path(description="What is limited.")]
_Scope = Annotated[str, Path(pattern=WORD, description="Its name; `*` for each of the kind apart.")]
_Count = Annotated[int, Field(ge=0, le=1 << 50), WHOLE] | None


class Rates(Shape):
    """What may be used at a time; null is not limited. Tokens are input and output together."""

    requests_per_minute: _Count = None
    requests_per_hour: _Count = None
    requests_per_day: _Count = None
    tokens_per_minute: _Count = None
    tokens_per_hour: _Count = None
    tokens_per_day: _Count = None
    concurrency: _Count = None
    """Requests at the same time."""
    steps: _Count = None
    """Requests of a conversation in all."""


class BudgetAsked(Shape):
    """Money that may be spent in a period."""

    amount: Amount
    period: Period = "month"
    timezone: str = Field(
        "UTC",
        min_length=1,
        max_length=64,
        description="Where days begin: `Europe/Berlin`.",
        json_schema_extra={"format": "timezone"},
    )
    soft_percent: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(
        80, description="From here on it is warned of, or `downgrade` is asked."
    )
    downgrade: Word | None = Field(
        None, description="Alias that is asked instead once the soft share is spent."
    )


class BudgetShown(Shape):
    """A budget of a rule."""

    amount: Money
    period: Period
    timezone: str
    soft_percent: int
    downgrade: str | None


class NewRule(Shape):
    """All limits of a scope; what is not named is not limited."""

    limits: Rates = Rates()
    budgets: list[BudgetAsked] = Field([], max_length=8)


class RuleShown(Shape):
    """The limits of a scope."""

    kind: Kind
    name: str
    limits: Rates
    budgets: list[BudgetShown]
    updated_at: Time


class RuleList(Paging):
    """Which rules are wanted."""

    kind: Kind | None = None
    search: Word | None = Field(None, description="A part of the scope's name.")


@router.put("/limits/{kind}/{name:path}")
def set_limits(
    kind: _Kind, name: _Scope, new: NewRule, desk: Annotated[Desk, changing("limits:write")]
) -> RuleShown:
    """Set the limits of a scope, in the place of those it had."""

    def work(connection: Connection, now_ns: int) -> Made:
        _check(kind, name, new, desk)
        row = _row(connection, kind, name)
        before = None if row is None else _shown(row)
        connection.execute(delete(rules).where(_is(kind, name)))
        text = msgspec.json.encode(_value(new)).decode()
        connection.execute(
            rules.insert().values(kind=kind, name=_stored(name), limits=text, updated_ns=now_ns)
        )
        shown = _shown(_row(connection, kind, name))
        return Made(Change("limits.set", _object(kind, name), before, shown), shown)

    return RuleShown.model_validate(desk.change(work))


@router.get("/limits")
def list_limits(
    wanted: Annotated[RuleList, Query()], desk: Annotated[Desk, looking("limits:read")]
) -> Page[RuleShown]:
    """The limits that the admin API set, by kind and name."""
    place = tuple_(rules.c.kind, rules.c.name)
    query = select(rules).order_by(rules.c.kind, rules.c.name).limit(wanted.limit + 1)
    if wanted.after is not None:
        kind, _, name = wanted.after.partition(_SEPARATOR)
        query = query.where(place > tuple_(kind, _stored(name)))
    if wanted.kind is not None:
        query = query.where(rules.c.kind == wanted.kind)
    if wanted.search is not None:
        query = query.where(rules.c.name.icontains(wanted.search, autoescape=True))
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    shown, more = items[: wanted.limit], None
    if len(items) > len(shown):
        more = f"{shown[-1]['kind']}{_SEPARATOR}{shown[-1]['name']}"
    return Page[RuleShown].model_validate({"items": shown, "next": more})


@router.get("/limits/{kind}/{name:path}")
def show_limits(
    kind: _Kind, name: _Scope, desk: Annotated[Desk, looking("limits:read")]
) -> RuleShown:
    """The limits of a scope."""
    with desk.reading() as connection:
        return RuleShown.model_validate(_shown(_find(connection, kind, name)))


@router.delete("/limits/{kind}/{name:path}")
def remove_limits(
    kind: _Kind, name: _Scope, desk: Annotated[Desk, changing("limits:write")]
) -> RuleShown:
    """Remove the limits of a scope; the rule for each of its kind, if any, holds again."""

    def work(connection: Connection, _now_ns: int) -> Made:
        shown = _shown(_find(connection, kind, name))
        connection.execute(delete(rules).where(_is(kind, name)))
        return Made(Change("limits.remove", _object(kind, name), shown, None), shown)

    return RuleShown.model_validate(desk.change(work))


def _check(kind: Kind, name: str, new: NewRule, desk: Desk) -> None:
    configured = desk.configured
    if (kind, _stored(name)) in {(rule.kind, rule.name or "") for rule in configured.rules}:
        raise Conflict(
            f"The configuration file sets the limits of the {kind} `{name}`.",
            param="name",
            remedy="Change them there, or take them out of the file first.",
        )
    if configured.apart and _value(new) != Limits():
        raise Conflict(
            "Several gateway processes cannot keep limits together without Redis.",
            remedy="Set `shared` in the configuration file, or have one worker, and restart.",
        )
    if kind == "alias" and name != EACH:
        _refuse_unknown(name, configured.aliases, "name")
    spans = [(each.period, each.timezone) for each in new.budgets]
    if len(set(spans)) < len(spans):
        raise Conflict(
            "Two budgets have the same period.", param="budgets", remedy="Name each period once."
        )
    aliases = configured.aliases
    for number, budget in enumerate(new.budgets):
        try:
            ZoneInfo(budget.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Invalid(
                "There is no such time zone.",
                param=f"budgets.{number}.timezone",
                remedy="Take a name such as `UTC` or `Europe/Berlin`.",
            ) from None
        if budget.downgrade is not None:
            _refuse_unknown(budget.downgrade, aliases, f"budgets.{number}.downgrade")


def _refuse_unknown(alias: str, aliases: Iterable[str], param: str) -> None:
    # A limit on an alias that nobody can ask for would be one that never holds.
    aliases = list(aliases)
    if alias not in aliases:
        close = get_close_matches(alias, aliases, n=1, cutoff=0.5)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise Conflict(
            f"There is no alias `{alias}`.{hint}",
            param=param,
            remedy="Name an alias that stands under `models` in the configuration file.",
        )


def _value(new: NewRule) -> Limits:
    return Limits(
        requests=_rates(new.limits, "requests"),
        tokens=_rates(new.limits, "tokens"),
        concurrency=new.limits.concurrency,
        budgets=tuple(
            Budget(
                each.amount.value,
                each.period,
                each.timezone,
                each.soft_percent / 100,
                each.downgrade,
            )
            for each in new.budgets
        ),
        steps=new.limits.steps,
    )


def _rates(said: Rates, what: str) -> tuple[Rate, ...]:
    found = ((getattr(said, f"{what}_per_{name}"), span_s) for name, span_s in _WINDOWS.items())
    return tuple(Rate(limit, span_s) for limit, span_s in found if limit is not None)


def show_limits_of(limits: Limits) -> Json:
    """`limits` and `budgets` as they are answered."""
    names = {window_s: name for name, window_s in _WINDOWS.items()}
    rates: Json = {"concurrency": limits.concurrency, "steps": limits.steps}
    for what in ("requests", "tokens"):
        said: tuple[Rate, ...] = getattr(limits, what)
        rates |= {f"{what}_per_{names[each.window_s]}": each.limit for each in said}
    return {"limits": rates, "budgets": [show_budget(each) for each in limits.budgets]}


def show_budget(budget: Budget) -> Json:
    """A budget as it is answered."""
    return {
        "amount": money(budget.nanousd),
        "period": budget.period,
        "timezone": budget.timezone,
        "soft_percent": round(budget.soft * 100),
        "downgrade": budget.downgrade,
    }


def _row(connection: Connection, kind: Kind, name: str) -> Any:
    return connection.execute(select(rules).where(_is(kind, name))).one_or_none()


def _find(connection: Connection, kind: Kind, name: str) -> Any:
    row = _row(connection, kind, name)
    if row is None:
        raise NotFound(f"The admin API has set no limits for the {kind} `{name}`.", param="name")
    return row


def _is(kind: Kind, name: str) -> ColumnElement[bool]:
    return and_(rules.c.kind == kind, rules.c.name == _stored(name))


def _stored(name: str) -> str:
    return "" if name == EACH else name


def _object(kind: Kind, name: str) -> str:
    return f"limits:{kind}/{name}"


def _shown(row: Any) -> Json:
    limits = msgspec.json.decode(row.limits, type=Limits)
    return {
        "kind": row.kind,
        "name": row.name or EACH,
        **show_limits_of(limits),
        "updated_at": show_time(row.updated_ns),
    }
