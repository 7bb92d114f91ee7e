"""The figures Tidegate has to reach, read out of a report; a pure function over its scenarios."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SUBJECT = "tidegate"
WHOLE = "tidegate-serve"
CONNECTIONS = 32

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
