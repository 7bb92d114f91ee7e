"""The figures Tidegate has to reach, read out of a report; a pure function over its scenarios."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SUBJECT = "tidegate"
WHOLE = "tidegate-serve"
ON = "tidegate-on"
OBSERVED = "tidegate-observed"
ON_SHARED = "tidegate-on-redis"
ALIVE, DEAD = "tidegate-sink", "tidegate-dead-sink"
CONNECTIONS = 32
FIRST_TOKEN_MS = 1000
"""The first-token timeout of the outage's targets."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure, what was measured and what is wanted."""

    figure: str
    measured: float
    wanted: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is reached; one that could not be measured is not."""
        if math.isnan(self.measured):
            return False
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


def goals(scenarios: dict[str, list[Row]]) -> list[Goal]:
    """Every goal the measured scenarios can say something about."""
    return [
        *_throughput(scenarios.get("throughput", [])),
        *_latency(scenarios.get("latency", [])),
        *_streams(scenarios.get("streams", [])),
        *_startup(scenarios.get("startup", [])),
        *_outage(scenarios.get("outage", [])),
        *_translate(scenarios.get("translate", [])),
        *_everything(scenarios.get("everything", [])),
        *_observed(scenarios.get("observed", [])),
        *_sinks(scenarios.get("sinks", [])),
        *_overload(scenarios.get("overload", [])),
    ]


def _throughput(rows: list[Row]) -> Iterator[Goal]:
    for row in rows:
        if row["name"] != SUBJECT or row["connections"] != CONNECTIONS:
            continue
        for peer, wanted in (("nginx", 0.45), ("smg", 1.3), ("portkey", 10.0), ("litellm", 100.0)):
            if peer in row["ratio_to"]:
                measured = row["ratio_to"][peer]["median"]
                figure = f"throughput of {peer}'s, {CONNECTIONS} connections"
                yield Goal(figure, measured, wanted, " x", at_least=True)


def _latency(rows: list[Row]) -> Iterator[Goal]:
    for row in rows:
        if row["name"] == SUBJECT:
            figure = f"added latency, one caller, {row['placement']}, median"
            yield Goal(figure, row["added_ms"]["estimate"], 0.2, " ms")


def _streams(rows: list[Row]) -> Iterator[Goal]:
    for row in rows:
        if row["name"] != SUBJECT:
            continue
        yield Goal("streams: late chunks", row["late"], 0)
        yield Goal("streams: lost chunks", row["lost"], 0)
        yield Goal(
            "streams: added inter-chunk delay, p99", row["added_gap_p99_ms"]["median"], 10, " ms"
        )
        yield Goal("streams: gateway CPU a chunk", row["cpu_us_per_chunk"]["median"], 15, " µs")
        yield Goal("streams: memory a stream", row["kib_per_stream"], 64, " KiB")
        yield Goal("streams: added time to first token", row["added_ttft_ms"]["median"], 1, " ms")


def _startup(rows: list[Row]) -> Iterator[Goal]:
    for row in rows:
        if row["name"] == WHOLE:
            yield Goal("`tidegate serve` to first answer", row["first_answer_s"]["median"], 1, " s")
        if row["name"] == SUBJECT:
            yield Goal("gateway to first answer", row["first_answer_s"]["median"], 1, " s")
            yield Goal("idle memory of the process", row["idle_mib"]["median"], 80, " MiB")


def _outage(rows: list[Row]) -> Iterator[Goal]:
    """The worst of the ways to die. Without a fallback the errors are no surprise."""
    kept = [row for row in rows if row["alias"] == "fallback"]
    guarded = [row for row in rows if row["alias"] != "no breaker"]
    if kept:
        lost = sum(row["errors"] for row in kept)
        yield Goal("outage with a fallback: errors that callers see", lost, 0)
    for figure, wanted, unit, subjects, words in (
        ("outage_p99_over_healthy_ms", FIRST_TOKEN_MS, " ms", kept, "first token p99 over healthy"),
        ("normal_after_s", 2, " s", kept, "p99 normal after the breaker opened"),
        ("calls_per_request", 1.1, "", guarded, "calls of the dead target a request"),
    ):
        if subjects:
            # What could not be measured is worst: max() would pass over it.
            worst = max(subjects, key=lambda row: _or_infinite(row[figure]["median"]))
            said = f"outage: {words} ({worst['fault']})"
            yield Goal(said, worst[figure]["median"], wanted, unit)


def _translate(rows: list[Row]) -> Iterator[Goal]:
    pairs = [row for row in rows if row["where"] == "in process" and row["translated"]]
    for figure, wanted, words in (("request_us", 40, "a request"), ("chunk_us", 8, "a chunk")):
        if pairs:
            worst = max(pairs, key=lambda row: _or_infinite(row[figure]["median"]))
            said = f"translation, {words}, {worst['caller']} for {worst['vendor']}"
            yield Goal(said, worst[figure]["median"], wanted, " µs")
        for row in rows:
            if row["where"] == "gateway":
                said = f"translation through a gateway, added CPU {words}"
                yield Goal(said, row[f"added_{figure}"], wanted, " µs")


def _everything(rows: list[Row]) -> Iterator[Goal]:
    """With limits, held money, bodies and metrics; one caller waits for Redis besides."""
    for row in rows:
        if "placement" in row:
            if row["name"] in (ON, ON_SHARED):
                figure = f"everything on: added latency, {row['name']}, {row['placement']}, median"
                wanted = 0.35 + row.get("redis_ms", 0.0)
                yield Goal(figure, row["added_ms"]["estimate"], wanted, " ms")
            continue
        for name, other, wanted, words in (
            (ON, "smg", 1.0, "of smg's with nothing on"),
            (ON, SUBJECT, 0.6, "of our own with everything off"),
            (ON_SHARED, ON, 0.5, "with Redis, of that without"),
        ):
            if row["name"] == name and other in row["ratio_to"]:
                figure = f"everything on: throughput {words}, {row['connections']} connections"
                yield Goal(figure, row["ratio_to"][other]["median"], wanted, " x", at_least=True)


def _observed(rows: list[Row]) -> Iterator[Goal]:
    """With masked bodies of every request."""
    for row in rows:
        if row["name"] == OBSERVED and SUBJECT in row["ratio_to"]:
            figure = f"masked bodies: throughput of without, {row['connections']} connections"
            measured = row["ratio_to"][SUBJECT]["median"]
            yield Goal(figure, measured, 0.85, " x", at_least=True)


def _sinks(rows: list[Row]) -> Iterator[Goal]:
    """While a sink is dead, and while it is told what it has missed."""
    for row in rows:
        yield Goal(f"sinks: records lost, {row['name']}", row["lost"], 0)
        yield Goal(f"sinks: requests that failed, {row['name']}", row["errors"], 0)
        if row["name"] == DEAD:
            for figure, wanted in (("p50_ms", 1.05), ("p99_ms", 1.25)):
                said = f"sinks: {figure.removesuffix('_ms')} of that with a live one, {DEAD}"
                yield Goal(said, row["of_alive"][figure]["median"], wanted, " x")
            yield Goal("sinks: requests that failed while it caught up", row["back"]["errors"], 0)


def _overload(rows: list[Row]) -> Iterator[Goal]:
    """At the highest load that was tried."""
    for row in sorted(rows, key=lambda each: each["factor"])[-1:]:
        figure = f"goodput at {row['factor']:g} times what a process carries, of its best"
        yield Goal(figure, row["of_best"], 0.9, " x", at_least=True)


def _or_infinite(measured: float) -> float:
    return math.inf if math.isnan(measured) else measured
