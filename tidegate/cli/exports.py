"""`tidegate exports`: how it goes with what records are exported to."""

from __future__ import annotations

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import print_json, print_table, say
from tidegate.cli.log.plain import printable, show_count, show_ms

_STYLES = {"failing": "red", "idle": "green", "telling": "green", "gathering": "green"}


@click.command
@as_json
@connected
def exports(api: Api, *, as_json: bool) -> None:
    """Show how far each export has been told of the records, and why it fails."""
    told = api.get("/exports")
    if as_json:
        print_json(told)
        return
    if not told["items"]:
        say("Nothing is exported: `exports` and `traces` in the configuration are empty.")
        return
    headings = ("export", "state", "behind", "since", "sent", "rejected", "failures", "why")
    print_table(headings, map(_row, told["items"]), headings[2:7])


def _row(each: Json) -> tuple[str | Text, ...]:
    return (
        printable(each["name"]),
        Text(each["state"], _STYLES.get(each["state"], "yellow")),
        show_count(each["behind"]),
        show_ms(each["lag_s"] * 1e3) if each["behind"] else "",
        show_count(each["sent"]),
        show_count(each["rejected"]),
        show_count(each["failures"]),
        printable(each["failing"] or ""),
    )
