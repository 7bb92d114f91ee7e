"""Groups of commands for users, teams and organisations, which differ in what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from tidegate.cli.admin.client import Api, Json, name_in_path
from tidegate.cli.admin.options import SHARE, SIZE, as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say, shown

_NONE = "none"
_ANY = "any"
_BOUNDS = ("bodies", "share", "max_body")
"""What a team lets be kept, as options."""


@dataclass(frozen=True, slots=True)
class People:
    """A noun, the noun of what its kind belongs to, and whether it has settings as teams have."""

    noun: str
    owner: str | None = None
    weighted: bool = False

    @property
    def path(self) -> str:
        """Where the API has them."""
        return f"/{self.noun}s"


def people(noun: str, owner: str | None = None, *, weighted: bool = False) -> click.Group:
    """The commands for `noun`s, which belong to an `owner`; `weighted` ones are teams."""
    of = People(noun, owner, weighted)
    group = click.Group(f"{noun}s", help=f"Manage {noun}s.")
    group.add_command(_create(of))
    group.add_command(_list(of))
    if owner is not None:
        group.add_command(_change(of, owner))
    group.add_command(_delete(of))
    return group


_KEPT = (
    click.option(
        "--bodies",
        type=click.Choice(("none", "metadata", "redacted", "full", _ANY)),
        help="Most that is kept of its prompts and answers, whatever alias it asks; `any` bounds"
        " nothing.",
    ),
    click.option(
        "--share", type=SHARE, help="Of its requests, those whose bodies are kept, such as 10%."
    ),
    click.option("--max-body", type=SIZE, help="Most that is kept of each body, such as 64KiB."),
)


def _settings(of: People, command: Any) -> Any:
    if of.weighted:
        for option in reversed(_KEPT):
            command = option(command)
        command = click.option(
            "--weight",
            type=click.IntRange(1, 1000),
            help="Share where requests wait, relative to other teams.",
        )(command)
    if of.owner is not None:
        command = click.option(f"--{of.owner}", help=f"The {of.owner} it belongs to.")(command)
    return command


def _create(of: People) -> click.Command:
    @connected
    def create(api: Api, name: str, **said: Any) -> None:
        api.change("POST", of.path, {"name": name, **_said(said)})
        say(f"Made the {of.noun} {name}.")

    made = click.argument("name")(_settings(of, create))
    return click.command("create", help=f"Make one: NAME of the {of.noun}.")(made)


def _list(of: People) -> click.Command:
    @click.option("-n", "--number", type=click.IntRange(1), default=200, show_default=True)
    @as_json
    @connected
    def list_all(api: Api, number: int, *, as_json: bool, **filters: str | None) -> None:
        found = api.every(of.path, filters, number)
        if as_json:
            print_json(found)
        elif found:
            _print(of, found)
        else:
            say(f"There is no such {of.noun}. Make one: tidegate {of.noun}s create NAME")

    made: Any = list_all
    if of.owner is not None:
        made = click.option(f"--{of.owner}", help=f"Only of this {of.owner}.")(made)
    return click.command("list", help=f"List the {of.noun}s that were made here.")(made)


def _change(of: People, owner: str) -> click.Command:
    @connected
    def change(api: Api, name: str, **said: Any) -> None:
        api.change("PATCH", f"{of.path}/{name_in_path(name)}", _said(said))
        say(f"Changed the {of.noun} {name}.")

    made = click.argument("name")(_settings(of, change))
    words = f"Change what is named; `none` takes the {owner} away."
    return click.command("change", help=words)(made)


def _delete(of: People) -> click.Command:
    @click.argument("names", nargs=-1, required=True)
    @connected
    def delete(api: Api, names: tuple[str, ...]) -> None:
        for name in names:
            api.change("DELETE", f"{of.path}/{name_in_path(name)}")
            say(f"Deleted the {of.noun} {name}.")

    return click.command("delete", help="Delete those that nobody belongs to.")(delete)


def _print(of: People, found: list[Json]) -> None:
    columns = ["name", *([of.owner] if of.owner else []), *(["weight"] if of.weighted else [])]
    kept = ("keeps",) if of.weighted else ()
    print_table(
        (*columns, *kept, "made"),
        (
            (
                *(shown(each[column]) for column in columns),
                *(_kept(each["records"]) for _ in kept),
                moment(each["created_at"]),
            )
            for each in found
        ),
        right=("weight",),
    )


def _kept(bounds: Json | None) -> str:
    """What a team lets be kept, in words."""
    if bounds is None:
        return shown(None)
    words = [bounds["bodies"]] if bounds["bodies"] else []
    if bounds["share"] is not None:
        words.append(f"{bounds['share']:.4g} of requests")
    if bounds["max_body_bytes"] is not None:
        words.append(f"{bounds['max_body_bytes']:,} bytes")
    return ", ".join(words)


def _said(settings: Json) -> Json:
    said = {name: value for name, value in settings.items() if value is not None}
    kept = {name: said.pop(name) for name in _BOUNDS if name in said}
    made = {name: None if value == _NONE else value for name, value in said.items()}
    if kept:
        # Of bodies, `none` is the strictest that may be said, and not the want of a bound.
        bounds = {
            name: None if value == (_ANY if name == "bodies" else _NONE) else value
            for name, value in kept.items()
        }
        if "max_body" in bounds:
            bounds["max_body_bytes"] = bounds.pop("max_body")
        made["records"] = bounds
    return made
