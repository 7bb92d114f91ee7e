"""Latency at fixed rates of arrival, counted from the moment each request was due.

A slow answer does not hold back the next request: arrivals come by the clock, a request that finds
no free connection dials one, and one that cannot even be sent waits with its own clock running
(no coordinated omission).
"""

from __future__ import annotations

import gc
from typing import Any

from bench.arrivals import Arrivals, play
from bench.machine import listening
from bench.process import cores, pinned
from bench.stage import Options, fixed_mock, stage
from bench.stats import percentiles, rotated
from bench.target import Target

RATES = (250, 500, 1000, 2000, 4000, 8000)
QUICK_RATES = (500, 2000)
RUN_S, QUICK_RUN_S = 8.0, 4.0
WARM_UP_S = 1.0
HOPELESS = 0.5
"""A contender that answers less than this share of a rate is spared the higher ones."""


def openloop(options: Options) -> list[dict[str, Any]]:
    """One row for each contender and rate: the percentiles of all rounds' latencies together."""
    rates = QUICK_RATES if options.quick else RATES
    seconds = QUICK_RUN_S if options.quick else RUN_S
    played: dict[tuple[str, int], list[tuple[Arrivals, float]]] = {}
    hopeless: dict[str, int] = {}
    with fixed_mock(options) as mock, stage(options, mock) as everybody:
        for number in range(1 if options.quick else options.rounds):
            for rate in rates:
                for name in ("direct", *rotated(list(everybody.gateways), number)):
                    if rate > hopeless.get(name, rate):
                        continue
                    options.say(f"open loop, round {number + 1}, {rate}/s, {name}")
                    if name == "direct":
                        seen = _run(mock, mock, rate, seconds)
                    else:
                        with everybody.alone(name) as target:
                            seen = _run(target, mock, rate, seconds)
                    played.setdefault((name, rate), []).append(seen)
                    if len(seen[0].latencies_s) < HOPELESS * seen[0].due:
                        hopeless[name] = rate
    return [_row(name, rate, runs) for (name, rate), runs in played.items()]


def _run(target: Target, mock: Target, rate: int, seconds: float) -> tuple[Arrivals, float]:
    servers = [mock.server] if target is mock else [mock.server, target.server]
    request = target.request()
    gc.collect()
    gc.disable()
    try:
        with pinned(cores()[1]):
            play(target.port, request, rate=min(rate, 200), seconds=WARM_UP_S)
            with listening(servers) as noise:
                seen = play(target.port, request, rate=rate, seconds=seconds)
    finally:
        gc.enable()
    return seen, noise.share


def _row(name: str, rate: int, runs: list[tuple[Arrivals, float]]) -> dict[str, Any]:
    latencies_ms = [1e3 * latency for run, _ in runs for latency in run.latencies_s]
    late_ms = [1e3 * late for run, _ in runs for late in run.sent_late_s]
    p50, p90, p99, p999, most = percentiles(latencies_ms, (50, 90, 99, 99.9, 100))
    due = sum(run.due for run, _ in runs)
    return {
        "name": name,
        "rate": rate,
        "due": due,
        "kept": len(latencies_ms) / due,
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "p999_ms": p999,
        "max_ms": most,
        "curve_ms": dict(
            zip(
                ("1", "10", "25", "50", "75", "90", "95", "99", "99.5", "99.9"),
                percentiles(latencies_ms, (1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9)),
                strict=True,
            )
        ),
        "sent_late_p99_ms": percentiles(late_ms, (99,))[0],
        "errors": sum(run.errors for run, _ in runs),
        "noise": max(noise for _, noise in runs),
    }
