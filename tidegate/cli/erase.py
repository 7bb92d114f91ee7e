"""`tidegate erase`: take a user out of everything that is stored."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import print_json, print_table, say

_WORDS = {
    "records": "records: name, tags, conversation, prompt and answer go",
    "responses": "answers kept to go on from",
    "feedback": "feedback: name, text and labels go",
    "holds": "requests that run, or were lost",
    "charges": "charges, put under `erased`",
    "rollups": "sums, put under `erased`",
    "alerts": "what alerting remembers",
    "limits": "limits on the user",
    "users": "the user's own entry",
}


@click.command
@click.option("--user", required=True, help="The name, as records have it.")
@click.option("--dry-run", is_flag=True, help="Tell what there is, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@connected
def erase(api: Api, user: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take a user out of everything that is stored; it cannot be undone.

    Sums of money stay what they are, under the name `erased`. May be repeated, and goes on where it
    stopped if it was interrupted. What was sent to sinks before is out of reach.
    """
    body: Json = {"user": user}
    there: Json = api.change("POST", "/erasures", {**body, "dry_run": True})
    if dry_run:
        _show(there, as_json=as_json)
        return
    if not yes:
        if not as_json:
            _show(there, as_json=False)
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is there to ask: say --yes.")
        click.confirm(f"Erase {user}? This cannot be undone.", abort=True, err=True)
    _show(_erased(api, body), as_json=as_json)


def _erased(api: Api, body: Json) -> Json:
    counts: dict[str, int] = {}
    console = Console(stderr=True)
    while True:
        told: Json = api.change("POST", "/erasures", body)
        for kind, count in told["counts"].items():
            counts[kind] = counts.get(kind, 0) + count
        if told["done"]:
            return {**told, "counts": counts}
        if console.is_terminal:
            console.print(f"{sum(counts.values()):,} rows erased …", highlight=False)


def _show(told: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    counts = told["counts"]
    if counts:
        rows = [(f"{counts[kind]:,}", words) for kind, words in _WORDS.items() if kind in counts]
        print_table(("rows", "of"), rows, right=("rows",))
    else:
        say("There is nothing of this user in the store.")
    if told["keys"]:
        say(f"Keys of this user stay, with their names: {', '.join(told['keys'])}")
        say("Delete one: tidegate keys delete NAME")
    say("What was sent to traces, webhooks and other sinks before must be erased there.")
