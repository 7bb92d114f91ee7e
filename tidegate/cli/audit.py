"""`tidegate audit`: who changed what, and whether the trail is whole."""

from __future__ import annotations

import json
from typing import cast

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say

_DIM = ("created_at", "updated_at", "id")


@click.command
@click.option("--verify", is_flag=True, help="Walk along the whole chain instead.")
@click.option(
    "-n", "--number", type=click.IntRange(1, 500), default=30, show_default=True,
    help="That many of the latest.",
)  # fmt: skip
@click.option("--actor", help="Only what this token changed.")
@click.option("--action", help="Only this, such as key.create.")
@click.option("--object", "object_", help="Only of this, such as key:web.")
@as_json
@connected
def audit(
    api: Api, number: int, object_: str | None, *, verify: bool, as_json: bool,
    **filters: str | None,
) -> None:  # fmt: skip
    """Show who changed what, the latest last; or verify that nothing was changed since.

    Ends with 1 if the chain is broken.
    """
    if verify:
        _verify(api, as_json=as_json)
        return
    found = api.get("/audit", {**filters, "object": object_, "limit": number})
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("Nothing of that kind was changed.")
        return
    print_table(
        ("#", "at", "who", "what", "of", "changed"),
        (
            (
                Text(str(each["seq"]), "dim"),
                moment(each["at"]),
                each["actor"],
                each["action"],
                each["object"],
                _difference(each["before"], each["after"]),
            )
            for each in reversed(found["items"])
        ),
    )


def _verify(api: Api, *, as_json: bool) -> None:
    told = api.get("/audit/verify")
    if as_json:
        print_json(told)
    elif told["ok"]:
        say(f"The trail is whole: {told['entries']:,} entries, the last one's hash is")
        click.echo(told["head"])
    if not told["ok"]:
        raise click.ClickException(
            f"The trail is broken at entry {told['broken']}: {told['reason']}.\n"
            f"{told['entries']:,} entries before it are as they were."
        )


def _difference(before: Json | None, after: Json | None) -> str:
    old, new = before or {}, after or {}
    if before is not None and after is None:
        return "deleted"
    return ", ".join(
        f"{name}: {_short(old[name])} → {_short(value)}"
        if name in old
        else f"{name}: {_short(value)}"
        for name, value in new.items()
        if old.get(name) != value and name not in _DIM
    )


def _short(value: object) -> str:
    if isinstance(value, dict):
        said = cast("Json", value)
        if "usd" in said:
            return f"${said['usd']}"
        inside = (f"{name} {_short(each)}" for name, each in said.items() if each is not None)
        told = ", ".join(inside)
    elif isinstance(value, list):
        told = f"[{', '.join(map(_short, cast('list[object]', value)))}]"
    else:
        told = value if isinstance(value, str) else json.dumps(value)
    return told if len(told) <= 60 else f"{told[:59]}…"  # noqa: PLR2004
