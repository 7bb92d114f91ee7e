"""`tidegate export`: dashboards, rules and routes for other tools, from our own definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from tidegate.cli.admin.options import as_json
from tidegate.cli.admin.screen import print_json, say
from tidegate.config.load import load
from tidegate.control.generated.alertmanager import CONFIG, routes
from tidegate.control.generated.grafana import DASHBOARDS, dashboard
from tidegate.control.generated.prometheus import RULES, rules


@click.group()
def export() -> None:
    """Write what other tools watch Tidegate with."""


_config = click.option(
    "--config", "config", type=click.Path(path_type=Path), default="tidegate.yaml",
    show_default=True, help="The configuration, which tunes rules and names sinks.",
)  # fmt: skip
_out = click.option(
    "--out", "out", type=click.Path(path_type=Path, file_okay=False), default=".",
    show_default=True, help="The directory to write into; made if it is not there.",
)  # fmt: skip


@export.command
@_out
@as_json
def grafana(out: Path, *, as_json: bool) -> None:
    """Write dashboards for Grafana: overview, cost, reliability, limits, quality."""
    made = {
        f"tidegate-{name}.json": json.dumps(dashboard(name), indent=2) + "\n" for name in DASHBOARDS
    }
    _write(made, out, as_json=as_json)


@export.command
@_config
@_out
@as_json
def prometheus(config: Path, out: Path, *, as_json: bool) -> None:
    """Write recording and alerting rules for Prometheus, as the rules are tuned."""
    settings = load(config).alerts.value()
    _write({RULES: rules(settings.rules, settings.terms)}, out, as_json=as_json)


@export.command
@_config
@_out
@as_json
def alertmanager(config: Path, out: Path, *, as_json: bool) -> None:
    """Write routes and receivers for Alertmanager; it names files for what is secret."""
    _write({CONFIG: routes(load(config).alerts.value())}, out, as_json=as_json)


def _write(files: Mapping[str, str], out: Path, *, as_json: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"Cannot write into {out}: {error.strerror}.") from error
    paths = [str(out / name) for name in files]
    if as_json:
        print_json({"files": paths})
    else:
        say("\n".join(f"Wrote {path}" for path in paths))
