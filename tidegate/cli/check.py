"""`tidegate check`: every mistake in the configuration, or what it amounts to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError, Mistake, shorten
from tidegate.config.model import Alias, Config, Target
from tidegate.money import show_usd

_PLAIN_WIDTH = 10_000


@click.command
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="tidegate.yaml",
    show_default=True,
    help="The file to check.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def check(path: Path, *, as_json: bool) -> None:
    """Tell every mistake in the configuration at once.

    Exits with 0 if it can be used and with 2 if not.
    """
    try:
        config = load(path)
    except ConfigError as error:
        if not as_json:
            raise
        _print_json({"ok": False, "mistakes": [asdict(mistake) for mistake in error.mistakes]})
        sys.exit(2)
    if as_json:
        _print_json({"ok": True, "mistakes": [], "version": config.version})
    else:
        _print_summary(config, path)


def print_mistakes(mistakes: Sequence[Mistake]) -> None:
    """All mistakes on standard error: laid out at a terminal, one on each line otherwise."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        for mistake in mistakes:
            click.echo(str(mistake), err=True)
        return
    for mistake in mistakes:
        console.print(_laid_out(mistake))
    file = mistakes[0].file
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    console.print(Text.assemble((f"{count} in {file}", "bold red")))


def _laid_out(mistake: Mistake) -> Text:
    place = f"{mistake.file}:{mistake.line}:{mistake.column}" if mistake.line else mistake.file
    text = Text.assemble((place, "dim"), " ", (mistake.path, "bold"))
    text.append(f"\n    {mistake.message}")
    if mistake.nearest is not None:
        text.append("\n    did you mean ").append(mistake.nearest, "green").append("?")
    if mistake.allowed:
        text.append(f"\n    allowed: {shorten(mistake.allowed)}", "dim")
    return text.append("\n")


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_summary(config: Config, path: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(f"{path} is good (version {config.version}).", style="green", markup=False)
    if not config.models:
        console.print("It has no models yet: add an alias under `models`.")
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("alias", "targets", "price in / out", "fallback"):
        table.add_column(heading, overflow="fold")
    for name, alias in config.models.items():
        table.add_row(*(Text(cell) for cell in (name, *_cells(alias, config))))
    console.print(table)
    console.print(f"Callers: {_callers(config)}", markup=False)


def _cells(alias: Alias, config: Config) -> Iterable[str]:
    total = sum(target.weight for target in alias.targets)
    yield "\n".join(_share(target, total) for target in alias.targets)
    yield "\n".join(_price(target, config) for target in alias.targets)
    yield ", ".join(alias.fallback)


def _share(target: Target, total: int) -> str:
    name = f"{target.provider}/{target.model}"
    return name if target.weight == total else f"{name} {target.weight / total:.0%}"


def _price(target: Target, config: Config) -> str:
    if target.price is None:
        own = config.providers[target.provider].kind in ("local", "simulated")
        return "free" if own else "unknown"
    return f"{show_usd(target.price.input)} / {show_usd(target.price.output)} per M"


def _callers(config: Config) -> str:
    keys = "1 key" if len(config.keys) == 1 else f"{len(config.keys)} keys"
    open_to = "whoever can connect, without a key"
    if config.anonymous:
        return f"{keys}, and {open_to}" if config.keys else open_to
    return keys
