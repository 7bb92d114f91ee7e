"""`tidegate spend`: what was spent, by whom and by what."""

from __future__ import annotations

import csv
import sys
from typing import Any

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import Ago, as_json, connected
from tidegate.cli.admin.screen import bar, dollars, moment, print_json, print_table, say
from tidegate.cli.log.plain import show_count

_DIMENSIONS = (
    "key", "user", "team", "organisation", "feature", "alias", "model", "provider", "outcome",
    "conversation", "day", "hour",
)  # fmt: skip
_COUNTS = (
    "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens",
)  # fmt: skip


_HELP = """Show what was spent. Days are those of UTC.

\b
    tidegate spend --by user --team product --since 7d
    tidegate spend --by day --csv
"""


def _filters(command: Any) -> Any:
    for name in reversed(_DIMENSIONS[:-2]):
        command = click.option(f"--{name}", help=f"Only of this {name}.")(command)
    return command


@click.command(help=_HELP)
@click.option(
    "--by", type=click.Choice(_DIMENSIONS), default="team", show_default=True, help="Sum by this."
)
@click.option("--since", type=Ago(), help="From then on: 7d, or 2026-01-31; 30d if not said.")
@click.option("--until", type=Ago(), help="Until then; now if not said.")
@click.option(
    "-n", "--number", "top", type=click.IntRange(1, 1000), default=30, show_default=True,
    help="That many of the dearest; of days and hours the latest.",
)  # fmt: skip
@_filters
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@connected
def spend(api: Api, *, as_json: bool, as_csv: bool, **asked: Any) -> None:
    """Show what was spent."""
    if as_json and as_csv:
        raise click.UsageError("Take either --json or --csv.")
    told = api.get("/spend", asked)
    if as_json:
        print_json(told)
    elif as_csv:
        _print_csv(told)
    else:
        _print_table(told)


def _print_csv(told: Json) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow((told["by"], "usd", "nanousd", *_COUNTS))
    for row in told["items"]:
        counts = ("" if row[name] is None else row[name] for name in _COUNTS)
        name = _harmless(row["name"] or "")
        out.writerow((name, row["cost"]["usd"], row["cost"]["nanousd"], *counts))


def _harmless(name: str) -> str:
    # Callers name users and features; a spreadsheet must not take one for a formula.
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _print_table(told: Json) -> None:
    rows, total = told["items"], told["total"]
    span = f"{moment(told['since'])} to {moment(told['until'])}"
    if not rows:
        say(f"Nothing was asked for: {span}.")
        return
    most = max(row["cost"]["nanousd"] for row in rows)
    headings = (told["by"], "", "spent", "share", "requests", "errors", "input", "output")
    lines = [_line(row, most, total) for row in rows]
    rest = total["requests"] - sum(row["requests"] for row in rows)
    if rest:
        lines.append((Text(f"… and {rest:,} requests of others", "dim"), *[""] * 7))
    lines.append(tuple(Text(str(cell), "bold") for cell in _cells("all", "", total, "")))
    print_table(headings, lines, right=headings[2:])
    if total["unpriced"]:
        say(f"{total['unpriced']:,} requests have no known price and are not in it.")
    say(span)


def _line(row: Json, most: int, total: Json) -> tuple[str | Text, ...]:
    cost, whole = row["cost"]["nanousd"], total["cost"]["nanousd"]
    share = f"{cost / whole:.0%}" if whole else "-"
    drawn = bar(cost / most if most else 0.0)
    name = Text("none", "dim") if row["name"] is None else row["name"]
    return _cells(name, drawn, row, share)


def _cells(name: str | Text, drawn: str | Text, row: Json, share: str) -> tuple[str | Text, ...]:
    return (
        name,
        drawn,
        dollars(row["cost"]),
        share,
        show_count(row["requests"]),
        show_count(row["errors"]),
        show_count(row["input_tokens"]),
        show_count(row["output_tokens"]),
    )
