"""`tidegate console`: where the console is, and what to sign in with."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from tidegate.cli.admin.options import as_json
from tidegate.cli.admin.place import here, settings
from tidegate.cli.admin.screen import print_json, say
from tidegate.control.admin.signin import TOKEN_FILE


@click.command
@click.option(
    "--config", "config", type=click.Path(path_type=Path), default="tidegate.yaml",
    show_default=True, help="The configuration, which says where it is.",
)  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open it in a browser of this machine.")
@as_json
def console(config: Path, *, opens: bool, as_json: bool) -> None:
    """Say where the console is, and what to sign in with."""
    found = settings(config)
    control, spool = found.control, found.spool.directory
    local, token = here(found), spool / TOKEN_FILE
    url = f"{control.url or local}/console/"
    if as_json:
        print_json({"url": url, "here": f"{local}/console/", "token_file": str(token)})
    else:
        click.echo(url)
        if control.url is not None:
            say(f"On this machine: {local}/console/")
        if token.exists():
            say(f"Sign in with an admin token; the first one is in {token}")
        else:
            say(
                f"Sign in with an admin token. There is none in {token}: the first "
                "`tidegate serve` leaves one there, `tidegate tokens create` makes others."
            )
    if opens and not webbrowser.open(url):
        raise click.ClickException("There is no browser to open it in.")
