"""`tidegate keys`: give out virtual keys, and take them back."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json, name_in_path
from tidegate.cli.admin.options import Ago, Span, as_json, connected
from tidegate.cli.admin.screen import (
    moment,
    passed,
    print_facts,
    print_json,
    print_table,
    say,
    shown,
)

_NONE = "none"


@click.group
def keys() -> None:
    """Give out virtual keys, and take them back."""


def _settings(command: Any) -> Any:
    """The options that say what a key may do, and whose it is."""
    options = (
        click.option("--user", help="Whose it is."),
        click.option("--team", help="Team that it is counted for."),
        click.option("--organisation", help="Organisation that it is counted for."),
        click.option("--environment", help="Such as live or test."),
        click.option("--model", "models", multiple=True, metavar="ALIAS",
                     help="Alias it may use, `*` for anything; repeatable."),
        click.option("--feature", "features", multiple=True,
                     help="Feature its requests may be for; repeatable."),
        click.option("--may-name", multiple=True,
                     type=click.Choice(["user", "feature", "conversation", "tags", "none"]),
                     help="What its callers may say of a request themselves; repeatable."),
        click.option("--priority", type=click.Choice(["interactive", "batch"]),
                     help="Who goes first where requests wait."),
        click.option("--expires", "expires_at", type=Ago(sign=1),
                     help="When it ends: in 90d, or on 2027-01-31."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@keys.command
@click.argument("name")
@_settings
@as_json
@connected
def create(api: Api, name: str, *, as_json: bool, **settings: Any) -> None:
    """Make a key. Its secret is printed once, alone on standard output."""
    made = api.change("POST", "/keys", {"name": name, **_said(settings)})
    _print_made(made, f"Made the key {made['name']} ({made['id']}).", as_json=as_json)


@keys.command("list")
@click.option("--user", help="Only theirs.")
@click.option("--team", help="Only of this team.")
@click.option("--organisation", help="Only of this organisation.")
@click.option("--blocked/--not-blocked", default=None, help="Only those that are, or are not.")
@click.option("-n", "--number", type=click.IntRange(1), default=200, show_default=True)
@as_json
@connected
def list_keys(
    api: Api, number: int, *, blocked: bool | None, as_json: bool, **filters: str | None
) -> None:
    """List the keys that were made here; those of the configuration file stand there."""
    narrowed = {**filters, "blocked": None if blocked is None else str(blocked).lower()}
    found = api.every("/keys", narrowed, number)
    if as_json:
        print_json(found)
        return
    if not found:
        say("There is no such key. Make one: tidegate keys create NAME")
        return
    headings = ("name", "state", "owner", "models", "environment", "expires", "id")
    print_table(
        headings,
        (
            (
                each["name"],
                _state(each),
                _owner(each),
                "any" if each["models"] is None else shown(each["models"]),
                shown(each["environment"]),
                moment(each["expires_at"]),
                Text(each["id"], "dim"),
            )
            for each in found
        ),
    )


@keys.command
@click.argument("name")
@as_json
@connected
def show(api: Api, name: str, *, as_json: bool) -> None:
    """Show all that is known of a key, by its name or id."""
    _print(api.get(f"/keys/{name_in_path(name)}"), as_json=as_json)


@keys.command
@click.argument("name")
@_settings
@as_json
@connected
def change(api: Api, name: str, *, as_json: bool, **settings: Any) -> None:
    """Change what is named; `none` takes a setting away."""
    changed = api.change("PATCH", f"/keys/{name_in_path(name)}", _said(settings))
    _print(changed, as_json=as_json)


@keys.command
@click.argument("name")
@click.option(
    "--overlap", type=Span(), default="24h", show_default=True,
    help="How long the old secret stays good; 0 ends it now.",
)  # fmt: skip
@as_json
@connected
def rotate(api: Api, name: str, overlap: int, *, as_json: bool) -> None:
    """Give a key a new secret, printed once, alone on standard output."""
    made = api.change("POST", f"/keys/{name_in_path(name)}/rotate", {"overlap_s": overlap})
    old = [each for each in made["secrets"] if each["until"] is not None]
    until = f"; the old one is good until {moment(old[0]['until'])}" if old else ""
    _print_made(made, f"The key {made['name']} has a new secret{until}.", as_json=as_json)


@keys.command
@click.argument("names", nargs=-1, required=True)
@connected
def block(api: Api, names: tuple[str, ...]) -> None:
    """Let keys in no more, within two seconds, until they are unblocked."""
    for name in names:
        api.change("POST", f"/keys/{name_in_path(name)}/block")
        say(f"Blocked the key {name}.")


@keys.command
@click.argument("names", nargs=-1, required=True)
@connected
def unblock(api: Api, names: tuple[str, ...]) -> None:
    """Let blocked keys in again."""
    for name in names:
        api.change("POST", f"/keys/{name_in_path(name)}/unblock")
        say(f"Unblocked the key {name}.")


@keys.command
@click.argument("names", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@connected
def delete(api: Api, names: tuple[str, ...], *, yes: bool) -> None:
    """Delete keys for good. What they spent stays counted under their names."""
    if not yes:
        click.confirm(f"Delete {', '.join(names)}?", abort=True, err=True)
    for name in names:
        api.change("DELETE", f"/keys/{name_in_path(name)}")
        say(f"Deleted the key {name}.")


def _said(settings: Json) -> Json:
    said: Json = {}
    for name, value in settings.items():
        if value is None or value == ():
            continue
        if isinstance(value, tuple):
            said[name] = None if value == (_NONE,) else list(value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            said[name] = None if value == _NONE else value
    return said


def _print_made(made: Json, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    say(words)
    if made["secret"] is None:
        raise click.ClickException(
            "It was made, but its secret was lost with the connection.\n"
            f"Get another: tidegate keys rotate {made['name']} --overlap 0"
        )
    say("This is its secret. It is not shown again:")
    click.echo(made["secret"])


def _print(key: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    facts: list[tuple[str, str | Text]] = [
        ("key", f"{key['name']}  {key['id']}"),
        ("state", _state(key)),
        ("owner", _owner(key)),
        ("environment", shown(key["environment"])),
        ("models", "any" if key["models"] is None else shown(key["models"])),
        ("features", "any" if key["features"] is None else shown(key["features"])),
        ("callers may name", "all" if key["may_name"] is None else shown(key["may_name"])),
        ("priority", key["priority"]),
        ("expires", moment(key["expires_at"])),
        ("made", moment(key["created_at"])),
    ]
    for secret in key["secrets"]:
        until = f"  good until {moment(secret['until'])}" if secret["until"] else ""
        facts.append(("secret", f"{secret['fingerprint']}…{until}"))
    print_facts(facts)


def _state(key: Json) -> Text:
    if key["blocked"]:
        return Text("blocked", "red")
    if passed(key["expires_at"]):
        return Text("expired", "yellow")
    return Text("good", "green")


def _owner(key: Json) -> str:
    chain = (key["user"], key["team"], key["organisation"])
    return " → ".join(each for each in chain if each is not None) or "-"
