"""How fast a million records go into the store, and come out: `python -m bench.store`.

First a backlog, as it waits in the spool after an outage of the store at 500 requests a second;
then a whole month (`bench.dataset`), where nearly every record has sums of its own. What is timed
is the loader alone, from the segments to the commits. Then `tidegate log` is run with each filter
upon the month, as a person runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench.dataset import DAYS, configuration, fill, records
from bench.install import own_python, python_environment
from bench.machine import machine
from tidegate.store.records import RecordStore

WANTED_PER_S, WANTED_LOG_S = 20_000, 1.0
BACKLOG_RATE = 500
FILTERS = (
    ("--alias", "batch"),
    ("--key", "team-07-jobs"),
    ("--target", "anthropic"),
    ("--target", "groq/llama-3.3-70b"),
    ("--outcome", "rate_limited"),
    ("--errors",),
    ("--since", "1h"),
    ("--alias", "vision", "--errors"),
    ("--alias", "vision", "--key", "team-07-jobs", "--outcome", "upstream_timeout"),
    ("--key", "nobody"),
)
REPEATS = 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--records", "count", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--backlog", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option(
    "--postgres", metavar="URL", help="Measure a PostgreSQL server too: postgresql://USER@HOST."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    directory: Path, *, count: int, backlog: int, postgres: str | None, json_file: Path | None
) -> None:
    """Load records into stores in DIRECTORY, then ask `tidegate log`, and print what it took."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    report: dict[str, Any] = {"machine": machine(), "stores": {}}
    for kind in ("sqlite", *(["postgresql"] if postgres else [])):
        place = directory / kind
        url = _url_of(kind, place, postgres)
        report["stores"][kind] = {
            "backlog": _loaded(
                url("backlog"), place, backlog, backlog / BACKLOG_RATE / 86_400, kind
            ),
            "month": _loaded(url("month"), place, count, DAYS, kind),
            "log": _asked(url("month"), place),
        }
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1) + "\n")


def _url_of(kind: str, place: Path, server: str | None) -> Callable[[str], str]:
    place.mkdir(parents=True)
    if kind == "sqlite":
        return lambda name: f"sqlite:///{place.absolute()}/{name}.db"
    import psycopg  # noqa: PLC0415  an extra

    stamp = f"bench_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for name in ("backlog", "month"):
            connection.execute(f'CREATE DATABASE "{stamp}_{name}"'.encode())
    return lambda name: f"{server}/{stamp}_{name}"


def _loaded(url: str, place: Path, count: int, days: float, kind: str) -> dict[str, Any]:
    store = RecordStore(url)
    store.create()
    filled = fill(store, place / "spool", records(count, days=days))
    store.close()
    per_s = filled.records / filled.load_s
    click.echo(
        f"{kind}, {count:,} records of {days:.2f} days: {per_s:,.0f} records/s "
        f"(slowest segment {filled.slowest:,.0f}; wanted {WANTED_PER_S:,}), "
        f"{1e6 * filled.cpu_s / filled.records:.0f} µs of CPU each"
    )
    return {
        "records": count,
        "days": days,
        "records_per_s": per_s,
        "slowest_per_s": filled.slowest,
        "spool_bytes": filled.spool_bytes,
        "cpu_us_per_record": 1e6 * filled.cpu_s / filled.records,
    }


def _asked(url: str, place: Path) -> list[dict[str, Any]]:
    path = place / "tidegate.yaml"
    path.write_text(json.dumps(configuration(url)))
    rows: list[dict[str, Any]] = []
    for words in FILTERS:
        took_s = [_took_s(path, words) for _ in range(REPEATS)]
        worst = max(took_s)
        rows.append({"filter": " ".join(words), "seconds": took_s})
        fine = "" if worst <= WANTED_LOG_S else f"  over {WANTED_LOG_S:g} s"
        click.echo(f"  tidegate log {' '.join(words)}: {worst:.2f} s{fine}")
    return rows


def _took_s(path: Path, words: Sequence[str]) -> float:
    argv = [own_python(), "-m", "tidegate", "log", "--config", str(path), *words]
    began_s = time.perf_counter()
    env = {**os.environ, **python_environment()}
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=env)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
