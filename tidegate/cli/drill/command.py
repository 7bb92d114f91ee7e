"""The drill from start to end: what is drilled, the scenarios in turn, the verdict."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import click
import msgspec
import uvloop

from tidegate.cli.drill.screen import Screen, as_json
from tidegate.config.load import load
from tidegate.config.source import read
from tidegate.drill.load import Place
from tidegate.drill.run import Pressure, Result, play
from tidegate.drill.scenarios import NAMES, Scenario, named
from tidegate.drill.simulators import Absent, RemoteSimulator, fetch
from tidegate.drill.stage import OwnStage, RemoteStage, Stage
from tidegate.drill.staging import aliases

_KEY_VARIABLE = "TIDEGATE_DRILL_KEY"
_HTTPS_PORT, _HTTP_PORT = 443, 80
_OK = 200
_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@click.command
@click.option(
    "--scenario",
    "names",
    multiple=True,
    type=click.Choice(NAMES),
    help="Play only this one; may be given several times. Default: all.",
)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="The configuration to drill, simulated providers in the place of its own. With --target: "
    "the target's own, to check its records.  [default: tidegate.yaml]",
)
@click.option("--target", help="Drill this running gateway (http://HOST:PORT) instead.")
@click.option(
    "--simulators",
    default="",
    help="With --target: PROVIDER=http://HOST:PORT of each `tidegate simulate` behind it, by "
    "comma. The first one's provider is struck.",
)
@click.option(
    "--key",
    envvar=_KEY_VARIABLE,
    help=f"With --target: a key it accepts; ${_KEY_VARIABLE} if not given.",
)
@click.option(
    "--alias",
    "only",
    multiple=True,
    help="Ask only for this model; may be given several times. Default: all.",
)
@click.option(
    "--rate",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0.5, 2000),
    help="Requests a second, whatever becomes of them.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="How long each outage lasts.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep configurations, logs and records here. Default: only of a drill that failed.",
)
@click.option("--json", "as_object", is_flag=True, help="For programs: one JSON object.")
def drill(
    *,
    names: tuple[str, ...],
    path: Path | None,
    target: str | None,
    simulators: str,
    key: str | None,
    only: tuple[str, ...],
    rate: float,
    seconds: float,
    keep: Path | None,
    as_object: bool,
) -> None:
    """Play outages against a gateway under load, and say what held.

    It starts a gateway of its own with your configuration, in which every provider is replaced by
    simulated ones; nothing leaves this machine. Exits with 0 if everything held, with 1 if not.
    """
    scenarios, pressure = named(names), Pressure(rate, seconds)
    screen = Screen(scenarios, quiet=as_object)
    kept: Path | None = None
    if target is not None:
        opened = _remote(target, simulators, key, path, only)
    else:
        kept = keep or Path(tempfile.mkdtemp(prefix="tidegate-drill-"))
        opened = _own(path or Path("tidegate.yaml"), kept, only)
    try:
        with screen, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(_play_all(opened, scenarios, pressure, screen))
    except Absent as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    passed = all(result.passed is not False for result in results)
    if passed and keep is None and kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
        kept = None
    if as_object:
        said = msgspec.json.format(msgspec.json.encode(as_json(results, passed, kept)), indent=2)
        click.echo(said.decode())
    else:
        screen.verdict(results, passed=passed, kept=kept)
    sys.exit(0 if passed else 1)


async def _play_all(
    opened: Any, scenarios: Sequence[Scenario], pressure: Pressure, screen: Screen
) -> list[Result]:
    results: list[Result] = []
    async with opened as stage:
        for scenario in scenarios:
            result = await play(stage, scenario, pressure, screen.progress)
            screen.result(result)
            results.append(result)
    return results


@asynccontextmanager
async def _own(path: Path, directory: Path, only: Sequence[str]) -> AsyncGenerator[Stage]:
    """A stage with processes of our own."""
    document = _document(path, only)
    stage = OwnStage(document, directory, only)
    if not stage.runs:
        raise click.ClickException(f"{path} has no models to ask for, or no providers to strike.")
    try:
        await stage.open()
        yield stage
    finally:
        await stage.close()


@asynccontextmanager
async def _remote(
    target: str, simulators: str, key: str | None, path: Path | None, only: Sequence[str]
) -> AsyncGenerator[Stage]:
    """A stage somewhere else."""
    split = urlsplit(target)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise click.UsageError("--target is http://HOST:PORT or https://HOST:PORT")
    secure = split.scheme == "https"
    place = Place(
        split.hostname,
        split.port or (_HTTPS_PORT if secure else _HTTP_PORT),
        key,
        ssl.create_default_context() if secure else None,
    )
    found = _simulators(simulators)
    config = load(path) if path is not None else None
    asked = list(only) or (aliases(_document(path, ())) if path else await _models(place))
    yield RemoteStage(place, found, asked, config)


def _simulators(text: str) -> list[RemoteSimulator]:
    found: list[RemoteSimulator] = []
    for each in filter(None, (one.strip() for one in text.split(","))):
        name, equals, url = each.partition("=")
        try:
            found.append(RemoteSimulator(name if equals else each, url if equals else each))
        except ValueError as wrong:
            raise click.UsageError(f"--simulators: {wrong}") from wrong
    if not found:
        raise click.UsageError("--target needs --simulators: nothing else can fail on demand")
    return found


async def _models(place: Place) -> list[str]:
    """The models that the target says it has."""
    if place.tls is not None:
        raise click.UsageError("--target with https needs --alias or --config")
    headers = {"authorization": f"Bearer {place.key}"} if place.key else {}
    status, body = await fetch(place.host, place.port, "GET", "/v1/models", b"", headers=headers)
    if status != _OK:
        raise click.ClickException(
            f"{place.host}:{place.port} said {status} when asked for its models; is --key right?"
        )
    names = [each["id"] for each in msgspec.json.decode(body)["data"]]
    return [name.replace("*", "drill") for name in names]


def _document(path: Path, only: Sequence[str]) -> dict[str, Any]:
    """The configuration as it stands in its file, secrets not looked up."""
    try:
        source = read(path.read_text(encoding="utf-8-sig"), os.fspath(path))
    except OSError as error:
        raise click.ClickException(f"Cannot read {path}: {error.strerror}.") from error
    if source.mistakes or not isinstance(source.value, dict):
        raise click.ClickException(f"{path} is not a configuration; `tidegate check` tells why.")
    document = cast("dict[str, Any]", source.value)
    unknown = [name for name in only if name not in (document.get("models") or {})]
    if unknown:
        raise click.UsageError(f"--alias: {path} has no model {', '.join(unknown)}")
    return document
