"""`tidegate prices`: what models cost, where you know better than the vendors' list."""

from __future__ import annotations

import re
from typing import Any

import click

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import Ago, as_json, connected
from tidegate.cli.admin.screen import dollars, moment, print_json, print_table, say

_CLASSES = ("input", "output", "cached_input", "cache_write", "reasoning")
_USD = re.compile(r"\$?(\d+(?:\.\d{1,9})?)(?:/M)?")


class _Price(click.ParamType[Any]):
    name = "usd/M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = _USD.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no price of a million tokens; try 0.15.", param, ctx)
        return found[1]


@click.group
def prices() -> None:
    """Set what models cost, where you know better than the vendors' list."""


@prices.command("set")
@click.argument("provider")
@click.argument("model")
@click.option("--input", "input_", type=_Price(), required=True, help="Dollars a million tokens.")
@click.option("--output", type=_Price(), required=True)
@click.option("--cached-input", type=_Price(), help="As --input if not given.")
@click.option("--cache-write", type=_Price(), help="As --input if not given.")
@click.option("--reasoning", type=_Price(), help="As --output if not given.")
@click.option("--from", "starts_at", type=Ago(sign=1), help="When it begins; now if not given.")
@connected
def set_price(
    api: Api, provider: str, model: str, input_: str, starts_at: str | None, **others: str | None
) -> None:
    """Set the price of PROVIDER's MODEL, in which `*` is anything, from a time on."""
    said = {"input": input_, **others}
    amounts = {name: {"usd": value} for name, value in said.items() if value is not None}
    body = {"provider": provider, "model": model, "starts_at": starts_at, **amounts}
    _print([api.change("POST", "/prices", body)])


@prices.command("list")
@click.option("--provider", help="Only of this provider.")
@click.option("--model", help="Only of this model.")
@click.option("-n", "--number", type=click.IntRange(1), default=200, show_default=True)
@as_json
@connected
def list_prices(
    api: Api, provider: str | None, model: str | None, number: int, *, as_json: bool
) -> None:
    """List the prices that were set here; configuration file and vendors' list have others."""
    found = api.every("/prices", {"provider": provider, "model": model}, number)
    if as_json:
        print_json(found)
    elif not found:
        say("No prices were set here.")
    else:
        _print(found)


@prices.command
@click.argument("provider")
@click.argument("model")
@click.argument("starts_at")
@connected
def delete(api: Api, provider: str, model: str, starts_at: str) -> None:
    """Delete the price that begins at STARTS_AT, as `prices list --json` tells it."""
    which = {"provider": provider, "model": model, "starts_at": starts_at}
    api.change("DELETE", "/prices", query=which)
    say(f"Deleted the price of {provider}/{model} from {starts_at} on.")


def _print(found: list[Json]) -> None:
    headings = [name.replace("_", " ") for name in _CLASSES]
    print_table(
        ("provider", "model", "from", *headings),
        (
            (
                each["provider"],
                each["model"],
                moment(each["starts_at"]),
                *(dollars(each[name], exact=True) for name in _CLASSES),
            )
            for each in found
        ),
        right=headings,
    )
