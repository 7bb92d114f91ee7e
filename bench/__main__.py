"""The command line of the benchmark: `python -m bench [SCENARIO] [--quick] [--only NAMES]`."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from bench.contenders import BY_NAME_ONLY, Contender, contenders
from bench.everything import NAMES as EVERYTHING
from bench.everything import everything
from bench.goals import SUBJECT
from bench.install import CHECKOUT, Unavailable, home
from bench.latency import latency
from bench.machine import machine
from bench.observed import observed
from bench.openloop import openloop
from bench.outage import outage
from bench.overload import overload
from bench.process import DidNotStart
from bench.report import show
from bench.sinks import sinks
from bench.soak import soak
from bench.stage import Options, fresh
from bench.startup import startup
from bench.streams import streams
from bench.throughput import throughput
from bench.translate import translate

SCENARIOS: dict[str, Callable[[Options], list[dict[str, Any]]]] = {
    "throughput": throughput,
    "latency": latency,
    "streams": streams,
    "openloop": openloop,
    "startup": startup,
    "soak": soak,
    "outage": outage,
    "translate": translate,
    "everything": everything,
    "observed": observed,
    "sinks": sinks,
    "overload": overload,
}
IN_ALL = (
    "throughput", "latency", "streams", "openloop", "startup", "outage", "translate", "everything",
)  # fmt: skip
OWN = frozenset({"soak", "outage", "translate", "observed", "sinks", "overload"})
"""Scenarios that peers take no part in, unless they are named."""
PLAIN_WIDTH = 140  # for a pipe or a file, which tell no width
RESULTS = CHECKOUT / "bench" / "results" / "latest.json"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("scenario", type=click.Choice([*SCENARIOS, "all"]), default="all")
@click.option("--quick", is_flag=True, help="Short runs and the headline load only, for a change.")
@click.option(
    "--only", metavar="NAMES", help="Who takes part, such as `nginx,tidegate,smg`; direct always."
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option(
    "--streams", "stream_count", type=click.IntRange(1, 5000), default=500, show_default=True
)
@click.option(
    "--soak",
    "soak_minutes",
    type=click.FloatRange(0.1, 24 * 60),
    help="Add a soak of so many minutes (10 when the scenario is `soak`).",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=RESULTS,
    help="Where the figures go.  [default: bench/results/latest.json]",
)
def main(
    scenario: str,
    *,
    quick: bool,
    only: str | None,
    rounds: int,
    stream_count: int,
    soak_minutes: float | None,
    json_file: Path,
) -> None:
    """Measure Tidegate and its peers against the same mock and print the table.

    Each peer is installed once into an environment of its own under .bench/. All servers run on
    loopback, one process each, gateways on the first core, the mock and the load on the last.
    """
    signal.signal(signal.SIGTERM, _leave)  # so that the servers we started are ended too
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    warnings: list[str] = []

    def say(words: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')} {escape(words)}[/dim]", highlight=False)

    def warn(words: str) -> None:
        warnings.append(words)
        console.print(f"[bold yellow]{escape(words)}[/bold yellow]", highlight=False)

    names = list(SCENARIOS) if scenario == "all" else [scenario]
    if scenario == "all":
        names = [*IN_ALL]
    if soak_minutes is not None and "soak" not in names:
        names.append("soak")
    everybody, versions = _prepared(only or _usual(names), say, warn)
    options = Options(
        rounds=rounds,
        quick=quick,
        contenders=everybody,
        directory=fresh(home() / "run"),
        say=say,
        warn=warn,
        streams=stream_count,
        soak_minutes=soak_minutes or 10.0,
    )
    report: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions,
        "scenarios": {},
        "warnings": warnings,
    }
    for name in names:
        try:
            report["scenarios"][name] = SCENARIOS[name](options)
        except (DidNotStart, Unavailable) as missing:
            warn(f"{name} was not measured: {missing}")
        # Written after each scenario, so that an interrupted run still leaves what it had.
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + "\n")
    show(report, console)
    console.print(f"figures: {json_file}", highlight=False)
    if not any(report["scenarios"].values()):
        sys.exit(1)


def _usual(names: list[str]) -> str | None:
    """Who takes part in these scenarios if nobody says who; None is everybody."""
    if names == ["everything"]:
        return ",".join(EVERYTHING)
    return SUBJECT if OWN.issuperset(names) else None


def _prepared(
    only: str | None, say: Callable[[str], None], warn: Callable[[str], None]
) -> tuple[list[Contender], dict[str, str]]:
    known = contenders()
    wanted = (
        [name.strip() for name in only.split(",")]
        if only
        else [name for name in known if name not in BY_NAME_ONLY]
    )
    unknown = [name for name in wanted if name not in known and name != "direct"]
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}: not among direct, {', '.join(known)}", param_hint="--only"
        )
    ready: list[Contender] = []
    versions: dict[str, str] = {}
    for name, contender in known.items():
        if name not in wanted:
            continue
        say(f"preparing {name}")
        try:
            versions[name] = contender.prepare()
        except Unavailable as missing:
            warn(f"{name} is left out: {missing}")
            versions[name] = f"left out: {missing}"
        else:
            ready.append(contender)
    return ready, versions


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
