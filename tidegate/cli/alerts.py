"""`tidegate alerts`: what fires, what was told, silences, and whether words arrive."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import msgspec
from rich.text import Text

from tidegate.alerts.machine import Alert
from tidegate.alerts.notices import Notice
from tidegate.alerts.rules import DEFAULTS
from tidegate.alerts.settings import AlertSettings, open_sinks
from tidegate.alerts.sinks import NotDelivered, Sink
from tidegate.cli.admin.client import Api, Json, name_in_path
from tidegate.cli.admin.options import Ago, as_json, connected
from tidegate.cli.admin.screen import moment, print_json, print_table, say
from tidegate.config.load import load
from tidegate.net.dns import Resolver

_STYLES = {"page": "red", "ticket": "yellow", "info": "dim"}


class _Listing(click.Group):
    """Lists where nothing else is asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Listing)
def alerts() -> None:
    """Show what is wrong, silence it, try whether words arrive; alone, as `list`."""


@alerts.command("list")
@click.option(
    "-n", "--number", type=click.IntRange(1, 200), default=20, show_default=True,
    help="That many of the latest messages.",
)  # fmt: skip
@as_json
@connected
def list_alerts(api: Api, number: int, *, as_json: bool) -> None:
    """Show what fires now, and what was told lately."""
    told = api.get("/alerts", {"limit": number})
    if as_json:
        print_json(told)
        return
    _print_firing(told["firing"])
    if told["recent"]:
        say("\nTold lately, the latest first:")
        print_table(("at", "", "rule", "what"), map(_recent, told["recent"]))
    if told["silences"]:
        say("\nSilent:")
        print_table(("id", "rule", "labels", "until", "by", "why"), map(_silent, told["silences"]))


def _print_firing(firing: list[Json]) -> None:
    if not firing:
        say("Nothing fires.")
        return
    print_table(
        ("id", "severity", "rule", "since", "what"),
        (
            (
                each["id"],
                Text(each["severity"], _STYLES.get(each["severity"], "")),
                each["rule"] + (" (pending)" if each["state"] == "pending" else ""),
                moment(each["since"]),
                f"{each['summary']} {each['what_to_do']}",
            )
            for each in firing
        ),
    )


def _recent(told: Json) -> tuple[str | Text, ...]:
    style = "green" if told["status"] == "resolved" else _STYLES.get(told["severity"], "")
    status = Text("silenced" if told["silenced"] else told["status"], style)
    return moment(told["at"]), status, told["rule"], told["summary"]


def _silent(one: Json) -> tuple[str, ...]:
    labels = ", ".join(f"{name}={value}" for name, value in one["labels"].items())
    return one["id"], one["rule"] or "all", labels, moment(one["until"]), one["by"], one["why"]


@alerts.command
@click.argument("alert_id", metavar="ID")
@click.option("--note", default="no note", help="What is known so far.")
@as_json
@connected
def acknowledge(api: Api, alert_id: str, note: str, *, as_json: bool) -> None:
    """Say that you look at the alert ID: it is not told again until it is over."""
    path = f"/alerts/{name_in_path(alert_id)}/acknowledgement"
    told = api.change("POST", path, {"note": note})
    if as_json:
        print_json(told)
        return
    say(f"You look at {told['rule']}.")


