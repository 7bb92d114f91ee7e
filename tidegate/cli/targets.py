"""`tidegate targets`: how each target is doing, as the gateways on this machine know it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidegate.cli.log.plain import NOTHING, printable, show_count, show_ms
from tidegate.cli.log.table import UNBOUNDED
from tidegate.clock import SystemClock
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.config.source import read
from tidegate.config.surroundings import Surroundings
from tidegate.policy.board import Board, read_boards, shown, state_directory

_WATCH_S = 1.0
_STYLES = {
    "closed": "green",
    "half_open": "yellow",
    "open": "red",
    "usable": "green",
    "up": "green",
}
_NOBODY = (
    "No gateway runs with this configuration on this machine, or it has not said anything yet. "
    "Start it with `tidegate serve`."
)

Row = dict[str, Any]


@click.command
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="tidegate.yaml",
    show_default=True,
    help="The configuration, which says where the gateways' state is.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@click.option("-w", "--watch", is_flag=True, help="Go on, second by second, until Ctrl-C.")
def targets(*, path: Path, as_json: bool, watch: bool) -> None:
    """Show each target's breaker, failures, load, speed and queue.

    With several gateway processes there is a line for each of them. Where breakers rest on what
    another gateway said, the reason says so.
    """
    directory = state_directory(_spool(path))
    if not watch:
        boards = read_boards(directory)
        if as_json:
            _print_json(boards)
        elif boards:
            console = _console()
            console.print(_page(boards))
        else:
            raise click.ClickException(_NOBODY)
        return
    with suppress(KeyboardInterrupt):
        _watch(directory, as_json=as_json)


def _watch(directory: Path, *, as_json: bool) -> None:
    console = _console()
    if console.is_terminal and not as_json:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_page(read_boards(directory)), refresh=True)
                time.sleep(_WATCH_S)
    last: list[Board] | None = None
    while True:
        boards = read_boards(directory)
        if boards != last and as_json:
            _print_json(boards)
        elif boards != last:
            console.print(_page(boards))
        last = boards
        time.sleep(_WATCH_S)


def _print_json(boards: list[Board]) -> None:
    click.echo(json.dumps(shown(boards, SystemClock().now_ns())))


def _page(boards: list[Board]) -> RenderableType:
    """Everything the boards say: targets, then accounts and replicas, then sharing."""
    if not boards:
        return Text(_NOBODY, "dim")
    told = shown(boards, SystemClock().now_ns())
    several = len(boards) > 1
    pieces: list[RenderableType] = [_targets(told["targets"], told["lanes"], several=several)]
    if told["parts"]:
        pieces += ["", _parts(told["parts"], several=several)]
    sharing = [each for each in told["gateways"] if each["shared"]["state"] != "off"]
    if sharing:
        pieces += ["", *(_sharing(each) for each in sharing)]
    return Group(*pieces)


def _targets(rows: list[Row], lanes: list[Row], *, several: bool) -> Table:
    turns = {(lane["name"], lane["worker"]): _turns(lane) for lane in lanes}
    table = _table("target", "state")
    headings = ("failures", "retry in", "under way", "calls", "failed", "first p50", "p95")
    for heading in (*headings, *(["turns", "waiting"] if turns else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    _add_texts(table, "why", *(["worker"] if several else []))
    for row in sorted(rows, key=lambda row: (row["name"], row["worker"])):
        table.add_row(
            Text(printable(row["name"])),
            _state(row["state"]),
            show_count(row["failures"]),
            _show_s(row["retry_in_s"]),
            show_count(row["outstanding"]),
            show_count(row["calls"]),
            show_count(row["failed"]),
            _show_s(row["first_token_p50_s"]),
            _show_s(row["first_token_p95_s"]),
            *(turns.get((row["name"], row["worker"]), (NOTHING, NOTHING)) if turns else ()),
            Text(printable(row["reason"]) if row["state"] != "closed" else "", "dim"),
            *([Text(row["worker"], "dim")] if several else []),
        )
    return table


def _turns(lane: Row) -> tuple[str, str]:
    """How many run of those that may, and how many wait."""
    limit = lane["limit"]
    running = show_count(lane["running"])
    return running if limit is None else f"{running} of {limit:,}", show_count(lane["waiting"])


def _parts(rows: list[Row], *, several: bool) -> Table:
    table = _table("account or replica", "state")
    for heading in ("failures", "back in", "under way", "times out", "latency"):
        table.add_column(heading, justify="right", no_wrap=True)
    _add_texts(table, "left", *(["worker"] if several else []))
    for row in sorted(rows, key=lambda row: (row["provider"], row["name"], row["worker"])):
        left = ", ".join(f"{count:,.0f} {kind}" for kind, count in row["left"].items())
        table.add_row(
            Text(printable(f"{row['provider']}: {row['name']}")),
            _state(row["state"]),
            show_count(row["failures"]),
            _show_s(row["retry_in_s"]),
            show_count(row["outstanding"]),
            show_count(row["times_out"]),
            _show_s(row["latency_s"]),
            Text(printable(left), "dim"),
            *([Text(row["worker"], "dim")] if several else []),
        )
    return table


def _sharing(gateway: Row) -> Text:
    shared = gateway["shared"]
    text = Text(f"{gateway['worker']} shares its breakers with other gateways: ")
    text.append_text(_state(shared["state"]))
    return text.append(f" ({printable(shared['reason'])})" if shared["reason"] else "", "dim")


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    _add_texts(table, *headings)
    return table


def _add_texts(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, overflow="fold")


def _state(state: str) -> Text:
    return Text(printable(state).replace("_", "-"), _STYLES.get(state, "yellow"))


def _show_s(duration_s: float | None) -> str:
    return NOTHING if duration_s is None else show_ms(duration_s * 1000.0)


def _spool(path: Path) -> Path:
    """The directory of the spool that the file names.

    Raises: `ConfigError` when the file does not say it; other mistakes in it do not matter here.
    """
    try:
        return load(path).spool.directory
    except ConfigError as error:
        if any(not each.path or each.path.startswith("spool") for each in error.mistakes):
            raise
        document = read(path.read_text(), str(path)).value
        try:
            named = {"spool": document["spool"]} if "spool" in document else {}
            around = Surroundings(path.absolute().parent, os.environ)
            return Config.model_validate(named, context=around).spool.directory
        except ValidationError:
            raise error from None


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBOUNDED
    return console
