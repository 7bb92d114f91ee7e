"""Records as rows: one line each where there is room, two where there is not, and less on little.

Columns keep their widths while rows are added, so that `--follow` stays aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.log.plain import NOTHING, local_time, printable, show_cost, show_count, show_ms
from tidegate.telemetry.record import Record

UNBOUNDED = 10_000
"""Width of a console that is not a terminal: nothing is cut, whatever reads it."""

_WIDE = 150
_NARROW = 96
_ID = 40
_GAP = 2
_CLOCK = len("12:34:56")
_DATED = len("2025-12-31 12:34:56")
_DAY = len("2025-12-31")
_TOKENS = len("12,345 → 1,234")
_COST = len("$0.0000123")
_DURATION = len("12.34 s")
_NUMBERS = ("tokens", "cost", "first", "total")
_STATUS = len("200")


@dataclass(frozen=True, slots=True)
class Column:
    """`width` None is as wide as the content."""

    heading: str
    width: int | None
    justify: Literal["left", "right"] = "left"


class Layout(Protocol):
    """Chooses columns."""

    def __call__(self, width: int, /, *, dated: bool, id_width: int) -> list[Column]:
        """The columns that fit into `width`; `dated` where days are to be told too."""
        ...


class Rows:
    """Prints records to `console`; the headings come with the first."""

    def __init__(self, console: Console, today: date) -> None:
        self._console = console
        self._today = today
        self._columns: Sequence[Column] = ()

    def print(self, records: Sequence[Record]) -> None:
        """Add `records` at the bottom."""
        if not records:
            return
        table = Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
        table.show_header = not self._columns
        layout, row = self._arrangement()
        if not self._columns:
            dated = any(local_time(each.started_ns).date() != self._today for each in records)
            widest = max(len(each.request_id) for each in records)
            self._columns = layout(self._console.width, dated=dated, id_width=min(_ID, widest))
        for column in self._columns:
            table.add_column(
                column.heading,
                width=column.width,
                justify=column.justify,
                no_wrap=True,
                overflow="ellipsis",
            )
        for record in records:
            table.add_row(*row(_parts(record, self._today)))
        self._console.print(table)

    def _arrangement(self) -> tuple[Layout, Callable[[_Parts], list[Text]]]:
        if self._console.width >= UNBOUNDED:
            return _unbounded, _in_one_line
        if self._console.width >= _WIDE:
            return _one_line, _in_one_line
        if self._console.width >= _NARROW:
            return _two_lines, _in_two_lines
        return _two_short_lines, _in_two_short_lines


def _unbounded(_width: int, *, dated: bool, id_width: int) -> list[Column]:
    sized = {"time": _DATED if dated else _CLOCK, "request": id_width}
    sized |= {"tokens": _TOKENS, "cost": _COST, "first": _DURATION, "total": _DURATION}
    return [
        Column(heading, sized.get(heading), "right" if heading in _NUMBERS else "left")
        for heading in ("time", "request", "key", "model → target", "outcome", *_NUMBERS)
    ]


def _one_line(width: int, *, dated: bool, id_width: int) -> list[Column]:
    time = _DATED if dated else _CLOCK
    rest = width - time - id_width - _TOKENS - _COST - 2 * _DURATION - 8 * _GAP
    key, outcome = min(16, rest // 6), min(34, rest * 3 // 8)
    return [
        Column("time", time),
        Column("request", id_width),
        Column("key", key),
        Column("model → target", min(64, rest - outcome - key)),
        Column("outcome", outcome),
        Column("tokens", _TOKENS, "right"),
        Column("cost", _COST, "right"),
        Column("first", _DURATION, "right"),
        Column("total", _DURATION, "right"),
    ]


def _two_lines(width: int, *, dated: bool, id_width: int) -> list[Column]:
    time = _DAY if dated else _CLOCK
    rest = width - time - id_width - _TOKENS - _DURATION - 5 * _GAP
    outcome = min(32, rest // 2)
    return [
        Column("time", time),
        Column("request\nkey", id_width),
        Column("model\n→ target", min(48, rest - outcome)),
        Column("outcome", outcome),
        Column("tokens\ncost", _TOKENS, "right"),
        Column("first\ntotal", _DURATION, "right"),
    ]


def _two_short_lines(width: int, *, dated: bool, id_width: int) -> list[Column]:
    time = _DAY if dated else _CLOCK
    rest = width - time - id_width - _TOKENS - _DURATION - 4 * _GAP
    return [
        Column("time", time),
        Column("request\nkey", id_width),
        Column("model\noutcome", max(8, rest)),
        Column("tokens\ncost", _TOKENS, "right"),
        Column("first\ntotal", _DURATION, "right"),
    ]


class _Parts(NamedTuple):
    """What is shown of a record, piece by piece."""

    day: Text
    clock: Text
    request: Text
    key: Text
    alias: Text
    target: Text
    status: Text
    outcome: Text
    tokens: Text
    cost: Text
    first: Text
    total: Text


def _parts(record: Record, today: date) -> _Parts:
    moment = local_time(record.started_ns)
    return _Parts(
        day=Text("" if moment.date() == today else f"{moment.date()}", "dim"),
        clock=Text(moment.strftime("%H:%M:%S"), "dim"),
        request=Text(printable(record.request_id)),
        key=Text(printable(record.key or NOTHING), "dim"),
        alias=Text(printable(record.alias or NOTHING)),
        target=Text(f"→ {printable(record.target)}" if record.target else "", "cyan"),
        status=Text(str(record.status or NOTHING).ljust(_STATUS), "dim"),
        outcome=Text(printable(record.outcome), style(record)),
        tokens=Text(f"{show_count(record.input_tokens)} → {show_count(record.output_tokens)}"),
        cost=Text(show_cost(record.cost_nanousd)),
        first=Text(show_ms(record.ttft_ms)),
        total=Text(show_ms(record.duration_ms)),
    )


def _in_one_line(parts: _Parts) -> list[Text]:
    return [
        _joined(" ", parts.day, parts.clock),
        parts.request,
        parts.key,
        _joined(" ", parts.alias, parts.target),
        _joined(" ", parts.status, parts.outcome),
        parts.tokens,
        parts.cost,
        parts.first,
        parts.total,
    ]


def _in_two_lines(parts: _Parts) -> list[Text]:
    return [
        _joined("\n", parts.day, parts.clock),
        _joined("\n", parts.request, parts.key),
        _joined("\n", parts.alias, parts.target),
        _joined("\n", parts.status, parts.outcome),
        _joined("\n", parts.tokens, parts.cost),
        _joined("\n", parts.first, parts.total),
    ]


def _in_two_short_lines(parts: _Parts) -> list[Text]:
    time, request, _, _, tokens, total = _in_two_lines(parts)
    return [time, request, _joined("\n", parts.alias, parts.outcome), tokens, total]


def _joined(by: str, *texts: Text) -> Text:
    return Text(by).join([text for text in texts if text.plain])


def style(record: Record) -> str:
    """Green for what went well, yellow where the caller left, red for the rest."""
    return {"ok": "green", "client_gone": "yellow"}.get(record.outcome, "red")
