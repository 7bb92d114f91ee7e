"""The command: finds the store, asks it, and keeps asking with `--follow`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import click
from pydantic_core import PydanticCustomError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from tidegate.cli.log.page import json_line, print_record
from tidegate.cli.log.place import open_store, store_url
from tidegate.cli.log.table import UNBOUNDED, Rows
from tidegate.clock import SystemClock
from tidegate.config.units import parse_duration
from tidegate.store.records import Filter, Found, RecordStore
from tidegate.telemetry.record import Record, decode

_POLL_S = 0.25
_BATCH = 500

Show = Callable[[Sequence[Record]], None]


class _Ago(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if not isinstance(value, str):
            return value
        try:
            return parse_duration(value)
        except PydanticCustomError as error:
            self.fail(f"{value!r} {error.message()}; try 15m, 1h or 2d.", param, ctx)


@click.command
@click.argument("request_id", required=False)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="tidegate.yaml",
    show_default=True,
    help="The configuration, which says where the store is.",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Show that many of the latest.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line.")
@click.option("--alias", help="Only requests for this model name.")
@click.option("--key", help="Only requests of this key.")
@click.option("--target", help="Only those that PROVIDER/MODEL, or PROVIDER, answered.")
@click.option("--outcome", help="Only this outcome: ok, client_gone, or an error's code.")
@click.option("--errors", is_flag=True, help="Only those that did not end well.")
@click.option(
    "--since", "ago_s", type=_Ago(), metavar="DURATION", help="Only those since 15m, 2h …"
)
def log(
    *,
    request_id: str | None,
    path: Path,
    number: int,
    follow: bool,
    as_json: bool,
    alias: str | None,
    key: str | None,
    target: str | None,
    outcome: str | None,
    errors: bool,
    ago_s: float | None,
) -> None:
    """Show the latest requests and what became of them.

    With REQUEST_ID (the x-request-id of an answer), show all that is known of that one.
    """
    if request_id is not None and follow:
        raise click.UsageError(
            "REQUEST_ID names a request that is over: there is nothing to follow."
        )
    since_ns = None if ago_s is None else SystemClock().now_ns() - int(ago_s * 1e9)
    wanted = Filter(alias, key, outcome, target, errors, since_ns)
    with closing(open_store(store_url(path))) as store:
        try:
            if request_id is not None:
                _show_one(store, request_id, as_json=as_json)
            else:
                _show_many(store, wanted, number, follow=follow, as_json=as_json)
        except SQLAlchemyError as error:
            raise click.ClickException(f"The store cannot be read: {error}") from error


def _show_one(store: RecordStore, request_id: str, *, as_json: bool) -> None:
    payload = store.get(request_id)
    if payload is None:
        raise click.ClickException(
            f"There is no record of {request_id!r}. A record is here a moment after its request "
            "ends; `tidegate log` lists the latest."
        )
    if as_json:
        click.echo(json_line(decode(payload)))
    else:
        print_record(_console(), decode(payload))


def _show_many(
    store: RecordStore, wanted: Filter, number: int, *, follow: bool, as_json: bool
) -> None:
    show = _show_json if as_json else Rows(_console(), _today()).print
    last_id = store.last_id()
    found = [each for each in store.recent(number, wanted) if each.id <= last_id or not follow]
    if not found and not follow and not as_json:
        click.echo(_why_nothing(wanted), err=True)
    _show(found, show)
    stopping = _told_to_stop() if follow else _always
    while not stopping():
        found = store.after(last_id, _BATCH, wanted)
        _show(found, show)
        if found:
            last_id = found[-1].id
        else:
            time.sleep(_POLL_S)


def _told_to_stop() -> Callable[[], bool]:
    """Whether Ctrl-C was pressed since; an exception might arise in the middle of a query."""
    told: list[int] = []

    def note(number: int, _frame: object) -> None:
        told.append(number)

    signal.signal(signal.SIGINT, note)
    return lambda: bool(told)


def _always() -> bool:
    return True


def _show(found: Sequence[Found], show: Show) -> None:
    show([decode(each.payload) for each in found])


def _show_json(records: Sequence[Record]) -> None:
    for record in records:
        click.echo(json_line(record))


def _why_nothing(wanted: Filter) -> str:
    if wanted == Filter():
        return "There are no records yet: send a request to the gateway."
    return "No record matches: leave out a filter."


def _today() -> date:
    return date.today()  # noqa: DTZ011  days as the person at the terminal counts them


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBOUNDED
    return console
