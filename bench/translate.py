"""What it costs when caller and vendor speak different formats.

In process: everything a dialect does to a request before it is sent and to an answer before it is
passed on, JSON included, for each pair of formats; pairs of the same format show what passing on
costs. Through a gateway: the same load on two aliases, one provider speaking the caller's format
and one another, so that what is added is their difference.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import wrk
from bench.contenders import Arranged, upstream_provider
from bench.dialects import (
    CHUNKS,
    WHOLE_TOKENS,
    WIRES,
    Exchange,
    Vendor,
    at_once,
    exchange,
    vendors,
)
from bench.goals import SUBJECT
from bench.machine import listening
from bench.process import cores, pinned
from bench.stage import Options, started, streaming_mock
from bench.stats import pair_order, percentile, summary
from bench.streams import play_wave
from bench.target import ALIAS, UPSTREAM_MODEL, Target

ROUNDS, QUICK_ROUNDS = 25, 7
REPEATS = 200
FIRST_CHUNKS = 20
"""Chunks before the clock starts: the first ones hold what begins an answer."""
TIMED_CHUNKS = CHUNKS - 2 * FIRST_CHUNKS

SAME_FORMAT, TRANSLATED = "same", "translated"
ALIASES = {SAME_FORMAT: ALIAS, TRANSLATED: "translated"}
CONNECTIONS = 16
PAIRS, QUICK_PAIRS = 12, 6
RUN_S, QUICK_RUN_S = 2, 1
WAVE_PAIRS, QUICK_WAVE_PAIRS = 5, 3
STREAMS, QUICK_STREAMS = 400, 200
TOKENS, QUICK_TOKENS = 200, 100
GAP_MS, TTFT_MS = 25, 100


def translate(options: Options) -> list[dict[str, Any]]:
    """One row for each pair in process, then one for what a gateway's process spends."""
    return [*_in_process(options), _through(options)]


@dataclass(slots=True)
class _Pair:
    """A caller's format and a vendor, what is exchanged, and CPU times in microseconds so far."""

    wire: str
    vendor: Vendor
    plain: Exchange
    tools: Exchange
    stream: Exchange
    us: dict[str, list[float]]


def _in_process(options: Options) -> list[dict[str, Any]]:
    pairs = [
        _Pair(
            wire,
            vendor,
            exchange(wire, vendor),
            exchange(wire, vendor, tools=True),
            exchange(wire, vendor, stream=True),
            {},
        )
        for wire in WIRES
        for vendor in vendors()
    ]
    options.say(f"translation in process, {len(pairs)} pairs")
    with pinned(cores()[0]), listening([]) as noise, _collecting_like_a_gateway():
        # Each round goes over all pairs, so that they see the same moods of the machine.
        for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
            for pair in pairs:
                _time(pair)
    return [_row(pair, noise.share) for pair in pairs]


def _time(pair: _Pair) -> None:
    seen = {
        "ask_us": _cpu_us(pair.plain.say),
        "hear_us": _cpu_us(pair.plain.hear),
        "tools_us": _cpu_us(pair.tools.say) + _cpu_us(pair.tools.hear),
        "chunk_us": _chunk_us(pair.stream),
    }
    seen["request_us"] = seen["ask_us"] + seen["hear_us"]
    for figure, us in seen.items():
        pair.us.setdefault(figure, []).append(us)


def _cpu_us(work: Callable[[], object]) -> float:
    started_ns = time.thread_time_ns()
    for _ in range(REPEATS):
        work()
    return (time.thread_time_ns() - started_ns) / REPEATS / 1e3


def _chunk_us(stream: Exchange) -> float:
    answer = stream.answer()
    for _ in range(FIRST_CHUNKS):
        at_once(answer.read())
    started_ns = time.thread_time_ns()
    for _ in range(TIMED_CHUNKS):
        at_once(answer.read())
    return (time.thread_time_ns() - started_ns) / TIMED_CHUNKS / 1e3


