"""What answers look like: tables, bars, money, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.log.plain import NOTHING, printable, show_cost
from tidegate.cli.log.table import UNBOUNDED

BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"


def console() -> Console:
    """Standard output: nothing is cut where it is no terminal."""
    made = Console(highlight=False, emoji=False, markup=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = UNBOUNDED
    return made


def print_json(value: object) -> None:
    """`value` for programs."""
    click.echo(json.dumps(value, indent=2))


def say(words: str) -> None:
    """A word for the person, beside what a program may read."""
    click.echo(printable(words, lines=True), err=True)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[str] = ()
) -> None:
    """Rows under headings; those of `right` are numbers."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        number = heading in right
        table.add_column(
            heading,
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number or heading == "",
        )
    for row in rows:
        table.add_row(*(text(cell) for cell in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """One thing, fact by fact."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(name, text(fact))
    console().print(table)


def text(cell: str | Text) -> Text:
    """A cell that cannot steer the terminal."""
    return cell if isinstance(cell, Text) else Text(printable(cell))


def shown(value: Any) -> str:
    """A value as a word: `-` for what is not there."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)


def dollars(money: dict[str, Any] | None, *, exact: bool = False) -> str:
    """An amount of the API's; with three digits unless it must be exact."""
    if money is None:
        return NOTHING
    return f"${money['usd']}" if exact else show_cost(money["nanousd"])


def moment(told: str | None) -> str:
    """A time of the API's, in the time zone of this machine."""
    if told is None:
        return NOTHING
    at = datetime.fromisoformat(told).astimezone()
    return at.strftime("%Y-%m-%d %H:%M")


def passed(told: str | None) -> bool:
    """Whether the time is over."""
    return told is not None and datetime.fromisoformat(told) <= datetime.now(UTC)


def bar(share: float, style: str = "cyan") -> Text:
    """A bar as long as `share` of its room."""
    eighths = round(max(0.0, min(1.0, share)) * BAR * 8)
    if share > 0 and not eighths:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    drawn = _FULL * whole + (_EIGHTHS[rest] if rest else "")
    return Text(drawn.ljust(BAR), style)
