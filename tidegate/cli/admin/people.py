"""Groups of commands for users, teams and organisations, which differ in what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from tidegate.cli.admin.client import Api, Json, name_in_path
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say, shown

_NONE = "none"


@dataclass(frozen=True, slots=True)
class People:
    """A noun, the noun of what its kind belongs to, and whether it has a share."""

    noun: str
    owner: str | None = None
    weighted: bool = False

    @property
    def path(self) -> str:
        """Where the API has them."""
        return f"/{self.noun}s"


def people(noun: str, owner: str | None = None, *, weighted: bool = False) -> click.Group:
    """The commands for `noun`s, which belong to an `owner`; `weighted` ones have a share."""
    of = People(noun, owner, weighted)
    group = click.Group(f"{noun}s", help=f"Manage {noun}s.")
    group.add_command(_create(of))
    group.add_command(_list(of))
    if owner is not None:
        group.add_command(_change(of, owner))
    group.add_command(_delete(of))
    return group


def _settings(of: People, command: Any) -> Any:
    if of.weighted:
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
    print_table(
        (*columns, "made"),
        (
            (*(shown(each[column]) for column in columns), moment(each["created_at"]))
            for each in found
        ),
        right=("weight",),
    )


def _said(settings: Json) -> Json:
    said = {name: value for name, value in settings.items() if value is not None}
    return {name: None if value == _NONE else value for name, value in said.items()}
