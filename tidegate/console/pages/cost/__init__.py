"""What was spent, by whom and on what, what it comes to, and how budgets stand."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from tidegate.console import words
from tidegate.console.charts import stacked
from tidegate.console.page import Asked, Download, Page, View
from tidegate.console.pages.cost.reckoned import (
    MOST_SERIES,
    Forecast,
    as_csv,
    as_rows,
    day_of,
    forecast,
    month_of,
    series_of,
    unix_s,
    used_up_s,
)
from tidegate.console.plain import plain
from tidegate.console.spans import Span
from tidegate.money import NANO
from tidegate.store.spend import Of, SpendQuery

DIMENSIONS: Final[tuple[Of, ...]] = (
    "team", "user", "key", "feature", "alias", "model", "provider", "organisation",
)  # fmt: skip
_USUAL: Final = "24h"
_TOP, _EXPORTED, _BUDGETS = 50, 1_000, 50
_HOURS_UP_TO_S: Final = 2 * 86_400
_WEEK: Final = 7
_DAY_S, _HOUR_S = 86_400, 3_600
_CHARACTERS: Final = 256

page = Page("cost", "Cost", needs="spend:read")


@page.get()
def show(asked: Asked) -> View:
    """Spending by one dimension, over time, compared, and to come."""
    by, span, filters = _by(asked), asked.span(_USUAL), _filters(asked)
    store = asked.back.store.spending
    step = "hour" if span.seconds <= _HOURS_UP_TO_S else "day"
    wanted = SpendQuery(by, span.since_ns, span.until_ns, filters, _TOP)
    found, bars = store.course(wanted, step, MOST_SERIES)
    length_ns = span.until_ns - span.since_ns
    before = store.spend(SpendQuery(by, max(0, span.since_ns - length_ns), span.since_ns, filters))
    step_s = _HOUR_S if step == "hour" else _DAY_S
    names = [row.name for row in found.rows[:MOST_SERIES]]
    first_s = span.since_ns // NANO // step_s * step_s
    at_s = list(range(first_s, -(-span.until_ns // NANO), step_s))[-400:]
    drawn = stacked(
        f"Cost by {by}, each {step}",
        at_s,
        series_of(
            (bar._replace(name=None if bar.name is None else plain(bar.name)) for bar in bars),
            [None if name is None else plain(name) for name in names],
            at_s,
        ),
        words.usd,
    )
    view: dict[str, Any] = {
        "by": by,
        "dimensions": DIMENSIONS,
        "span": span,
        "filters": filters,
        "found": found,
        "before": {row.name: row.cost_nanousd for row in before.rows},
        "before_total": before.total.cost_nanousd,
        "chart": drawn,
        "forecast": _forecast(asked, filters),
        "budgets": _budgets(asked) if asked.may("limits:read") else [],
        "most": _TOP,
    }
    return View("cost.html", view)


@page.get("/export.{kind}")
def export(asked: Asked) -> Download:
    """The table as a file."""
    by, span = _by(asked), asked.span(_USUAL)
    query = SpendQuery(by, span.since_ns, span.until_ns, _filters(asked), _EXPORTED)
    rows = asked.back.store.spending.spend(query).rows
    if asked.names["kind"] == "json":
        return Download(f"cost-by-{by}.json", "application/json", _json(by, span, rows))
    return Download(f"cost-by-{by}.csv", "text/csv; charset=utf-8", as_csv(by, rows))


def _json(by: str, span: Span, rows: Any) -> bytes:
    told = {
        "by": by,
        "since": words.iso(span.since_ns),
        "until": words.iso(span.until_ns),
        "items": as_rows(rows),
    }
    return msgspec.json.encode(told)


def _by(asked: Asked) -> Of:
    said = asked.query.get("by")
    return cast("Of", said) if said in DIMENSIONS else "team"


def _filters(asked: Asked) -> dict[Any, str]:
    return {
        name: value
        for name in DIMENSIONS
        if (value := asked.query.get(name, "").replace("\x00", "")[:_CHARACTERS])
    }


def _forecast(asked: Asked, filters: dict[Any, str]) -> Forecast | None:
    """From the charges that budgets are kept by: quick, but by one name at a time."""
    if len(filters) > 1 or "model" in filters:
        return None
    kind, name = next(iter(filters.items()), ("provider", None))
    held, now_s, today_s = asked.back.store.held, asked.now_ns // NANO, day_of(asked.now_ns)

    month_s, week_s = month_of(now_s)[0], today_s - _WEEK * _DAY_S
    charged = held.charged_by_day(kind, name, min(month_s, week_s))
    days = [charged.get(at_s, 0) for at_s in range(week_s, today_s, _DAY_S)]
    spent = sum(nanousd for at_s, nanousd in charged.items() if at_s >= month_s)
    return forecast(spent, days, now_s)


def _budgets(asked: Asked) -> list[dict[str, Any]]:
    now_s = asked.now_ns // NANO
    items = asked.api("GET", "/budgets", limit=_BUDGETS)["items"]
    for each in items:
        began_s, ends_s = unix_s(each["begins_at"]), unix_s(each["ends_at"])
        spent, amount = each["spent"]["nanousd"], each["amount"]["nanousd"]
        each["known"] = began_s is not None
        each["used_up_ns"] = None
        if began_s is not None and ends_s is not None:
            at_s = used_up_s(spent, amount, began_s, ends_s, now_s)
            each["used_up_ns"] = None if at_s is None else at_s * NANO
    return items
