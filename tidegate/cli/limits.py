"""`tidegate limits`: set what a scope may use and spend."""

from __future__ import annotations

import re
from typing import Any

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json, Refused, name_in_path
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import dollars, print_json, print_table, say
from tidegate.limits import KINDS

_NOT_FOUND = 404
_NONE = "none"
_RATES = (
    "requests_per_minute", "requests_per_hour", "requests_per_day",
    "tokens_per_minute", "tokens_per_hour", "tokens_per_day", "concurrency", "steps",
)  # fmt: skip
_BUDGET = re.compile(r"\$?(?P<usd>\d+(?:\.\d{1,9})?)/(?P<period>day|week|month|total)")
_SET = """Set limits of a scope: of NAME, or of each of its kind apart with `*`.

What is not named stays; `none` takes a limit away.

\b
    tidegate limits set team product --budget 500/month --requests-per-minute 600
    tidegate limits set user '*' --budget 5/day --concurrency 4
"""
_KIND = click.Choice(KINDS)


class _Count(click.ParamType[Any]):
    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _NONE:
            return value
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a whole number nor `none`.", param, ctx)
        return int(value)


class _Budget(click.ParamType[Any]):
    name = "usd/period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _NONE:
            return value
        found = _BUDGET.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no budget; try 500/month, 2.50/day or none.", param, ctx)
        return {"amount": {"usd": found["usd"]}, "period": found["period"]}


@click.group
def limits() -> None:
    """Set what a scope may use and spend."""


def _rates(command: Any) -> Any:
    for name in reversed(_RATES):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, type=_Count(), metavar="N")(command)
    return command


@limits.command("set", help=_SET)
@click.argument("kind", type=_KIND)
@click.argument("name")
@_rates
@click.option(
    "--budget", "budgets", type=_Budget(), multiple=True,
    help="Dollars and period: 500/month; repeatable. In the place of those there were.",
)  # fmt: skip
@click.option("--timezone", default="UTC", show_default=True, help="Where a budget's days begin.")
@click.option(
    "--soft", "soft_percent", type=click.IntRange(1, 100), default=80, show_default=True,
    help="Percent of a budget from which on it is warned of, or downgraded.",
)  # fmt: skip
@click.option("--downgrade", help="Alias that is asked instead from there on.")
@connected
def set_limits(
    api: Api,
    kind: str,
    name: str,
    *,
    budgets: tuple[Any, ...],
    timezone: str,
    soft_percent: int,
    downgrade: str | None,
    **rates: Any,
) -> None:
    """Set limits of a scope."""
    path = f"/limits/{kind}/{name_in_path(name)}"
    before = _before(api, path)
    said = {rate: value for rate, value in rates.items() if value is not None}
    wanted: Json = before["limits"] | {
        rate: None if value == _NONE else value for rate, value in said.items()
    }
    kept = [_asked(each) for each in before["budgets"]]
    terms = {"timezone": timezone, "soft_percent": soft_percent, "downgrade": downgrade}
    fresh = [{**each, **terms} for each in budgets if each != _NONE]
    if not said and not budgets:
        raise click.UsageError("Say what to limit, such as --budget 500/month.")
    body = {"limits": wanted, "budgets": fresh if budgets else kept}
    _print([api.change("PUT", path, body)])


@limits.command("list")
@click.option("--kind", type=_KIND, help="Only of this kind.")
@click.option("-n", "--number", type=click.IntRange(1), default=200, show_default=True)
@as_json
@connected
def list_limits(api: Api, kind: str | None, number: int, *, as_json: bool) -> None:
    """List the limits that were set here; those of the configuration file stand there."""
    found = api.every("/limits", {"kind": kind}, number)
    if as_json:
        print_json(found)
    elif not found:
        say("No limits were set here. Set some: tidegate limits set team NAME --budget 500/month")
    else:
        _print(found)


@limits.command
@click.argument("kind", type=_KIND)
@click.argument("name")
@connected
def remove(api: Api, kind: str, name: str) -> None:
    """Remove all limits of a scope; those for each of its kind hold again."""
    api.change("DELETE", f"/limits/{kind}/{name_in_path(name)}")
    say(f"Removed the limits of the {kind} {name}.")


def _before(api: Api, path: str) -> Json:
    try:
        return api.get(path)
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return {"limits": {}, "budgets": []}


def _asked(budget: Json) -> Json:
    return {**budget, "amount": {"nanousd": budget["amount"]["nanousd"]}}


def _print(rules: list[Json]) -> None:
    print_table(
        ("kind", "name", "limits", "budgets"),
        (
            (
                rule["kind"],
                rule["name"],
                "\n".join(_rate_lines(rule["limits"])) or "-",
                Text("\n".join(map(_budget_line, rule["budgets"])) or "-"),
            )
            for rule in rules
        ),
    )


def _rate_lines(rates: Json) -> list[str]:
    return [
        f"{rates[name]:,} {name.replace('_', ' ')}"
        for name in _RATES
        if rates.get(name) is not None
    ]


def _budget_line(budget: Json) -> str:
    period = "in all" if budget["period"] == "total" else f"a {budget['period']}"
    zone = "" if budget["timezone"] == "UTC" else f" ({budget['timezone']})"
    then = f"ask {budget['downgrade']}" if budget["downgrade"] else "warn"
    amount = dollars(budget["amount"], exact=True)
    return f"{amount} {period}{zone}, from {budget['soft_percent']} % {then}"
