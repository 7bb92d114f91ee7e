"""Added latency for one caller: blocking sockets, direct and gateway taking turns in each pair.

Measured in two placements, since one caller leaves every core idle in between. `apart`: the gateway
has a core of its own, so that going through it wakes a sleeping core twice, which going direct does
not. `one core`: everybody shares one, which leaves the work that the gateway does.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from bench.machine import listening
from bench.process import cores, pinned
from bench.stage import Options, Stage, fixed_mock, stage
from bench.stats import pair_order, paired_difference, percentiles
from bench.target import Target

WARM_UP, PAIRS, QUICK_PAIRS = 200, 5000, 1500
BUDGET_S, QUICK_BUDGET_S = 20.0, 8.0
ANSWER_TIMEOUT_S = 30.0


class Line:
    """One kept connection that asks the same question again and again."""

    def __init__(self, target: Target) -> None:
        self._request = target.request()
        self._socket = socket.create_connection(("127.0.0.1", target.port), ANSWER_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> float:
        """Seconds from the first byte sent to the last byte read; ValueError unless 200."""
        started = time.perf_counter()
        self._socket.sendall(self._request)
        data = self._socket.recv(65536)
        while not complete(data):
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(f"closed in mid-answer after {data[:200]!r}")
            data += more
        took = time.perf_counter() - started
        if not data.startswith(b"HTTP/1.1 200"):
            raise ValueError(data[:300].decode(errors="replace"))
        return took

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def complete(data: bytes) -> bool:
    """Whether `data` holds one whole HTTP/1.1 answer, by its length or its last chunk."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return len(data) >= end + 4 + length
    return data.endswith(b"0\r\n\r\n")


def latency(options: Options) -> list[dict[str, Any]]:
    """One row for each gateway: the paired difference to direct, its interval, and percentiles."""
    with fixed_mock(options) as mock, stage(options, mock) as everybody:
        return one_caller(options, everybody, list(everybody.gateways))


def one_caller(options: Options, everybody: Stage, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each of `names` and each placement; they end up on the core of the load."""
    rows: list[dict[str, Any]] = []
    for name in names:
        for placement, core in placements():
            options.say(f"one caller, {name}, {placement}")
            with everybody.alone(name) as target, pinned(cores()[1]):
                target.server.move(core)
                seen = _measured(target, everybody.direct, quick=options.quick)
                rows.append({"name": name, "placement": placement, **seen})
    return rows


def placements() -> tuple[tuple[str, int], ...]:
    """Where the gateway runs while it has one caller, who is always on the core of the load."""
    return ("apart", cores()[0]), ("one core", cores()[1])


def _measured(target: Target, mock: Target, *, quick: bool) -> dict[str, Any]:
    order = pair_order(QUICK_PAIRS if quick else PAIRS)
    direct_s: list[float] = []
    through_s: list[float] = []
    with closing(Line(mock)) as direct, closing(Line(target)) as through:
        deadline = time.perf_counter() + (QUICK_BUDGET_S if quick else BUDGET_S)
        for _ in range(WARM_UP):
            direct.ask()
            through.ask()
            if time.perf_counter() > deadline - (QUICK_BUDGET_S if quick else BUDGET_S) / 2:
                break
        with listening([target.server, *target.beside, mock.server]) as noise:
            for direct_first in order:
                if direct_first:
                    direct_s.append(direct.ask())
                through_s.append(through.ask())
                if not direct_first:
                    direct_s.append(direct.ask())
                if time.perf_counter() > deadline:
                    break
    p50, p90, p99 = (1e3 * value for value in percentiles(through_s, (50, 90, 99)))
    direct_p50, direct_p99 = (1e3 * value for value in percentiles(direct_s, (50, 99)))
    added = paired_difference([1e3 * s for s in direct_s], [1e3 * s for s in through_s])
    return {
        "pairs": len(through_s),
        "added_ms": added._asdict(),
        "direct_p50_ms": direct_p50,
        "direct_p99_ms": direct_p99,
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "noise": noise.share,
    }
