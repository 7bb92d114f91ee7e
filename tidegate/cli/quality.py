"""`tidegate quality`: what answers are like, and whether that has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click
from rich.text import Text

from tidegate.cli.admin.client import Api, Json
from tidegate.cli.admin.options import as_json, connected
from tidegate.cli.admin.screen import dollars, print_json, print_table, say
from tidegate.cli.log.plain import NOTHING, show_count

SIGNALS: Final = (
    "answers", "format_compliance", "refusal_rate", "truncation_rate", "output_p50", "output_p90",
    "refusal_wording", "divergence", "feedback", "wait_p50_ms", "wait_p90_ms",
)  # fmt: skip
_BARS: Final = "▁▂▃▄▅▆▇█"
_GAP: Final = " "
_WIDTH: Final = 24
_DAY_H, _WEEK_H, _QUARTER_H = 24, 24 * 7, 24 * 90
_LITTLE: Final = 1e-4

_HELP = """Show what answers are like: whether they have the form that was asked for, are refused
or cut, how long they are, how people judge them.

\b
    tidegate quality --by model --hours 72
    tidegate quality --drift
"""


@click.command(help=_HELP)
@click.option(
    "--hours", type=click.IntRange(1, _QUARTER_H), default=_DAY_H, show_default=True,
    help="Of the last so many hours.",
)  # fmt: skip
@click.option(
    "--by", type=click.Choice(("alias", "model", "version")), default="alias", show_default=True,
    help="Tell an alias's models, or prompt versions, apart.",
)  # fmt: skip
@click.option("--alias", help="Only of this alias.")
@click.option(
    "--signal", type=click.Choice(SIGNALS), default="answers", show_default=True,
    help="What the small chart shows.",
)  # fmt: skip
@click.option("--drift", is_flag=True, help="Compare with seven times as long before instead.")
@as_json
@connected
def quality(
    api: Api, hours: int, by: str, alias: str | None, signal: str, *, drift: bool, as_json: bool
) -> None:
    """Show what answers are like."""
    if drift:
        if hours > _WEEK_H:
            raise click.UsageError(f"--drift compares {_WEEK_H} hours at most.")
        told = api.get("/quality/drift", {"hours": hours, "alias": alias})
    else:
        told = api.get("/quality", {"hours": hours, "by": by, "alias": alias})
    if as_json:
        print_json(told)
    elif drift:
        _print_drift(told)
    else:
        _print_lines(told, signal)


def _print_lines(told: Json, signal: str) -> None:
    if not told["items"]:
        say("No model has answered in that time.")
        return
    headings = (
        "alias", "model", "version", signal, "answers", "format", "refused", "cut", "tokens p50",
        "p90", "liked", "wait p50", "cost",
    )  # fmt: skip
    print_table(
        headings, [_line(each, signal) for each in told["items"]], right=headings[4:]
    )  # fmt: skip
    span = told["part_s"] // 3_600
    say(f"The small chart shows {signal}, each mark {span} h or more; a gap is nothing to tell by.")


def _line(line: Json, signal: str) -> tuple[str | Text, ...]:
    total = line["total"]
    return (
        line["alias"] or NOTHING,
        line["model"] or NOTHING,
        line["version"] or NOTHING,
        Text(sparkline([each[signal] for each in line["series"]]), "cyan"),
        show_count(total["answers"]),
        _share(total["format_compliance"]),
        _share(total["refusal_rate"]),
        _share(total["truncation_rate"]),
        _whole(total["output_p50"]),
        _whole(total["output_p90"]),
        _share(total["feedback"]),
        NOTHING if total["wait_p50_ms"] is None else f"{total['wait_p50_ms'] / 1_000:.2f}s",
        dollars(total["cost"]),
    )


def _print_drift(told: Json) -> None:
    items = told["items"]
    if not items:
        say("There are too few answers to compare; see `docs/explanation/quality.md`.")
        return
    headings = ("alias", "of", "signal", "then", "now", "answers", "before", "effect", "chance", "")
    print_table(headings, [_shift(each) for each in items], right=headings[3:9])
    count = sum(each["drifted"] for each in items)
    words = "signal has" if count == 1 else "signals have"
    say(f"{count} {words} drifted, of {len(items)} compared; effect 1 is the least that is told.")


def _shift(each: Json) -> tuple[str | Text, ...]:
    show = _whole if each["signal"] == "output_length" else _share
    if each["signal"] == "similarity":
        show = _bits
    of = "all" if each["whole"] else " ".join(filter(None, (each["model"], each["version"])))
    return (
        each["alias"] or NOTHING,
        of or NOTHING,
        each["signal"],
        show(each["then"]),
        show(each["now"]),
        show_count(each["answers"]),
        show_count(each["answers_before"]),
        f"{each['effect']:.2f}",
        _chance(each["chance"]),
        Text("drifted", "bold red") if each["drifted"] else "",
    )


def sparkline(values: Sequence[float | None]) -> str:
    """A small chart; what is not known is a gap, and many values are drawn by their means."""
    size = -(-len(values) // _WIDTH) or 1
    pieces = [values[place : place + size] for place in range(0, len(values), size)]
    known = [[each for each in piece if each is not None] for piece in pieces]
    means = [sum(piece) / len(piece) if piece else None for piece in known]
    there = [each for each in means if each is not None]
    least, most = min(there, default=0.0), max(there, default=0.0)
    span = most - least

    def mark(value: float | None) -> str:
        if value is None:
            return _GAP
        return _BARS[round((value - least) / span * (len(_BARS) - 1))] if span else _BARS[0]

    return "".join(map(mark, means))


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _bits(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _chance(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value >= _LITTLE else "<0.0001"