@alerts.command
@click.argument("rule", required=False, type=click.Choice(tuple(DEFAULTS)), metavar="[RULE]")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only with it.")
@click.option(
    "--until", type=Ago(sign=1), required=True, help="2h, or a time such as 2026-12-01T08:00Z."
)
@click.option("--why", default="no reason given", help="For whoever wonders.")
@click.option("--all", "everything", is_flag=True, help="Every alert, instead of RULE or labels.")
@as_json
@connected
def silence(
    api: Api,
    rule: str | None,
    labels: tuple[str, ...],
    until: str,
    why: str,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Tell nobody of RULE, or of what has those labels, for a time."""
    if everything == bool(rule or labels):
        raise click.UsageError("name RULE or --label; or say --all, and neither, for every alert")
    named: dict[str, str] = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals:
            raise click.BadParameter("must be NAME=VALUE", param_hint="--label")
        named[name] = value
    body: dict[str, Any] = {
        "until": until, "rule": rule, "labels": named, "why": why, "everything": everything,
    }  # fmt: skip
    made = api.change("POST", "/silences", body)
    if as_json:
        print_json(made)
        return
    say(f"Silent until {moment(made['until'])}. End it sooner: tidegate alerts speak {made['id']}")


@alerts.command
@click.argument("silence_id", metavar="ID")
@as_json
@connected
def speak(api: Api, silence_id: str, *, as_json: bool) -> None:
    """End the silence ID: what still fires is told at once."""
    ended = api.change("DELETE", f"/silences/{name_in_path(silence_id)}")
    if as_json:
        print_json(ended)
        return
    say("It is told again.")


@alerts.command
@as_json
@connected
def slo(api: Api, *, as_json: bool) -> None:
    """Show what is promised of aliases, and what is left of each error budget."""
    told = api.get("/slos")
    if as_json:
        print_json(told)
        return
    if not told["items"]:
        say("Nothing is promised: `models.NAME.slo` in the configuration says what is.")
        return
    rules = [each["rule"] for each in told["items"][0]["burning"]]
    print_table(
        ("alias", "objective", "window", "requests", "bad", "budget left", *rules),
        map(_promised, told["items"]),
    )
    say("Burn rates in long/short windows: 1 uses the budget up by the end of its window.")


def _promised(one: Json) -> tuple[str | Text, ...]:
    objective = f"{100 * one['objective']:g}% {one['slo']}"
    if one["under_s"] is not None:
        objective += f" under {one['under_s']:g} s"
    left = one["budget_left"]
    return (
        one["alias"],
        objective,
        f"{one['window_s'] / 86_400:g} d",
        f"{one['requests']:,}",
        f"{one['bad']:,}",
        Text(f"{left:.1%}", "red" if left <= 0 else "green"),
        *(f"{each['burn_long']:.1f}/{each['burn_short']:.1f}" for each in one["burning"]),
    )


@alerts.command
@click.option(
    "--config", "config", type=click.Path(path_type=Path), default="tidegate.yaml",
    show_default=True, help="The configuration, which tunes them.",
)  # fmt: skip
@as_json
def rules(config: Path, *, as_json: bool) -> None:
    """Show what is looked at, and from which value on it fires."""
    settings = load(config).alerts.value()
    if as_json:
        print_json({"rules": [msgspec.structs.asdict(each) for each in settings.rules]})
        return
    print_table(
        ("rule", "severity", "threshold", "lasts", "fires when"),
        (
            (
                each.name,
                Text(each.severity, _STYLES[each.severity]),
                f"{each.threshold:g} {each.unit}",
                f"{each.for_s:g} s",
                each.what,
            )
            for each in settings.rules
        ),
    )


@alerts.command
@click.option(
    "--config", "config", type=click.Path(path_type=Path), default="tidegate.yaml",
    show_default=True, help="The configuration, which says who is told.",
)  # fmt: skip
@as_json
def test(config: Path, *, as_json: bool) -> None:
    """Send everybody a message now, and say whether it arrived.

    Ends with 1 if somebody did not get it, or nobody is to be told.
    """
    found = load(config)
    settings = found.alerts.value(found.control.url)
    told = asyncio.run(_try(settings))
    if as_json:
        print_json({"sinks": [{"name": name, "error": error} for name, error in told.items()]})
    elif not told:
        say("Nobody is to be told: `alerts.sinks` in the configuration is empty.")
    else:
        words = {name: "arrived" if error is None else error for name, error in told.items()}
        print_table(
            ("sink", ""),
            (
                (name, Text(said, "green" if told[name] is None else "red"))
                for name, said in words.items()
            ),
        )
    if not told or any(error is not None for error in told.values()):
        raise SystemExit(1)


async def _try(settings: AlertSettings) -> dict[str, str | None]:
    resolver = Resolver()
    sinks = open_sinks(settings, resolver, time.time_ns)
    notice = _notice(settings)
    try:
        errors = await asyncio.gather(*(_told(each, notice) for each in sinks.values()))
    finally:
        for sink in sinks.values():
            await sink.close()
        await resolver.close()
    return dict(zip(sinks, errors, strict=True))


async def _told(sink: Sink, notice: Notice) -> str | None:
    try:
        await sink.send(notice)
    except NotDelivered as error:
        return str(error)
    return None


def _notice(settings: AlertSettings) -> Notice:
    now_ns, id_ = time.time_ns(), uuid4().hex[:16]
    alert = Alert(
        id=id_,
        status="firing",
        rule="test",
        severity="info",
        summary="This is a test: somebody ran `tidegate alerts test`.",
        todo="Nothing.",
        labels={"test": "true"},
        value=0.0,
        threshold=0.0,
        since_ns=now_ns,
        at_ns=now_ns,
        runbook=f"{settings.terms.runbooks}README.md",
        link=f"{settings.terms.console}/console/alerts" if settings.terms.console else "",
    )
    return Notice(id_, "firing", "info", now_ns, (alert,))