@contextmanager
def _collecting_like_a_gateway() -> Generator[None]:
    """Python's garbage collector set as `tidegate.worker` sets it."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _row(pair: _Pair, noise: float) -> dict[str, Any]:
    figures = {figure: summary(us)._asdict() for figure, us in pair.us.items()}
    return {
        "name": SUBJECT,
        "where": "in process",
        "caller": pair.wire,
        "vendor": pair.vendor.name,
        "translated": not pair.plain.passes_on,
        **figures,
        "noise": noise,
    }


def _through(options: Options) -> dict[str, Any]:
    """CPU time of a gateway's process for each request and each streamed chunk."""
    tokens = QUICK_TOKENS if options.quick else TOKENS
    seconds = QUICK_RUN_S if options.quick else RUN_S
    streams = QUICK_STREAMS if options.quick else STREAMS

    def requests(target: Target) -> int:
        return wrk.run(target, connections=CONNECTIONS, seconds=seconds, core=cores()[1]).requests

    def chunks(target: Target) -> int:
        limit_s = (TTFT_MS + GAP_MS * tokens) / 1e3 * 2 + 5
        with pinned(cores()[1]):
            wave = play_wave(target.port, target.request(stream=True), streams, limit_s)
        return sum(len(stream.arrivals_s) for stream in wave.streams)

    with streaming_mock(options, ttft_ms=0, gap_ms=0, length=WHOLE_TOKENS) as fast:
        pairs = QUICK_PAIRS if options.quick else PAIRS
        request_us, loud = _by_turns(options, fast, "requests", pairs, requests)
    with streaming_mock(options, ttft_ms=TTFT_MS, gap_ms=GAP_MS, length=tokens) as paced:
        pairs = QUICK_WAVE_PAIRS if options.quick else WAVE_PAIRS
        chunk_us, louder = _by_turns(options, paced, "chunks", pairs, chunks)
    return {
        "name": SUBJECT,
        "where": "gateway",
        "caller": "chat",
        "vendor": "anthropic",
        "translated": True,
        **{f"{name}_request_us": summary(us)._asdict() for name, us in request_us.items()},
        **{f"{name}_chunk_us": summary(us)._asdict() for name, us in chunk_us.items()},
        "added_request_us": _added(request_us),
        "added_chunk_us": _added(chunk_us),
        "noise": max(loud, louder),
    }


def _by_turns(
    options: Options, mock: Target, what: str, pairs: int, play: Callable[[Target], int]
) -> tuple[dict[str, list[float]], float]:
    """CPU µs of the gateway for each of what `play` counts, by alias; and the noise meanwhile."""
    spent: dict[str, list[float]] = {SAME_FORMAT: [], TRANSLATED: []}
    loud = 0.0
    with started(_contender(mock), mock, options, streaming=True) as gateway:
        aliases = {name: replace(gateway, model=alias) for name, alias in ALIASES.items()}
        for target in aliases.values():
            play(target)  # to warm up
        for number, same_first in enumerate(pair_order(pairs)):
            for name in (SAME_FORMAT, TRANSLATED) if same_first else (TRANSLATED, SAME_FORMAT):
                options.say(f"{what} through a gateway, pair {number + 1}, {name}")
                before_s = gateway.server.cpu_s()
                with listening([gateway.server, mock.server]) as noise:
                    count = play(aliases[name])
                cpu_s = gateway.server.cpu_s() - before_s
                spent[name].append(cpu_s / count * 1e6 if count else math.nan)
                loud = max(loud, noise.share)
    return spent, loud


def _contender(mock: Target) -> Arranged:
    """One mock as two vendors: as one that speaks chat, and as Anthropic."""
    kinds = {SAME_FORMAT: "openai", TRANSLATED: "anthropic"}
    providers = {kind: upstream_provider(kind, mock.port) for kind in kinds.values()}
    models = {
        ALIASES[name]: {"targets": [{"provider": kind, "model": UPSTREAM_MODEL}]}
        for name, kind in kinds.items()
    }
    return Arranged(providers, models)


def _added(spent: dict[str, list[float]]) -> float:
    """The median over the pairs of what translation adds."""
    pairs = zip(spent[SAME_FORMAT], spent[TRANSLATED], strict=True)
    return percentile([translated - same for same, translated in pairs], 50)
