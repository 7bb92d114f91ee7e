"""Hours in minutes: steady requests and streams for a long time; does the memory stay flat?

Requests come at a fixed moderate rate in turns with waves of streams, against Tidegate unless
others are named. The slope is fitted to all samples after the first tenth, and to the last half
alone, since allocators take a while to find their level.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from bench.arrivals import play
from bench.contenders import Contender
from bench.process import Server, cores, pinned
from bench.stage import Options, started, streaming_mock
from bench.stats import slope
from bench.streams import play_wave
from bench.target import Target

RATE = 400
REQUESTS_S = 20.0
STREAMS, LENGTH = 100, 200
GAP_MS, TTFT_MS = 25, 100
SAMPLE_S = 1.0
SETTLING = 0.1


def soak(options: Options) -> list[dict[str, Any]]:
    """One row for each gateway: resident memory over time and its slope."""
    asked_for = [one for one in options.contenders if one.name == "tidegate"]
    return [_soaked(one, options) for one in asked_for or options.contenders]


def _soaked(contender: Contender, options: Options) -> dict[str, Any]:
    minutes = options.soak_minutes
    row: dict[str, Any] = {"name": contender.name, "minutes": minutes, "requests": 0, "streams": 0}
    row["errors"] = 0
    with (
        streaming_mock(options, ttft_ms=TTFT_MS, gap_ms=GAP_MS, length=LENGTH) as mock,
        started(contender, mock, options) as target,
        _samples(target.server) as samples,
    ):
        deadline = time.perf_counter() + minutes * 60
        while (left_s := deadline - time.perf_counter()) > 0:
            options.say(
                f"soak, {contender.name}, {left_s / 60:.1f} min left, "
                f"{target.server.rss_bytes() / 2**20:.1f} MiB"
            )
            _turn(target, row, min(REQUESTS_S, left_s))
            contender.sweep(target.directory)
            target.server.check_alive()
    steady = [sample for sample in samples if sample[0] >= SETTLING * minutes]
    tail = [sample for sample in samples if sample[0] >= minutes / 2]
    row["rss_start_mib"] = samples[0][1] / 1024
    row["rss_end_mib"] = samples[-1][1] / 1024
    row["slope_kib_per_min"] = slope(*zip(*steady, strict=True))
    row["tail_slope_kib_per_min"] = slope(*zip(*tail, strict=True))
    row["samples_min_kib"] = samples
    return row


def _turn(target: Target, row: dict[str, Any], seconds: float) -> None:
    """A while of requests, then a wave of streams."""
    with pinned(cores()[1]):
        request = target.request(max_tokens=1)
        seen = play(target.port, request, rate=RATE, seconds=seconds)
        limit_s = (TTFT_MS + GAP_MS * LENGTH) / 1e3 * 2 + 5
        wave = play_wave(target.port, target.request(stream=True), STREAMS, limit_s)
    row["requests"] += len(seen.latencies_s)
    row["streams"] += STREAMS
    row["errors"] += seen.errors + sum(stream.failure is not None for stream in wave.streams)


@contextmanager
def _samples(server: Server) -> Generator[list[tuple[float, float]]]:
    """Minutes since the start and resident KiB, once a second while the block runs."""
    started_s = time.perf_counter()
    samples = [(0.0, server.rss_bytes() / 1024)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            samples.append(((time.perf_counter() - started_s) / 60, server.rss_bytes() / 1024))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()
