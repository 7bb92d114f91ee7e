"""What admission through Redis costs: `python -m bench.admission_shared [--driver]`.

Eight scopes, each with requests and tokens per minute, concurrency and a monthly budget: the worst
case of one request. A request is `admit` and `settle`. One process on uvloop, a Redis of its own
on the same machine over loopback; printed for 1, 16 and 64 requests in flight: requests per second,
CPU of this process and of Redis, and the time that `admit` takes. With `--driver` also what a
script that does nothing costs over our line, and when redis-py asks.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import redis.asyncio
import uvloop

from bench.admission import LIMITS
from tidegate.admission.engine import Ask, Spent
from tidegate.admission.shared import Shared, SharedSettings
from tidegate.admission.shared_scripts import Script
from tidegate.limits import KINDS, Rule, Scope

REQUESTS, ROUNDS = 2_000, 5
IN_FLIGHT = (1, 16, 64)
SCOPES: tuple[Scope, ...] = tuple((kind, f"{kind}-name") for kind in KINDS)
SPENT = (Spent("provider-name", 900, 1_000),)
EMPTY = Script("return 1")
TICKS = os.sysconf("SC_CLK_TCK")


class Asked:
    """A question, and a future for its answer."""

    def __init__(self, command: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self.command = command
        self.deadline_s = loop.time() + 10.0
        self.done = False
        self.future: asyncio.Future[object] = loop.create_future()

    def answered(self, answer: object) -> None:
        self.future.set_result(answer)

    def overdue(self) -> None:
        self.future.cancel()

    def broken(self, why: str) -> None:
        self.future.set_exception(ConnectionError(why))


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
        fields = stat.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(
    name: str, in_flight: int, pid: int, request: Callable[[int], Awaitable[float]]
) -> None:
    """Print what `request`, which returns the seconds until it was admitted, costs."""
    rates: list[float] = []
    waits: list[float] = []
    own_s = theirs_s = 0.0
    for turn in range(ROUNDS):

        async def some(first: int, turn: int = turn) -> None:
            waits.extend(
                [
                    await request(turn * REQUESTS + number)
                    for number in range(first, REQUESTS, in_flight)
                ]
            )

        own_before, theirs_before, began = own_cpu_s(), cpu_s(pid), time.perf_counter()
        await asyncio.gather(*(some(first) for first in range(in_flight)))
        rates.append(REQUESTS / (time.perf_counter() - began))
        own_s += own_cpu_s() - own_before
        theirs_s += cpu_s(pid) - theirs_before
    waits.sort()
    count = REQUESTS * ROUNDS
    print(
        f"{name}, {in_flight:2} in flight: {statistics.median(rates):6.0f} requests/s,"
        f" CPU {own_s / count * 1e6:4.0f} µs here and {theirs_s / count * 1e6:4.0f} µs in Redis,"
        f" admit takes {waits[count // 2] * 1e6:5.0f} µs (p99 {waits[count * 99 // 100] * 1e6:.0f})"
    )


async def run(port: int, pid: int, *, driver: bool) -> None:
    engine = Shared(
        f"redis://127.0.0.1:{port}", [Rule(kind, LIMITS) for kind in KINDS],
        settings=SharedSettings(timeout_s=10.0), needs_balances=lambda: engine.restore(()),
    )  # fmt: skip
    running = asyncio.create_task(engine.run())
    while not engine.link.is_up or engine.incomplete:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    async def ours(number: int) -> float:
        ask = Ask(f"req_{number}", SCOPES, 1_000, 5_000, time.time_ns(), 60.0)
        began = time.perf_counter()
        ticket = await engine.admit(ask)
        took = time.perf_counter() - began
        engine.settle(ticket, SPENT)
        return took

    client = redis.asyncio.Redis(port=port, protocol=2, max_connections=max(IN_FLIGHT))
    empty = EMPTY.call((b"{bench}:nothing",), ())

    async def asked(_: int) -> float:
        """The least that there is to ask, over our line."""
        question = Asked(empty, asyncio.get_running_loop())
        began = time.perf_counter()
        engine.ask(question)
        await question.future
        return time.perf_counter() - began

    async def driven(_: int) -> float:
        """The same, by redis-py."""
        began = time.perf_counter()
        await client.execute_command("EVALSHA", sha, 1, "{bench}:nothing")
        return time.perf_counter() - began

    for in_flight in IN_FLIGHT:
        await measure("admit and settle", in_flight, pid, ours)
    sha = await client.script_load(EMPTY.text.decode())
    for in_flight in IN_FLIGHT if driver else ():
        await measure("nothing, by our line", in_flight, pid, asked)
        await measure("nothing, by redis-py", in_flight, pid, driven)
    running.cancel()
    await asyncio.wait([running])
    await client.aclose()


def main() -> None:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        sys.exit("There is no redis-server on the PATH.")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                   directory]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                uvloop.run(run(port, process.pid, driver="--driver" in sys.argv))
            finally:
                process.kill()


if __name__ == "__main__":
    main()
