"""`tidegate console`: where the console is, and what to sign in with."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from tidegate.cli.admin.options import as_json
from tidegate.cli.admin.place import settings
from tidegate.cli.admin.screen import print_json, say
from tidegate.control.admin.signin import TOKEN_FILE
from tidegate.net.door import find, url_of


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
    door = find(spool)
    here = door.url if door is not None else url_of(control.host, control.port)
    url, token = f"{control.url or here}/console/", spool / TOKEN_FILE
    if as_json:
        print_json({"url": url, "here": f"{here}/console/", "token_file": str(token)})
    else:
        click.echo(url)
        if control.url is not None:
            say(f"On this machine: {here}/console/")
        if token.exists():
            say(f"Sign in with an admin token; the first one is in {token}")
        else:
            say(
                f"Sign in with an admin token. There is none in {token}: its first start leaves "
                "one there (`tidegate serve`), `tidegate tokens create` makes others."
            )
    if opens and not webbrowser.open(url):
        raise click.ClickException("There is no browser to open it in.")
