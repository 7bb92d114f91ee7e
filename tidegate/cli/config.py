"""`tidegate config`: the configurations that were in force, what changed, and the way back."""

from __future__ import annotations

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json, name_in_path
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say
from tidegate.cli.log.plain import printable

_HOW = {"start": "a start", "file": "the file", "rollback": "a roll back"}
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.group
def config() -> None:
    """Show the configurations that were in force, and go back to one."""


@config.command
@as_json
@connected
def versions(api: Api, *, as_json: bool) -> None:
    """List the configurations that are kept, what was in force last first."""
    found = api.get("/configurations")
    if as_json:
        print_json(found)
        return
    print_table(
        ("version", "", "in force since", "last seen", "first seen", "brought by", "roll back"),
        map(_row, found["items"]),
    )
    if found["refused"]:
        say(f"\nNone can be put back from here. {found['refused']}")


def _row(each: Json) -> tuple[str | Text, ...]:
    by = _HOW[each["how"]] + (f" of {each['by']}" if each["by"] else "")
    possible = "yes" if each["restorable"] else "no: a secret stood in it"
    return (
        each["version"],
        Text("in force", "green") if each["in_force"] else "",
        moment(each["since"]),
        moment(each["last_at"]),
        moment(each["first_at"]),
        by,
        possible,
    )


@config.command
@click.argument("version")
@as_json
@connected
def show(api: Api, version: str, *, as_json: bool) -> None:
    """Print the text of VERSION; the first of its digits do, if no other begins so."""
    found = api.get(f"/configurations/{name_in_path(version)}")
    if as_json:
        print_json(found)
        return
    if found["text"] is None:
        raise click.ClickException(
            f"The text of {found['version']} is not kept: a secret stood in it "
            f"({', '.join(found['hidden'])}). Put secrets into the environment or a file."
        )
    if found["hidden"]:
        say(f"Secrets stood in it, and are hidden: {', '.join(found['hidden'])}")
    click.echo(printable(found["text"], lines=True), nl=not found["text"].endswith("\n"))


@config.command
@click.argument("old")
@click.argument("new", required=False)
@as_json
@connected
def diff(api: Api, old: str, new: str | None, *, as_json: bool) -> None:
    """Print what changed from OLD to NEW, or to what is in force."""
    found = api.get(f"/configurations/{name_in_path(old)}/diff", {"to": new})
    if as_json:
        print_json(found)
    elif not found["diff"]:
        say("Nothing differs.")
    else:
        for line in found["diff"].splitlines():
            click.secho(printable(line), fg=_STYLES.get(line[:1]))


@config.command
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@connected
def rollback(api: Api, version: str, *, yes: bool, as_json: bool) -> None:
    """Write VERSION to the configuration's file, and let the gateways take it over.

    It is checked first. What the file said is kept beside it, as `NAME.replaced`.
    """
    path = f"/configurations/{name_in_path(version)}"
    if not yes and not as_json:
        back = api.get(path)
        count = _changes(api, path)
        click.confirm(
            f"Put back {back['version']}, last in force {moment(back['last_at'])}? "
            f"{count} lines change.",
            abort=True,
            err=True,
        )
    done = api.change("POST", f"{path}/rollback")
    if as_json:
        print_json(done)
        return
    say(f"{done['file']} says {done['version']} again, after {done['before']}.")
    say("The gateways take it over within seconds: `tidegate config versions` shows it then.")


def _changes(api: Api, path: str) -> int:
    lines: list[str] = api.get(f"{path}/diff")["diff"].splitlines()[2:]
    return sum(line.startswith(("+", "-")) for line in lines)
