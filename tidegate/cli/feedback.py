"""`tidegate feedback`: what people say of answers."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import Ago, as_json, connected
from tidegate.cli.admin.screen import bar, moment, print_json, print_table, say
from tidegate.cli.log.plain import NOTHING, show_count

_CHARACTERS = 200
_VERDICTS = {"up": Text("up", "green"), "down": Text("down", "red")}

_HELP = """Show what people say of answers, the latest last.

\b
    tidegate feedback --down --since 7d
    tidegate feedback --trend alias
"""


@click.command(help=_HELP)
@click.option("--down", is_flag=True, help="Only what they did not like.")
@click.option("--alias", help="Only of this alias.")
@click.option("--model", help="Only of this model.")
@click.option("--version", help="Only of this version of the prompt.")
@click.option("--user", help="Only of answers to this user.")
@click.option("--team", help="Only of answers to this team.")
@click.option("--since", type=Ago(), help="From then on: 7d, or 2026-01-31.")
@click.option("--until", type=Ago(), help="Until then; now if not said.")
@click.option(
    "-n", "--number", type=click.IntRange(1, 500), default=30, show_default=True,
    help="That many of the latest.",
)  # fmt: skip
@click.option(
    "--trend", type=click.Choice(("day", "alias", "model", "version")),
    help="Count it by this instead.",
)  # fmt: skip
@as_json
@connected
def feedback(
    api: Api, number: int, trend: str | None, *, down: bool, as_json: bool, **filters: Any
) -> None:
    """Show what people say of answers."""
    asked = {**filters, "verdict": "down" if down else None}
    if trend is not None:
        told = api.get("/feedback/trend", {**asked, "by": trend})
    else:
        told = api.get("/feedback", {**asked, "limit": number})
    if as_json:
        print_json(told)
    elif not told["items"]:
        say("Nobody has said anything of that kind.")
    elif trend is not None:
        _print_trend(told)
    else:
        _print_list(told["items"])


def _print_list(items: list[Json]) -> None:
    print_table(
        ("at", "says", "rating", "alias", "model", "user", "request", "words"),
        (
            (
                moment(each["at"]),
                _VERDICTS.get(each["verdict"] or "", each["verdict"] or NOTHING),
                NOTHING if each["rating"] is None else f"{each['rating']}/5",
                each["alias"] or NOTHING,
                each["model"] or NOTHING,
                each["user"] or NOTHING,
                each["request_id"],
                _short(each["text"] or _labels(each["labels"])),
            )
            for each in reversed(items)
        ),
    )


def _print_trend(told: Json) -> None:
    headings = (told["by"], "", "liked", "up", "down", "neutral", "none")
    print_table(
        headings,
        (
            (
                each["name"] or NOTHING,
                "" if each["score"] is None else bar(each["score"]),
                NOTHING if each["score"] is None else f"{each['score']:.0%}",
                *(show_count(each[name]) for name in headings[3:]),
            )
            for each in told["items"]
        ),
        right=headings[2:],
    )


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _short(words: str) -> str:
    return words if len(words) <= _CHARACTERS else f"{words[: _CHARACTERS - 1]}…"
