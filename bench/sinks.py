"""What a dead export costs: `python -m bench sinks`.

Two whole gateways (`tidegate serve`) before the same mock, each with a webhook for its records: of
one it lives, of the other nobody listens. They are asked by the clock in turns, and the one that
rests is frozen. Then somebody listens there too, while requests go on, and what came is held
against what was answered and against the store.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.arrivals import play
from bench.contenders import Tidegate
from bench.goals import ALIVE, DEAD
from bench.install import own_python
from bench.machine import listening
from bench.process import Server, cores, free_port, pinned
from bench.stage import Options, fixed_mock, fresh, mock_server, stage
from bench.stats import percentile, percentiles, summary
from bench.target import Target

RATE = 500
DEAD_S, QUICK_DEAD_S = 600.0, 30.0
ROUND_S, QUICK_ROUND_S, WARM_UP_S = 10.0, 5.0, 1.0
RETURN_S = 2.0
"""A round while the backlog is told; when one is over it is looked whether that is done."""
GIVE_UP_S = 900.0
PERCENTS = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9}


class Exporting(Tidegate):
    """All of Tidegate, with an export to a port."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name, whole=True)
        self.port = port

    def configuration(self, port: int, upstream: int) -> str:
        whole = json.loads(super().configuration(port, upstream))
        endpoint = f"http://127.0.0.1:{self.port}/"
        hook = {"kind": "webhook", "endpoint": endpoint, "allow_private": True}
        whole["exports"] = {"hook": hook}
        return json.dumps(whole, indent=2)


@dataclass
class _Seen:
    """What callers of one gateway saw."""

    latencies_ms: list[float] = field(default_factory=list[float])
    rounds: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """The same percentiles of each."""
    late_ms: list[float] = field(default_factory=list[float])
    answered: int = 0
    errors: int = 0
    noise: float = 0.0
    """Of the loudest round."""

    def play(
        self, target: Target, beside: Sequence[Server], seconds: float, warm_up_s: float = WARM_UP_S
    ) -> None:
        """Ask by the clock, and keep what came after the warm-up."""
        with pinned(cores()[1]), listening([target.server, *beside]) as noise:
            warm = play(target.port, target.request(), rate=RATE, seconds=warm_up_s)
            seen = play(target.port, target.request(), rate=RATE, seconds=seconds)
        self.noise = max(self.noise, noise.share)
        told = [1e3 * each for each in seen.latencies_s]
        self.latencies_ms += told
        self.rounds.append(_percentiles(told))
        self.late_ms += [1e3 * each for each in seen.sent_late_s]
        self.answered += len(warm.latencies_s) + len(told)
        self.errors += warm.errors + seen.errors

    def figures(self) -> dict[str, Any]:
        """Percentiles in ms, of all and of each round, and how late they were sent."""
        return {
            **_percentiles(self.latencies_ms),
            "rounds": self.rounds,
            "sent_late_p99_ms": percentile(self.late_ms, 99),
            "requests": len(self.latencies_ms),
            "noise": self.noise,
        }


def _percentiles(told_ms: list[float]) -> dict[str, float]:
    return dict(zip(PERCENTS, percentiles(told_ms, PERCENTS.values()), strict=True))


