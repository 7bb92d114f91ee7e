"""Goodput at and beyond what one gateway process can carry: `python -m bench overload`.

The gateway has a core of its own; nginx answers every request at once with the same long stream, so
that the gateway is what is scarce. Capacity is measured first, then requests come by the clock at
parts and multiples of it, whatever becomes of them. Good is an answer that is whole within the
deadline, counted from when the request was due. Nothing is asserted: it is a figure to look at.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench.contenders import Tidegate
from bench.goals import SUBJECT
from bench.install import tool
from bench.latency import complete
from bench.machine import listening
from bench.nginx import CONNECTIONS, FRAME
from bench.process import Server, cores, free_port, pinned
from bench.stage import Options, fresh, mock_server
from bench.stats import percentiles
from bench.steady import Steady
from bench.target import UPSTREAM_MODEL, Target

CHUNKS = 100
DEADLINE_S = 1.0
RUN_S = 8.0
SETTLE_S = 3.0
"""What is left out at the beginning of each run."""
FACTORS, QUICK = (0.5, 0.9, 1.5, 3.0, 5.0), (0.9, 5.0)
CLOSED = 32
END = b"\r\n0\r\n\r\n"

STREAM = """
    types {{ }}
    default_type text/event-stream;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            error_page 405 =200 $uri;
            root {directory};
            try_files /stream =404;
        }}
    }}
"""


def stream_mock(directory: Path, port: int) -> Server:
    """nginx, answering everything with one stream."""
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "model": UPSTREAM_MODEL}
    part = {"index": 0, "delta": {"content": " tide"}, "finish_reason": None}
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 180, "completion_tokens": CHUNKS, "total_tokens": 180 + CHUNKS}
    events: list[dict[str, Any]] = [{**head, "choices": [part]}] * CHUNKS
    events += [{**head, "choices": [last]}, {**head, "choices": [], "usage": usage}]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    (directory / "stream").write_text("".join(lines) + "data: [DONE]\n\n")
    inside = STREAM.format(directory=directory, port=port)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        FRAME.format(directory=directory, connections=CONNECTIONS, inside=inside)
    )
    argv = [tool("nginx"), "-c", str(configuration), "-e", "stderr"]
    return mock_server(argv, directory, port)


async def at_rate(port: int, request: bytes, rate: float) -> tuple[float, list[float], int]:
    """Good answers a second, their times, and how many were refused, at `rate`."""
    steady = Steady(port, request, max(1, round(rate)))
    loop = asyncio.get_running_loop()
    loop.call_later(RUN_S, steady.stop)
    began_s = time.time()
    await steady.run()
    counted = [each for each in steady.asked if each.due_s - began_s >= SETTLE_S]
    good = [
        each.ended_s - each.due_s
        for each in counted
        if each.failure is None and each.ended_s - each.due_s <= DEADLINE_S
    ]
    refused = sum("overloaded" in (each.failure or "") for each in counted)
    return len(good) / (RUN_S - SETTLE_S), good, refused


async def closed(port: int, request: bytes) -> float:
    """Answers a second with `CLOSED` callers who wait for theirs: the capacity."""
    ended, stopped = 0, False

    async def call() -> None:
        nonlocal ended
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while not stopped:
            writer.write(request)
            data = await reader.read(1 << 20)
            while data and not (complete(data) if data[9:12] != b"200" else data.endswith(END)):
                data += await reader.read(1 << 20)
            ended += data[9:12] == b"200"
        writer.close()

    calls = [asyncio.create_task(call()) for _ in range(CLOSED)]
    await asyncio.sleep(1.0)
    ended, began_s = 0, time.perf_counter()
    await asyncio.sleep(3.0)
    rate, stopped = ended / (time.perf_counter() - began_s), True
    await asyncio.gather(*calls)
    return rate


def overload(options: Options) -> list[dict[str, Any]]:
    """One row for each multiple of the capacity, the smallest first."""
    directory, port, upstream = fresh(options.directory / "overload"), free_port(), free_port()
    with ExitStack() as running:
        mock = stream_mock(fresh(directory / "mock"), upstream)
        running.callback(mock.stop)
        plan = Tidegate(SUBJECT).plan(fresh(directory / "gw"), port, upstream, streaming=True)
        gateway = Server(plan.argv, core=cores()[0], directory=directory / "gw", env=plan.env)
        running.callback(gateway.stop)
        gateway.wait_port(port, 30)
        request = Target(SUBJECT, port, plan.model, gateway, directory).request(stream=True)
        with pinned(cores()[1]):
            capacity = uvloop.run(closed(port, request))
            options.say(f"overload: capacity {capacity:.0f}/s, {CHUNKS} chunks each")
            rows: list[dict[str, Any]] = []
            for factor in QUICK if options.quick else FACTORS:
                options.say(f"overload, {factor:g} times the capacity")
                rows.append(_row(gateway, mock, port, request, factor * capacity))
                rows[-1] |= {"factor": factor, "capacity_per_s": capacity}
    best = max(row["good_per_s"] for row in rows)
    return [{**row, "of_best": row["good_per_s"] / best if best else math.nan} for row in rows]


def _row(gateway: Server, mock: Server, port: int, request: bytes, due: float) -> dict[str, Any]:
    """What became of requests at `due` a second."""
    began_s, cpu_s, served_s = time.perf_counter(), time.process_time(), gateway.cpu_s()
    with listening([gateway, mock]) as noise:
        rate, times, refused = uvloop.run(at_rate(port, request, due))
    took_s = time.perf_counter() - began_s
    gateway.check_alive()
    p50, p99 = percentiles([1e3 * each for each in times] or [math.nan], (50, 99))
    return {
        "name": SUBJECT,
        "good_per_s": rate,
        "p50_ms": p50,
        "p99_ms": p99,
        "refused": refused,
        "cpu": (gateway.cpu_s() - served_s) / took_s,
        "callers_cpu": (time.process_time() - cpu_s) / took_s,
        "noise": noise.share,
    }
