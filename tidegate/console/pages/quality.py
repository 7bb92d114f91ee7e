"""What answers were like, with what they took and cost; what has drifted; what people say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, get_args

from tidegate.console import words
from tidegate.console.charts import Chart, Series, lines
from tidegate.console.page import Asked, Page, View
from tidegate.console.plain import plain
from tidegate.console.spans import RANGES, Span
from tidegate.control.quality import (
    DAY_H,
    MOST_HOURS,
    WEEK_H,
    By,
    Drift,
    Figures,
    Line,
    QualityQuery,
    quality,
    totals,
)
from tidegate.money import NANO
from tidegate.quality.drift import BEFORE, Signal
from tidegate.store.feedback import FeedbackFilter, FeedbackStore

page: Final = Page("quality", "Quality", needs="state:read")

_BYS: Final[tuple[By, ...]] = get_args(By)
_USUAL: Final = "24h"
_HOUR_S: Final = 3_600
_ROWS, _LINES, _JUDGEMENTS = 50, 5, 20
_CHARACTERS: Final = 256
_NOBODY: Final = "(none)"

Unit = Callable[[float | None], str]


def bits(number: float | None) -> str:
    """How unlike two wordings are: a small number."""
    return words.UNKNOWN if number is None else f"{number:.3f}"


class Told(NamedTuple):
    """A signal: how it is called, drawn, and tested."""

    title: str
    figures: tuple[str, ...]
    """Those of `Figures` that say it; where there are several lines, the first alone."""
    unit: Unit
    test: str


_SHARES: Final = "two proportions, z or Fisher's exact test"
SIGNALS: Final[Mapping[Signal, Told]] = {
    "format_compliance": Told("Format compliance", ("format_compliance",), words.share, _SHARES),
    "refusal_rate": Told("Refusals", ("refusal_rate",), words.share, _SHARES),
    "truncation_rate": Told("Truncation", ("truncation_rate",), words.share, _SHARES),
    "output_length": Told(
        "Length, tokens", ("output_p50", "output_p90"), words.short, "Kolmogorov-Smirnov test"
    ),
    "feedback": Told("Liked, of judged", ("feedback",), words.share, _SHARES),
    "refusal_wording": Told("Worded as refusals", ("refusal_wording",), words.share, _SHARES),
    "language": Told("The usual language", ("language_share",), words.share, "chi-squared test"),
    "similarity": Told(
        "Wording, bits from the usual", ("divergence",), bits, "modified z score of its own parts"
    ),
}  # fmt: skip
_BENEATH: Final = (
    ("Latency: first token, or the whole", ("wait_p50_ms", "wait_p90_ms"), words.ms),
    ("Cost", ("cost_nanousd",), words.usd),
)
_COLUMNS: Final[tuple[Signal, ...]] = (
    "format_compliance", "refusal_rate", "truncation_rate", "output_length", "feedback",
    "language",
)  # fmt: skip


class Window(NamedTuple):
    """Whole hours, as signals are kept in."""

    until_ns: int
    hours: int
    before_h: int
    """How long the time before it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """An alias, or one of its models or versions: now, and in the time before."""

    name: str
    line: Line
    then: Figures | None
    moved: dict[Signal, Drift]
    to: str | None
    """This page about it alone."""


