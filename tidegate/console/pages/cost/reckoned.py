"""What is reckoned from sums: series of a chart, the month's end, when a budget is used up."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from tidegate.console.charts import Series
from tidegate.money import NANO, show_usd
from tidegate.store.spend import Bar, Spent

MOST_SERIES: Final = 7
NOBODY: Final = "(none)"
OTHERS: Final = "everything else"
_DAY_S: Final = 86_400
_LATELY_DAYS: Final = 7
_COUNTS: Final = ("requests", "errors", "unpriced", "input_tokens", "output_tokens")


class Forecast(NamedTuple):
    """What the month will have cost, if it goes on as in the last days."""

    spent_nanousd: int
    per_day_nanousd: int
    whole_nanousd: int
    days: int
    """Over how many days the pace was taken."""


def month_of(now_s: int) -> tuple[int, int]:
    """When the month began, and when it ends; in UTC and Unix seconds."""
    first = datetime.fromtimestamp(now_s, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    after = (first + timedelta(days=32)).replace(day=1)
    return int(first.timestamp()), int(after.timestamp())


def forecast(spent_nanousd: int, days: Sequence[int], now_s: int) -> Forecast | None:
    """What was spent this month, and the rest of it at the pace of whole `days`, the last ones.

    Days before the first one that cost anything do not count. None where no day is over yet.
    """
    known = list(days[-_LATELY_DAYS:])
    while known and not known[0]:
        known.pop(0)
    if not known:
        return None
    pace = sum(known) // len(known)
    _, ends_s = month_of(now_s)
    left = pace * (ends_s - now_s) // _DAY_S
    return Forecast(spent_nanousd, pace, spent_nanousd + left, len(known))


def used_up_s(
    spent_nanousd: int, amount_nanousd: int, began_s: int, ends_s: int, now_s: int
) -> int | None:
    """When a budget is used up at its period's pace so far; None if not before its end."""
    if spent_nanousd >= amount_nanousd:
        return now_s
    if spent_nanousd <= 0 or now_s <= began_s:
        return None
    at_s = now_s + (amount_nanousd - spent_nanousd) * (now_s - began_s) // spent_nanousd
    return at_s if at_s < ends_s else None


def series_of(bars: Iterable[Bar], top: Sequence[str | None], at_s: Sequence[int]) -> list[Series]:
    """A series for each name in `top`, and one for all others."""
    place = {began_s: number for number, began_s in enumerate(at_s)}
    named = list(top[:MOST_SERIES])
    values: dict[str | None, list[int]] = {name: [0] * len(at_s) for name in named}
    others = [0] * len(at_s)
    for bar in bars:
        number = place.get(bar.began_s)
        if number is not None:
            drawn = others if bar.rest else values.get(bar.name, others)
            drawn[number] += bar.cost_nanousd
    shown = [
        Series(NOBODY if name is None else name, values[name], f"tone-{number + 1}")
        for number, name in enumerate(named)
    ]
    return [*shown, Series(OTHERS, others, "tone-8")] if any(others) else shown


def as_csv(by: str, rows: Iterable[Spent]) -> bytes:
    """A table that no spreadsheet takes for formulas, whatever names are in it."""
    out = io.StringIO(newline="")
    written = csv.writer(out)
    written.writerow([by, "usd", *_COUNTS])
    for row in rows:
        usd = show_usd(row.cost_nanousd).lstrip("$")
        name = row.name or ""
        safe = f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
        written.writerow([safe, usd, *(getattr(row, count) for count in _COUNTS)])
    return out.getvalue().encode()


def as_rows(rows: Iterable[Spent]) -> list[dict[str, Any]]:
    """The same for JSON."""
    return [
        {
            "name": row.name,
            "nanousd": row.cost_nanousd,
            **{count: getattr(row, count) for count in _COUNTS},
        }
        for row in rows
    ]


def unix_s(said: str | None) -> int | None:
    """Unix seconds of a time as the admin API says it."""
    return None if said is None else int(datetime.fromisoformat(said).timestamp())


def day_of(unix_ns: int) -> int:
    """When the day began, in Unix seconds."""
    return unix_ns // NANO // _DAY_S * _DAY_S
