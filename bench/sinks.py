"""What a dead export costs: `python -m bench.sinks`.

Two whole gateways (`tidegate serve`) before the same mock: one exports nothing, the other to a
webhook where nobody listens. They are asked by the clock in turns, the one that rests is frozen.
Then somebody listens, and what comes is held against what was answered.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import msgspec

from bench.arrivals import play
from bench.contenders import Tidegate
from bench.goals import SUBJECT
from bench.install import home
from bench.process import cores, free_port, pinned
from bench.stage import Options, fixed_mock, fresh, stage
from bench.stats import percentiles
from bench.target import Target

ROUND_S, WARM_UP_S = 10.0, 1.0
WITHOUT, DEAD = SUBJECT, "tidegate-dead-sink"
POLL_S = 0.2
GIVE_UP_S = 900.0


class Exporting(Tidegate):
    """All of Tidegate, with an export to a port."""

    def __init__(self, port: int) -> None:
        super().__init__(DEAD, whole=True)
        self._to = port

    def configuration(self, port: int, upstream: int) -> str:
        whole = json.loads(super().configuration(port, upstream))
        endpoint = f"http://127.0.0.1:{self._to}/"
        whole["exports"] = {
            "hook": {"kind": "webhook", "endpoint": endpoint, "allow_private": True}
        }
        return json.dumps(whole, indent=2)


class _Named(msgspec.Struct):
    request_id: str
    outcome: str = "ok"


@dataclass
class Heard:
    """What came: how often each record that ended well."""

    ok: dict[str, int] = field(default_factory=dict[str, int])
    size_bytes: int = 0


@contextmanager
def listening(port: int) -> Generator[Heard]:
    """Somebody who takes all lines, as long as the block lasts."""
    heard, decode = Heard(), msgspec.json.Decoder(_Named).decode

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.size_bytes += len(body)
            for line in body.splitlines():
                record = decode(line)
                if record.outcome == "ok":
                    heard.ok[record.request_id] = heard.ok.get(record.request_id, 0) + 1
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield heard
        finally:
            server.shutdown()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rate", type=click.IntRange(1, 5000), default=500, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0.2, 120),
    default=10.0,
    show_default=True,
    help="How long the sink is dead while requests come; as long again goes without it.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(*, rate: int, minutes: float, json_file: Path | None) -> None:
    """Ask two gateways in turns, one with a dead sink; then let the sink live."""
    sink = free_port()
    options = Options(
        rounds=max(1, round(minutes * 60 / ROUND_S)),
        quick=False,
        contenders=[Tidegate(WITHOUT, whole=True), Exporting(sink)],
        directory=fresh(home() / "sinks"),
        say=lambda words: click.echo(f"{time.strftime('%H:%M:%S')} {words}"),
        warn=click.echo,
    )
    report = measured(options, rate, sink)
    click.echo(json.dumps(report, indent=1))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1) + "\n")


def measured(options: Options, rate: int, sink: int) -> dict[str, Any]:
    """Latencies with and without the dead sink, what was lost, and how long catching up took."""
    latencies: dict[str, list[float]] = {WITHOUT: [], DEAD: []}
    late: dict[str, list[float]] = {WITHOUT: [], DEAD: []}
    errors = answered = 0
    with fixed_mock(options) as mock, stage(options, mock) as everybody:
        for number in range(options.rounds):
            options.say(f"round {number + 1} of {options.rounds}")
            for name in (WITHOUT, DEAD) if number % 2 else (DEAD, WITHOUT):
                with everybody.alone(name) as target, pinned(cores()[1]):
                    warm = play(target.port, target.request(), rate=rate, seconds=WARM_UP_S)
                    seen = play(target.port, target.request(), rate=rate, seconds=ROUND_S)
                latencies[name] += [1e3 * each for each in seen.latencies_s]
                late[name] += [1e3 * each for each in seen.sent_late_s]
                errors += seen.errors + warm.errors
                if name == DEAD:
                    answered += len(seen.latencies_s) + len(warm.latencies_s)
        options.say(f"{answered:,} were answered with a dead sink; now it lives")
        with listening(sink) as heard, everybody.alone(DEAD) as target:
            took_s = _caught_up(target, heard, answered)
    return {
        "rate": rate,
        "seconds_dead": options.rounds * (ROUND_S + WARM_UP_S),
        "errors": errors,
        "answered": answered,
        "lost": answered - min(answered, len(heard.ok)),
        "came_twice": sum(count > 1 for count in heard.ok.values()),
        "caught_up_s": took_s,
        "caught_up_records_per_s": len(heard.ok) / took_s,
        **{
            name: dict(zip(("p50_ms", "p90_ms", "p99_ms", "p999_ms"),
                           percentiles(told, (50, 90, 99, 99.9)), strict=True))
            | {"sent_late_p99_ms": percentiles(late[name], (99,))[0]}
            for name, told in latencies.items()
        },
    }  # fmt: skip


def _caught_up(target: Target, heard: Heard, wanted: int) -> float:
    """Seconds until the sink has everything, or says that nothing is left."""
    began_s = time.perf_counter()
    port = json.loads((target.directory / "tidegate.yaml").read_text())["control"]["port"]
    while time.perf_counter() < began_s + GIVE_UP_S:
        if len(heard.ok) >= wanted:
            break
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            standing = json.load(answer)["sinks"]["exports.hook"]
        if not standing["behind"] and standing["failing"] is None and standing["sent"]:
            break
        time.sleep(POLL_S)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
