"""Many streams at once through one process: what the gateway adds to the pace of the tokens.

Waves of the same load go direct and through, in turns. A chunk's gap is the time since the chunk
before it in its stream; what is added is the difference to the same gap of the direct wave, chunk
by chunk, so jitter of the direct wave counts against the gateway too. A chunk is late when it
comes after its successor was due, which is a gap of more than twice the pace.
"""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import uvloop

from bench.machine import listening
from bench.process import Server, cores, pinned
from bench.stage import Options, Stage, stage, streaming_mock
from bench.stats import percentile, percentiles, summary
from bench.streamclient import Stream, Wave, wave
from bench.target import Target

GAP_MS = 25
TTFT_MS = 200
LENGTH, QUICK_LENGTH = 400, 200
WARM_UP_STREAMS = 8
SAMPLE_S = 0.2


def streams(options: Options) -> list[dict[str, Any]]:
    """One row for direct and one for each gateway: medians of the rounds."""
    length = QUICK_LENGTH if options.quick else LENGTH
    rounds = min(options.rounds, 2) if options.quick else options.rounds
    runs: dict[str, list[dict[str, Any]]] = {}
    kib: dict[str, float] = {}
    with (
        streaming_mock(options, ttft_ms=TTFT_MS, gap_ms=GAP_MS, length=length) as mock,
        stage(options, mock, streaming=True) as everybody,
    ):
        for name in everybody.gateways:
            for number in range(rounds):
                options.say(f"{options.streams} streams, round {number + 1}, direct and {name}")
                direct, through = _pair(everybody, name, options.streams, length)
                runs.setdefault("direct", []).append(direct)
                runs.setdefault(name, []).append(through)
            grown = max(run["peak_rss"] for run in runs[name]) - runs[name][0]["rest_rss"]
            kib[name] = grown / 1024 / options.streams
    return [
        _row(name, rounds, options.streams, kib.get(name, math.nan))
        for name, rounds in runs.items()
    ]


def _pair(
    everybody: Stage, name: str, count: int, length: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    direct_wave, direct = _run(everybody.direct, everybody.direct, count, length)
    with everybody.alone(name) as target:
        through_wave, through = _run(target, everybody.direct, count, length)
    through.update(_added(direct_wave, through_wave))
    return direct, through


def _run(target: Target, mock: Target, count: int, length: int) -> tuple[Wave, dict[str, Any]]:
    server = target.server
    limit_s = (TTFT_MS + GAP_MS * length) / 1e3 * 2 + 5
    request = target.request(stream=True)
    with pinned(cores()[1]):
        play_wave(target.port, target.request(stream=True, max_tokens=4), WARM_UP_STREAMS, limit_s)
        rest_rss = server.rss_bytes()
        before_s = server.cpu_s()
        others = [server] if server is mock.server else [server, mock.server]
        with listening(others) as noise, _peak(server) as peak:
            played = play_wave(target.port, request, count, limit_s)
    cpu_s = server.cpu_s() - before_s
    gaps_ms = [gap for stream in played.streams for gap in gaps(stream)]
    chunks = sum(len(stream.arrivals_s) for stream in played.streams)
    gap_p50, gap_p99 = percentiles(gaps_ms, (50, 99))
    failures = [stream.failure for stream in played.streams if stream.failure]
    return played, {
        "ttft_p50_ms": percentile(ttfts(played), 50),
        "gap_p50_ms": gap_p50,
        "gap_p99_ms": gap_p99,
        "gap_max_ms": max(gaps_ms, default=math.nan),
        "late": sum(gap > 2 * GAP_MS for gap in gaps_ms),
        "chunks": chunks,
        "lost": count * length - chunks,
        "failed": len(failures),
        "first_failure": failures[0] if failures else None,
        "cpu_us_per_chunk": cpu_s / chunks * 1e6 if chunks else math.nan,
        "cpu_share": cpu_s / played.seconds,
        "client_cpu_share": played.cpu_s / played.seconds,
        "rest_rss": rest_rss,
        "peak_rss": peak[0],
        "noise": noise.share,
    }


def play_wave(port: int, request: bytes, count: int, limit_s: float) -> Wave:
    """One wave, with our own garbage collector out of the way."""
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(wave(port, request, count, limit_s))
    finally:
        gc.enable()


def gaps(stream: Stream) -> list[float]:
    """Milliseconds between the chunks of a stream."""
    times = stream.arrivals_s
    return [(b - a) * 1e3 for a, b in pairwise(times)]


def ttfts(played: Wave) -> list[float]:
    """Milliseconds to the first token of each stream that had one."""
    return [
        (stream.arrivals_s[0] - stream.asked_s) * 1e3
        for stream in played.streams
        if stream.arrivals_s
    ]


def _added(direct: Wave, through: Wave) -> dict[str, Any]:
    """What the gateway added to each stream's first token and to each gap."""
    firsts: list[float] = []
    added: list[float] = []
    for one, other in zip(direct.streams, through.streams, strict=True):
        if one.arrivals_s and other.arrivals_s:
            first = other.arrivals_s[0] - other.asked_s - (one.arrivals_s[0] - one.asked_s)
            firsts.append(first * 1e3)
        added += [b - a for a, b in zip(gaps(one), gaps(other), strict=False)]
    p50, p99 = percentiles(added, (50, 99))
    return {
        "added_ttft_ms": percentile(firsts, 50),
        "added_gap_p50_ms": p50,
        "added_gap_p99_ms": p99,
    }


@contextmanager
def _peak(server: Server) -> Generator[list[int]]:
    """The largest resident memory seen while the block runs, in a list of one."""
    seen = [server.rss_bytes()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            seen[0] = max(seen[0], server.rss_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _row(
    name: str, rounds: list[dict[str, Any]], count: int, kib_per_stream: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "streams": count, "kib_per_stream": kib_per_stream}
    figures = ["ttft_p50_ms", "gap_p50_ms", "gap_p99_ms", "cpu_us_per_chunk", "cpu_share"]
    if name != "direct":
        figures += ["added_ttft_ms", "added_gap_p50_ms", "added_gap_p99_ms"]
    for figure in figures:
        row[figure] = summary([one[figure] for one in rounds])._asdict()
    for total in ("late", "lost", "failed"):
        row[total] = sum(one[total] for one in rounds)
    row["noise"] = max(one["noise"] for one in rounds)
    row["rounds"] = rounds
    return row
