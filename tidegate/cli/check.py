"""`tidegate check`: every mistake in the configuration, or what it amounts to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.config.alias import Alias, Target
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError, Mistake, shorten
from tidegate.config.model import Config
from tidegate.house.money import prices_of
from tidegate.ledger.prices import Prices
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
    prices = prices_of(config)
    for name, alias in config.models.items():
        table.add_row(*(Text(cell) for cell in (name, *_cells(alias, prices))))
    console.print(table)
    console.print(f"Callers: {_callers(config)}", markup=False)
    for warning in (*_unpriced(config, prices), *_kept_whole(config)):
        console.print(warning, style="yellow", markup=False)


def _cells(alias: Alias, prices: Prices) -> Iterable[str]:
    total = sum(target.weight for target in alias.targets)
    yield "\n".join(_share(target, total) for target in alias.targets)
    yield "\n".join(_price(target, prices) for target in alias.targets)
    yield ", ".join(alias.fallback)


def _share(target: Target, total: int) -> str:
    name = f"{target.provider}/{target.model}"
    return name if target.weight == total else f"{name} {target.weight / total:.0%}"


def _price(target: Target, prices: Prices) -> str:
    if target.model == "*" and not target.price:
        return "as the model's"
    price = prices.of(target.provider, target.model, time.time_ns())
    if price is None:
        return "unknown"
    if price.input_nanousd == price.output_nanousd == 0:
        return "free"
    return f"{show_usd(price.input_nanousd)} / {show_usd(price.output_nanousd)} per M"


def _unpriced(config: Config, prices: Prices) -> Iterator[str]:
    """What budgets of the file would refuse, because nobody knows what it costs."""
    if config.ledger.unpriced == "allow":
        return
    paid = [rule for rule in config.rules if rule.limits.budgets]
    for name, alias in config.models.items():
        for target in alias.targets:
            told = {"alias": name, "provider": target.provider}
            by = [
                rule
                for rule in paid
                if rule.name is None or rule.name == told.get(rule.kind, rule.name)
            ]
            if by and target.model != "*" and _price(target, prices) == "unknown":
                of = by[0].kind if by[0].name is None else f"{by[0].kind} {by[0].name}"
                yield (
                    f"{name}: nobody knows what {target.provider}/{target.model} costs: it is not"
                    f" asked where the budget of {of} covers a request. Say its `price`."
                )


def _kept_whole(config: Config) -> Iterator[str]:
    """Where conversations are kept whole although records keep less."""
    less = [name for name, alias in config.models.items() if alias.records.bodies == "redacted"]
    if config.responses.store and less:
        yield (
            f"{', '.join(less)}: `responses.store` keeps what is asked in the Responses format as"
            " it was, to go on from; `records.bodies: redacted` masks the records only. With"
            " `bodies: none` neither is kept."
        )


def _callers(config: Config) -> str:
    keys = "1 key" if len(config.keys) == 1 else f"{len(config.keys)} keys"
    open_to = "whoever can connect, without a key"
    if config.anonymous:
        return f"{keys}, and {open_to}" if config.keys else open_to
    return keys
