"""`tidegate budgets`: how full each budget is."""

from __future__ import annotations

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import bar, dollars, moment, print_json, print_table, say
from tidegate.limits import KINDS

_STYLES = {"fine": "green", "soft": "yellow", "spent": "red"}


@click.command
@click.option("--kind", type=click.Choice(KINDS), help="Only of this kind.")
@click.option("--name", help="Only of this name.")
@click.option(
    "-n", "--number", type=click.IntRange(1, 500), default=50, show_default=True,
    help="That many of the fullest.",
)  # fmt: skip
@as_json
@connected
def budgets(api: Api, kind: str | None, name: str | None, number: int, *, as_json: bool) -> None:
    """Show how full each budget is, the fullest first.

    What requests hold that are still running is not in it.
    """
    told = api.get("/budgets", {"kind": kind, "name": name, "limit": number})
    if as_json:
        print_json(told)
        return
    if not told["items"]:
        say("There is no such budget. Set one: tidegate limits set team NAME --budget 500/month")
        return
    headings = ("kind", "name", "", "used", "spent", "left", "of", "period", "ends")
    numbers = ("used", "spent", "left", "of")
    print_table(headings, map(_row, told["items"]), right=numbers)
    if told["more"]:
        say(f"There are more that are less full; -n {number * 2} shows them.")


def _row(budget: Json) -> tuple[str | Text, ...]:
    style = _STYLES.get(budget["state"], "yellow")
    return (
        budget["kind"],
        budget["name"],
        bar(budget["spent_percent"] / 100, style),
        Text(f"{budget['spent_percent']} %", style),
        dollars(budget["spent"]),
        dollars(budget["left"]),
        dollars(budget["amount"]),
        budget["period"],
        moment(budget["ends_at"]),
    )
