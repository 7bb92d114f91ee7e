"""`tidegate tokens`: who may speak to the admin API."""

from __future__ import annotations

import click

from tidegate.cli.admin.client import Api, name_in_path
from tidegate.cli.admin.options import Ago, as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say
from tidegate.control.admin.roles import ROLES


@click.group
def tokens() -> None:
    """Say who may speak to the admin API, and in which role."""


@tokens.command
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option("--expires", "expires_at", type=Ago(sign=1), help="In 90d, or on 2027-01-31.")
@as_json
@connected
def create(api: Api, name: str, role: str, expires_at: str | None, *, as_json: bool) -> None:
    """Make an admin token. It is printed once, alone on standard output."""
    made = api.change("POST", "/tokens", {"name": name, "role": role, "expires_at": expires_at})
    if as_json:
        print_json(made)
        return
    if made["token"] is None:
        raise click.ClickException(
            "It was made, but lost with the connection.\n"
            f"Delete it and make another: tidegate tokens delete {name}"
        )
    say(f"Made the token {name} of the role {role}. It is not shown again:")
    click.echo(made["token"])


@tokens.command("list")
@as_json
@connected
def list_tokens(api: Api, *, as_json: bool) -> None:
    """List the tokens."""
    found = api.every("/tokens")
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "role", "expires", "made"),
        (
            (each["name"], each["role"], moment(each["expires_at"]), moment(each["created_at"]))
            for each in found
        ),
    )


@tokens.command
@click.argument("names", nargs=-1, required=True)
@connected
def delete(api: Api, names: tuple[str, ...]) -> None:
    """Delete tokens: they are good no more."""
    for name in names:
        api.change("DELETE", f"/tokens/{name_in_path(name)}")
        say(f"Deleted the token {name}.")