def sinks(options: Options) -> list[dict[str, Any]]:
    """A row for each gateway: latencies, what was lost or came twice, what the disk holds.

    The row of the dead one tells of its catching up besides, under the same load.
    """
    dead_s, round_s = (QUICK_DEAD_S, QUICK_ROUND_S) if options.quick else (DEAD_S, ROUND_S)
    rounds = max(1, round(dead_s / (round_s + WARM_UP_S)))
    directory = fresh(options.directory / "hooks")
    contenders = {name: Exporting(name, free_port()) for name in (ALIVE, DEAD)}
    seen = {name: _Seen() for name in contenders}
    both = replace(options, contenders=[*contenders.values()])
    with ExitStack() as running:
        taker = running.enter_context(_taking(contenders[ALIVE].port, directory / ALIVE))
        mock = running.enter_context(fixed_mock(options))
        everybody = running.enter_context(stage(both, mock))
        before = {name: _disk_bytes(target) for name, target in everybody.gateways.items()}
        for number in range(rounds):
            options.say(f"round {number + 1} of {rounds}")
            for name in (ALIVE, DEAD) if number % 2 else (DEAD, ALIVE):
                with everybody.alone(name) as target:
                    seen[name].play(target, [mock.server, taker], round_s)
        after = {name: _disk_bytes(target) for name, target in everybody.gateways.items()}
        told = {name: each.answered for name, each in seen.items()}
        options.say(f"{told[DEAD]:,} were answered with a dead sink; now it lives")
        with (
            _taking(contenders[DEAD].port, directory / DEAD) as taker,
            everybody.alone(DEAD) as target,
        ):
            beside = [mock.server, taker]
            back = _caught_up(target, beside, directory / DEAD, told[DEAD])
        with everybody.alone(ALIVE) as target:
            _until_told(target)
        rows: list[dict[str, Any]] = []
        for name, target in everybody.gateways.items():
            answered = told[name] + (back.seen.answered if name == DEAD else 0)
            rows.append(
                {
                    "name": name,
                    "rate": RATE,
                    "seconds": rounds * (round_s + WARM_UP_S),
                    "errors": seen[name].errors,
                    **_books(target, directory / name, answered),
                    "disk_bytes_per_request": (after[name] - before[name]) / told[name],
                    **seen[name].figures(),
                }
            )
            if name == DEAD:
                rows[-1]["back"] = back.figures()
    for row in rows:
        row["of_alive"] = {
            name: summary([dead[name] / alive[name] for dead, alive in
                           zip(row["rounds"], rows[0]["rounds"], strict=True)])._asdict()
            for name in PERCENTS
        }  # fmt: skip
    return rows


@dataclass
class _Back:
    """How a backlog was told."""

    records: int
    waited_s: float
    """Until the first of it came."""
    took_s: float
    """From then until the last of it."""
    seen: _Seen

    def figures(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "waited_s": self.waited_s,
            "took_s": self.took_s,
            "records_per_s": self.records / self.took_s if self.took_s else float("nan"),
            "errors": self.seen.errors,
            **self.seen.figures(),
        }


def _caught_up(target: Target, beside: Sequence[Server], file: Path, wanted: int) -> _Back:
    """Ask on until the backlog is told; then see that what was asked meanwhile is, too."""
    began_s, seen = time.monotonic(), _Seen()
    while time.monotonic() < began_s + GIVE_UP_S:
        seen.play(target, beside, RETURN_S, warm_up_s=0.0)
        if len(set(_heard(file))) >= wanted:
            break
    _until_told(target)
    first: dict[str, float] = {}
    for line in file.read_text().splitlines():
        name, _, at = line.partition(" ")
        first.setdefault(name, float(at))
    times = sorted(first.values())[:wanted]
    if not times:
        return _Back(0, float("nan"), float("nan"), seen)
    return _Back(len(times), times[0] - began_s, times[-1] - times[0], seen)


def _until_told(target: Target) -> None:
    """Return when nothing is left to be told, or nothing moves for too long."""
    port = json.loads((target.directory / "tidegate.yaml").read_text())["control"]["port"]
    until_s = time.monotonic() + GIVE_UP_S
    quiet = 0
    while quiet < 3 and time.monotonic() < until_s:  # records may be on their way to the store
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            standing = json.load(answer)["sinks"]["exports.hook"]
        told = not standing["behind"] and standing["failing"] is None and standing["sent"]
        quiet = quiet + 1 if told else 0
        time.sleep(1.0)


def _heard(file: Path) -> list[str]:
    return [line.partition(" ")[0] for line in file.read_text().splitlines()]


def _books(target: Target, file: Path, answered: int) -> dict[str, Any]:
    """What came, against the store and against how many were answered well."""
    with closing(sqlite3.connect(target.directory / "records.db")) as store:
        query = "SELECT request_id FROM records WHERE outcome = 'ok'"
        stored = {row[0] for row in store.execute(query)}
    heard = Counter(_heard(file))
    return {
        "answered": answered,
        "stored": len(stored),
        "lost": max(0, answered - len(stored)) + len(stored - heard.keys()),
        "never_asked": len(heard.keys() - stored),
        "came_twice": sum(count > 1 for count in heard.values()),
    }


def _disk_bytes(target: Target) -> int:
    """What store and spool of a gateway take."""
    places = [*target.directory.glob("records.db*"), *(target.directory / "spool").rglob("*")]
    return sum(path.stat().st_size for path in places if path.is_file())


@contextmanager
def _taking(port: int, file: Path) -> Generator[Server]:
    """Somebody takes records at `port`, and notes them in `file`, as long as the block lasts."""
    file.touch()
    argv = [own_python(), "-m", "bench.hook", str(port), str(file)]
    server = mock_server(argv, file.with_suffix(".log"), port)
    try:
        yield server
    finally:
        server.stop()
