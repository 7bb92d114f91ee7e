"""Closed-loop throughput: wrk against direct and gateway in pairs, at several concurrencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench import wrk
from bench.machine import Noise, listening
from bench.process import cores
from bench.stage import Options, Stage, fixed_mock, stage
from bench.stats import rotated, summary
from bench.target import Target

HEADLINE_CONNECTIONS = 32
CONNECTIONS = (1, 16, HEADLINE_CONNECTIONS, 64, 256)
RUN_S, DIRECT_S = 5, 2
QUICK_RUN_S, QUICK_DIRECT_S = 4, 1


def throughput(options: Options) -> list[dict[str, Any]]:
    """One row for each contender and concurrency: medians of the rounds and their spread."""
    concurrencies = (HEADLINE_CONNECTIONS,) if options.quick else CONNECTIONS
    with fixed_mock(options) as mock, stage(options, mock) as everybody:
        return closed_loop(options, everybody, concurrencies)


def closed_loop(
    options: Options, everybody: Stage, concurrencies: Sequence[int]
) -> list[dict[str, Any]]:
    """The rounds, each with everybody in turn, and a row for each contender and concurrency."""
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for name in everybody.gateways:
        options.say(f"warming up {name}")
        with everybody.alone(name) as target:
            wrk.run(target, connections=16, seconds=target.warm_up_s, core=cores()[1])
    for number in range(options.rounds):
        for connections in concurrencies:
            for name in rotated(list(everybody.gateways), number):
                options.say(f"round {number + 1}, {connections} connections, {name}")
                direct, through = _pair(everybody, name, connections, quick=options.quick)
                runs.setdefault(("direct", connections), []).append(direct)
                runs.setdefault((name, connections), []).append(through)
    return [_row(name, connections, rounds, runs) for (name, connections), rounds in runs.items()]


def _pair(
    everybody: Stage, name: str, connections: int, *, quick: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    direct_s, run_s = (QUICK_DIRECT_S, QUICK_RUN_S) if quick else (DIRECT_S, RUN_S)
    direct = _run(everybody.direct, everybody.direct, connections, direct_s)
    with everybody.alone(name) as target:
        through = _run(target, everybody.direct, connections, run_s)
    return direct, through


def _run(target: Target, mock: Target, connections: int, seconds: float) -> dict[str, Any]:
    server = target.server
    servers = [server] if server is mock.server else [server, *target.beside, mock.server]
    before_s = server.cpu_s()
    with listening(servers) as noise:
        load = wrk.run(target, connections=connections, seconds=seconds, core=cores()[1])
    return _measured(load, server.cpu_s() - before_s, server.peak_rss_bytes(), noise)


def _measured(load: wrk.Load, cpu_s: float, peak_bytes: int, noise: Noise) -> dict[str, Any]:
    return {
        **load.as_dict(),
        "cpu_us_per_request": cpu_s / load.requests * 1e6 if load.requests else 0.0,
        "cpu_share": cpu_s / load.seconds,
        "peak_rss_mib": peak_bytes / 2**20,
        "noise": noise.share,
    }


def _row(
    name: str,
    connections: int,
    rounds: list[dict[str, Any]],
    runs: dict[tuple[str, int], list[dict[str, Any]]],
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "connections": connections}
    for figure in ("per_s", "p50_ms", "p99_ms", "cpu_us_per_request", "cpu_share", "peak_rss_mib"):
        row[figure] = summary([one[figure] for one in rounds])._asdict()
    row["spread"] = summary([one["per_s"] for one in rounds]).spread
    row["errors"] = sum(one["errors"] for one in rounds)
    row["noise"] = max(one["noise"] for one in rounds)
    row["rounds"] = rounds
    # What one core would do if nobody else were on it: steady even on a machine that is not quiet.
    cpu_us = row["cpu_us_per_request"]["median"]
    row["per_s_of_cpu"] = 1e6 / cpu_us if cpu_us else 0.0
    # Ratios are taken within a round, where both saw the same machine, then summed up.
    row["ratio_to"] = {
        other: summary(
            [a["per_s"] / b["per_s"] for a, b in zip(rounds, theirs, strict=True) if b["per_s"]]
        )._asdict()
        for (other, theirs_connections), theirs in runs.items()
        if theirs_connections == connections and len(theirs) == len(rounds) and other != name
    }
    return row