@page.get()
def show(asked: Asked) -> View:
    """Signals over the time, against the time before, and the latest feedback."""
    by, span, filters = _by(asked), asked.span(_USUAL), _filters(asked)
    window = window_of(span)
    database = asked.back.store.database
    found = quality(database, QualityQuery(window.until_ns, window.hours, by, **filters))
    earlier_ns = found.since_s * NANO - 1
    then = totals(database, QualityQuery(earlier_ns, window.before_h, by, **filters))
    drift_h = max(DAY_H, min(window.hours, WEEK_H))
    # Of a day at least and a week at most; of all aliases, as alerting does: what is believed
    # depends on how much is compared.
    drifting = asked.back.drifting.compared(window.until_ns, drift_h, asked.now_ns)
    every = [each for each in drifting if _is(each, filters)]
    moved = [each for each in every if each.drifted]
    rows = [
        Row(
            name_of(line, by, filters), line, then.get(_key(line)), moved_of(line, by, moved),
            _to(asked, line),
        )
        for line in found.lines[:_ROWS]
    ]  # fmt: skip
    at_s = range(found.since_s, found.until_s, found.part_s)
    signals = [(told.title, told.figures, told.unit) for told in SIGNALS.values()]
    charts = list(charts_of(signals, rows, at_s))
    drawn = {chart.title for chart in charts}
    feedback: list[Any] | None = None
    if asked.may("feedback:read"):
        wanted = FeedbackFilter(since_ns=span.since_ns, until_ns=span.until_ns, **filters)
        feedback = FeedbackStore(database).find(wanted, _JUDGEMENTS)
    view: dict[str, Any] = {
        "by": by,
        "bys": _BYS,
        "span": span,
        "filters": filters,
        "rows": rows,
        "more": len(found.lines) - len(rows),
        "columns": [(signal, SIGNALS[signal]) for signal in _COLUMNS],
        "signals": SIGNALS,
        "moved": moved[:_ROWS],
        "compared": len(every),
        "drift_h": drift_h,
        "drift_before_h": drift_h * BEFORE,
        "window": window,
        "charts": charts,
        "beneath": list(charts_of(_BENEATH, rows, at_s)),
        "unknown_signals": [title for title, _, _ in signals if title not in drawn],
        "drawn": min(len(rows), _LINES),
        "feedback": feedback,
        "most_feedback": _JUDGEMENTS,
    }
    return View("quality.html", view)


def window_of(span: Span) -> Window:
    """The hours that `span` touches; of a length that ends now, as many as it says."""
    until_ns = span.until_ns if span.name is not None else span.until_ns - 1
    if span.name is not None:
        hours = RANGES[span.name] // _HOUR_S
    else:
        hours = until_ns // NANO // _HOUR_S - span.since_ns // NANO // _HOUR_S + 1
    hours = max(1, min(hours, MOST_HOURS))
    return Window(until_ns, hours, min(BEFORE * hours, MOST_HOURS))


def charts_of(
    what: Sequence[tuple[str, tuple[str, ...], Unit]], rows: Sequence[Row], at_s: Sequence[int]
) -> Iterator[Chart]:
    """Each that anything is known of, on the same time; a line for each of the first rows."""
    for title, figures, unit in what:
        series = list(_series(figures, rows[:_LINES]))
        if any(value is not None for each in series for value in each.values):
            # A rate that is zero all the time is not nothing.
            yield replace(lines(title, at_s, series, unit), empty=False)


def _series(figures: tuple[str, ...], rows: Sequence[Row]) -> Iterator[Series]:
    if len(rows) == 1:
        for figure in figures:
            name = figure.split("_")[1] if len(figures) > 1 else rows[0].name
            yield Series(name, _values(rows[0].line, figure))
    else:
        for row in rows:
            yield Series(row.name, _values(row.line, figures[0]))


def _values(line: Line, figure: str) -> list[float | None]:
    return [getattr(each, figure) if each.answers or each.judged else None for each in line.series]


def name_of(line: Line, by: By, filters: dict[str, str]) -> str:
    """What a line is called where `filters` are known."""
    alias = _NOBODY if line.alias is None else plain(line.alias)
    if by == "alias":
        return alias
    part = line.model if by == "model" else line.version
    own = _NOBODY if part is None else plain(part)
    return own if "alias" in filters else f"{alias}: {own}"


def moved_of(line: Line, by: By, moved: Sequence[Drift]) -> dict[Signal, Drift]:
    """What has drifted of a line, by signal: of an alias all of it, of others a part of them."""
    found: dict[Signal, Drift] = {}
    for each in moved:
        own = each.whole or getattr(each, by) != getattr(line, by)
        if each.alias == line.alias and (each.whole if by == "alias" else not own):
            found.setdefault(each.shift.signal, each)
    return found


def _is(drift: Drift, filters: dict[str, str]) -> bool:
    # All of an alias is no part of it.
    return all(getattr(drift, name) == value for name, value in filters.items())


def _key(line: Line) -> tuple[str | None, str | None, str | None]:
    return line.alias, line.model, line.version


def _to(asked: Asked, line: Line) -> str | None:
    known = {
        name: value
        for name in ("alias", "model", "version")
        if (value := getattr(line, name)) is not None
    }
    return asked.url(**known) if known else None


def _by(asked: Asked) -> By:
    said = asked.query.get("by")
    return said if said in _BYS else "alias"


def _filters(asked: Asked) -> dict[str, Any]:
    return {
        name: value
        for name in ("alias", "model", "version")
        if (value := asked.query.get(name, "").replace("\x00", "")[:_CHARACTERS])
    }
