"""What keys, limits, held money, records with bodies and metrics cost together, here and in Redis.

Tidegate with nothing of it on, with all of it, with all of it counted in Redis, and smg with
nothing on: one process each, in the same rounds. Then one caller, and beside it the round trip that
an answer of Redis takes anybody.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.contenders import (
    KEY,
    Beside,
    Contender,
    Plan,
    Smg,
    Tidegate,
    Tree,
    tree,
    upstream_provider,
)
from bench.goals import ON, ON_SHARED, SUBJECT
from bench.install import Unavailable, own_python, tool
from bench.latency import one_caller, placements
from bench.process import free_port, pinned
from bench.stage import Options, fixed_mock, stage
from bench.target import ALIAS, UPSTREAM_MODEL
from bench.throughput import HEADLINE_CONNECTIONS, closed_loop

NAMES = (SUBJECT, Smg.name)
"""Who else takes part."""
LIMITED: Tree = {
    "limits": {
        "requests_per_minute": 10**9,
        "tokens_per_minute": 10**12,
        "concurrency": 10**6,
    },
    "budget": {"usd": 1_000_000, "period": "month"},
}
"""What is counted on each scope; nobody gets near it."""
PINGS = 1000


class Everything(Tidegate):
    """Tidegate with all that it can do on a plain request.

    The control process tells it what has been spent, and goes then, as it would only load records.
    """

    def __init__(self, name: str, *, shared: bool = False) -> None:
        """`shared` counts in a Redis of its own."""
        super().__init__(name)
        self.redis_port = free_port() if shared else None

    def prepare(self) -> str:
        if self.redis_port is not None:
            tool("redis-server")
        return super().prepare()

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        plan = super().plan(directory, port, upstream, streaming=streaming)
        configuration = directory / "tidegate.yaml"
        beside: list[Beside] = []
        if self.redis_port is not None:
            redis = [tool("redis-server"), "--port", str(self.redis_port), "--save", ""]
            beside.append(Beside("redis", redis, self.redis_port))
        control = [own_python(), "-m", "tidegate.control", "--config", str(configuration)]
        control_port = json.loads(configuration.read_text())["control"]["port"]
        beside.append(Beside("control", control, control_port, stays=False))
        return replace(plan, headers={"x-tidegate-conversation": "bench"}, beside=beside)

    def configuration(self, port: int, upstream: int) -> str:
        """All eight scopes are limited, and the model has a price, so that money is held."""
        owner = {"user": "ann", "team": "core", "features": ["chat"]}
        target = {
            "provider": "mock",
            "model": UPSTREAM_MODEL,
            "price": {"input": "$1/M", "output": "$2/M"},
        }
        kinds = ("user", "feature", "alias", "provider", "conversation")
        whole = tree(
            port,
            {"mock": upstream_provider("openai", upstream)},
            {ALIAS: {"targets": [target]}},
            [{"name": "bench", "secret": KEY, **owner, **LIMITED}],
        )
        whole |= {
            "records": {"bodies": "full"},
            "organisations": {"acme": LIMITED},
            "teams": {"core": {"organisation": "acme", **LIMITED}},
            "limits": [{"scope": kind, **LIMITED} for kind in kinds],
        }
        if self.redis_port is not None:
            whole["shared"] = {"url": f"redis://127.0.0.1:{self.redis_port}", "timeout": "1s"}
        return json.dumps(whole, indent=2)


def everything(options: Options) -> list[dict[str, Any]]:
    """Rows of the closed loop, then rows of one caller, which have a `placement`."""
    taking_part = [each for each in options.contenders if each.name in NAMES]
    shared = Everything(ON_SHARED, shared=True)
    for contender in (Everything(ON), shared):
        try:
            contender.prepare()
        except Unavailable as missing:
            options.warn(f"{contender.name} is left out: {missing}")
        else:
            taking_part.append(contender)
    with (
        fixed_mock(options) as mock,
        stage(replace(options, contenders=_in_order(taking_part)), mock) as everybody,
    ):
        rows = closed_loop(options, everybody, (HEADLINE_CONNECTIONS,))
        ours = [name for name in everybody.gateways if name in (SUBJECT, ON, ON_SHARED)]
        callers = one_caller(options, everybody, ours)
        if ON_SHARED in ours and shared.redis_port is not None:
            trips_ms = {name: _ping_ms(shared.redis_port, core) for name, core in placements()}
            for row in callers:
                if row["name"] == ON_SHARED:
                    row["redis_ms"] = trips_ms[row["placement"]]
    return [*rows, *callers]


def _in_order(contenders: Sequence[Contender]) -> list[Contender]:
    """smg first, then Tidegate with ever more on."""
    order = (Smg.name, SUBJECT, ON, ON_SHARED)
    return sorted(contenders, key=lambda each: order.index(each.name))


def _ping_ms(port: int, core: int) -> float:
    """The median round trip to Redis from `core`."""
    took_s: list[float] = []
    with pinned(core), closing(socket.create_connection(("127.0.0.1", port), 5.0)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(PINGS):
            began_s = time.perf_counter()
            line.sendall(b"PING\r\n")
            line.recv(64)
            took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s) * 1e3
