"""`tidegate explain`: why a request went as it did, on one page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from tidegate.cli.log.place import open_store, store_url
from tidegate.cli.log.plain import NOTHING, local_time, printable, show_count, show_ms
from tidegate.cli.log.table import UNBOUNDED
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.house.explaining import explained
from tidegate.money import show_usd
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.explanation.shape import Explanation, PriceSaid, Station
from tidegate.telemetry.record import decode

BAR = 32
_STYLES = {"gateway": "blue", "wait": "yellow", "attempt": "cyan", "answer": "green", "end": "dim"}
_ROLES = {"answered": "green", "failed": "red", "cancelled": "yellow", "passed over": "yellow"}
_PREFIX = "req_"


@click.command
@click.argument("request_id", required=False)
@click.option("--last", is_flag=True, help="The request that began last.")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default="tidegate.yaml",
    show_default=True, help="The configuration, which says where the store is.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def explain(request_id: str | None, path: Path, *, last: bool, as_json: bool) -> None:
    """Say why a request went as it did: its way, its targets, its price, its limits.

    REQUEST_ID is the x-request-id of an answer, or how it begins, if no other begins so.
    """
    if (request_id is None) is not last:
        raise click.UsageError("Give either a REQUEST_ID, or --last.")
    with closing(open_store(store_url(path))) as store:
        try:
            told = _explained(store, request_id, _config(path))
        except SQLAlchemyError as error:
            raise click.ClickException(f"The store cannot be read: {error}") from error
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(told), indent=2))
    else:
        print_explanation(_console(), told)


def _config(path: Path) -> Config | None:
    """The configuration, if this shell has all that it refers to: it is of help only."""
    try:
        return load(path)
    except ConfigError:
        return None


def _explained(store: RecordStore, wanted: str | None, config: Config | None) -> Explanation:
    if wanted is None:
        found = store.recent(1, Filter())
        if not found:
            raise click.ClickException("There are no records yet: send a request to the gateway.")
        return explained(decode(found[0].payload), store.database, config)
    payload = store.get(wanted)
    if payload is not None:
        return explained(decode(payload), store.database, config)
    start = wanted if wanted.startswith(_PREFIX) else f"{_PREFIX}{wanted}"
    found = store.beginning(start, 2)
    held = store.held.beginning(start, 2)
    if len(found) + len(held) > 1:
        raise click.ClickException(
            f"Several requests begin with {wanted!r}: give more of it. `tidegate log` lists them."
        )
    if found:
        return explained(decode(found[0].payload), store.database, config)
    if held:
        record, said = decode(held[0].payload), held[0].output_tokens
        return explained(record, store.database, config, output_tokens=said)
    raise click.ClickException(
        f"There is no record of {wanted!r}. It is here a moment after the request's end, until "
        "`retention.records` is over. A request that a late process shed leaves none "
        "(`server.max_lag`), and one that holds no budget has none while it runs."
    )


def print_explanation(console: Console, told: Explanation) -> None:
    """Print all of `told`."""
    console.print(Text(printable(told.request_id), "bold"))
    began = local_time(told.started_ns).isoformat(sep=" ", timespec="milliseconds")
    console.print(Text(printable(f"{began}  {told.summary}")))
    if told.remedy is not None:
        console.print(Text(f"What helps: {told.remedy}"))
    for title, table in (
        ("The way", _timeline(told)),
        ("Targets", _targets(told)),
        ("Money", _money(told)),
        ("Counted for", _limits(told)),
        ("Changed", _plain(told.changes)),
        ("Configuration", _plain((_configuration(told),))),
        ("Not known", _plain(told.notes)),
    ):
        if table is not None:
            console.print()
            console.print(Text(title, "bold"))
            console.print(table)


def _grid(*right: int, columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        grid.add_column(justify="right" if number in right else "left", overflow="fold")
    return grid


def _timeline(told: Explanation) -> Table:
    grid = _grid(1, 2, columns=5)
    whole_ms = max([each.at_ms + each.took_ms for each in told.timeline], default=0.0)
    for each in told.timeline:
        grid.add_row(
            f"  {each.name}",
            Text(show_ms(each.at_ms), "dim"),
            show_ms(each.took_ms) if each.took_ms else "",
            _bar(each, whole_ms),
            Text(printable(each.said)),
        )
    return grid


def _bar(each: Station, whole_ms: float) -> Text:
    if whole_ms <= 0.0:
        return Text(" " * BAR)
    began = min(BAR - 1, int(each.at_ms / whole_ms * BAR))
    length = min(BAR - began, max(1, round(each.took_ms / whole_ms * BAR)))
    drawn = "█" * length if each.took_ms else "▏"
    style = "red" if each.failed else _STYLES[each.kind]
    return Text((" " * began + drawn).ljust(BAR), style)


def _targets(told: Explanation) -> Table | None:
    if not told.targets:
        return None
    grid = _grid(columns=3)
    for each in told.targets:
        why = f"{each.listed}; {each.why}" if each.listed else each.why
        role = Text(each.role, _ROLES.get(each.role, "dim"))
        grid.add_row(f"  {printable(each.name)}", role, Text(printable(why)))
    return grid


def _money(told: Explanation) -> Table | None:
    if told.cost_nanousd is None and told.held_nanousd is None and told.price is None:
        return None
    grid = _grid(columns=2)
    cost = NOTHING if told.cost_nanousd is None else show_usd(told.cost_nanousd)
    grid.add_row("  cost", cost)
    if told.held_nanousd is not None:
        grid.add_row("  held", show_usd(told.held_nanousd))
    if told.price is not None:
        grid.add_row("  price", Text(printable(_price(told.price))))
        for rate in told.price.rates:
            said = f"{show_usd(rate.nanousd)} per million tokens"
            if rate.tokens is not None:
                said += f", {show_count(rate.tokens)} of them"
            grid.add_row(f"    {rate.kind}", said)
    return grid


def _price(price: PriceSaid) -> str:
    since = f", {price.since}" if price.since else ""
    return f"{price.label} (from {price.source}{since})"


def _limits(told: Explanation) -> Table | None:
    if not told.counted_for:
        return None
    grid = _grid(columns=3)
    for kind, name in told.counted_for:
        mine = [each for each in told.limits if (each.kind, each.name) == (kind, name)]
        grid.add_row(f"  {kind}", Text(printable(name)), "" if mine else Text("no limit", "dim"))
        for each in mine:
            said = f"{each.said} ({each.source})" + (": refused it" if each.refused else "")
            grid.add_row("", "", Text(said, "red" if each.refused else ""))
    return grid


def _configuration(told: Explanation) -> str:
    said = told.configuration
    if said.current is None:
        return f"{said.version}; whether it is still in force is not known"
    if said.current:
        since = f", since {_at(said.since_ns)}" if said.since_ns is not None else ""
        return f"{said.version}, which is still in force{since}"
    if said.last_ns is None:
        return f"{said.version}, which is not kept; {said.now} is in force now"
    return f"{said.version}, in force until {_at(said.last_ns)}; {said.now} is in force now"


def _at(unix_ns: int | None) -> str:
    return NOTHING if unix_ns is None else local_time(unix_ns).strftime("%Y-%m-%d %H:%M:%S")


def _plain(lines: tuple[str, ...]) -> Table | None:
    if not lines:
        return None
    grid = _grid(columns=1)
    for line in _indented(lines):
        grid.add_row(line)
    return grid


def _indented(lines: tuple[str, ...]) -> Iterator[Text]:
    for line in lines:
        yield Text(f"  {printable(line)}")


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBOUNDED
    return console
