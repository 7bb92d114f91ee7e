"""A provider dies under load and comes back: what callers see, and what it is asked meanwhile.

Streams of an alias whose first target is one simulated provider and whose fallback is another one;
then of an alias without a fallback, and of one without a breaker too. Each way of dying has a
gateway of its own. An answer is whole with its first token, so that none is past the point up to
which a failure can be hidden.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvloop

from bench.contenders import Arranged, Tree, upstream_provider
from bench.goals import SUBJECT
from bench.machine import listening
from bench.phases import PHASES, Moments, judged, tries
from bench.process import cores, free_port, pinned
from bench.stage import Options, fresh, mock_server, simulator, started
from bench.stats import summary
from bench.steady import Asked, Steady
from bench.target import ALIAS, UPSTREAM_MODEL, Target
from tidegate.ledger.segment import read_segment, segments
from tidegate.telemetry.record import Record, decode

RATE = 200
TTFT = "lognormal:200ms,0.3"
TOKENS = 16
FIRST_TOKEN_S = 1
WARM_UP_S = 1.0
RECOVERY_LIMIT_S = 60.0
AFTERWARDS_S = 2.0
CONTROL_TIMEOUT_S = 10.0
LATE_MS = 100.0
"""A caller that misses the clock by more has no core to run on, nor has the gateway perhaps."""

FAULTS = {"refused": None, "hang": "hang", "503": "status=503; ttft=0ms"}
"""Ways to die: the process ends, or it says nothing, or no at once, as it is told."""
ALIASES = {"fallback": ALIAS, "alone": "alone", "no breaker": "unbroken"}
MEDIANS = (
    "outage_p99_over_healthy_ms",
    "failure_after_s",
    "opened_after_failure_s",
    "normal_after_s",
    "recovered_after_s",
    "calls_per_request",
    "calls_per_caller_of_it",
    "sent_late_p99_ms",
)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of the phases whose length is ours to choose."""

    healthy_s: float
    outage_s: float


FULL, FULL_ALONE = Lengths(8, 15), Lengths(3, 8)
QUICK, QUICK_ALONE = Lengths(4, 6), Lengths(2, 5)


class Dying:
    """The simulated provider that dies and comes back on the same port."""

    def __init__(self, options: Options) -> None:
        self.port = free_port()
        self._directory = fresh(options.directory / "dying")
        self._argv = simulator(self.port, ttft=TTFT, length=TOKENS)
        self.server = mock_server(self._argv, self._directory, self.port)

    def fail(self, fault: str) -> None:
        """Die in this way."""
        told = FAULTS[fault]
        if told is None:
            self.server.kill()
        else:
            self._tell("PUT", json.dumps({"all": told}))

    def recover(self, fault: str) -> None:
        """Be back; returns when it answers."""
        if FAULTS[fault] is None:
            self.server.stop()
            self.server = mock_server(self._argv, self._directory, self.port)
        else:
            self._tell("DELETE")

    def close(self) -> None:
        """End whatever process it is by now."""
        self.server.stop()

    def _tell(self, method: str, body: str | None = None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CONTROL_TIMEOUT_S)
        try:
            connection.request(method, "/_faults", body)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the simulated provider refused a fault: {said!r}")


def outage(options: Options) -> list[dict[str, Any]]:
    """One row for each way of dying and each alias: medians of the rounds, errors of them all."""
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(1 if options.quick else options.rounds):
        for fault in FAULTS:
            with _scene(options) as (gateway, spare, dying):
                for alias in ALIASES:
                    options.say(f"outage, round {number + 1}, {fault}, {alias}")
                    seen = _run(gateway, spare, dying, fault, alias, quick=options.quick)
                    rounds.setdefault((fault, alias), []).append(seen)
                    if seen["sent_late_p99_ms"] > LATE_MS:
                        options.warn(
                            f"outage, {fault}, {alias}: our own caller was late by "
                            f"{seen['sent_late_p99_ms']:.0f} ms (p99), so the figures say little"
                        )
    return [_row(fault, alias, seen) for (fault, alias), seen in rounds.items()]


@contextmanager
def _scene(options: Options) -> Generator[tuple[Target, Target, Dying]]:
    """A gateway, the healthy provider and the dying one."""
    with ExitStack() as running:
        dying = Dying(options)
        running.callback(dying.close)
        directory, port = fresh(options.directory / "spare"), free_port()
        server = mock_server(simulator(port, ttft=TTFT, length=TOKENS), directory, port)
        running.callback(server.stop)
        spare = Target("spare", port, UPSTREAM_MODEL, server, directory)
        contender = Arranged(*_arranged(dying.port, port))
        yield (
            running.enter_context(started(contender, spare, options, streaming=True)),
            spare,
            dying,
        )


def _arranged(dying: int, spare: int) -> tuple[Tree, Tree]:
    """The providers on these ports, and the aliases; each has a model, so a breaker, of its own."""

    def alias(provider: str, model: str, **more: Any) -> Tree:
        targets = [{"provider": provider, "model": model}]
        return {"targets": targets, "timeout": {"first_token": f"{FIRST_TOKEN_S}s"}, **more}

    providers = {
        "dying": upstream_provider("openai", dying),
        "spare": upstream_provider("openai", spare),
    }
    models = {
        ALIAS: alias("dying", ALIAS, fallback=["spare"]),
        "spare": alias("spare", UPSTREAM_MODEL),
        "alone": alias("dying", "alone"),
        "unbroken": alias("dying", "unbroken", breaker=None),
    }
    return providers, models


def _run(
    gateway: Target, spare: Target, dying: Dying, fault: str, alias: str, *, quick: bool
) -> dict[str, Any]:
    recovers = alias == "fallback"
    lengths = (QUICK, QUICK_ALONE) if quick else (FULL, FULL_ALONE)
    target = replace(gateway, model=ALIASES[alias])
    servers = [gateway.server, spare.server, dying.server]
    steady = Steady(target.port, target.request(stream=True), RATE)
    gc.collect()
    gc.disable()
    try:
        with pinned(cores()[1]), listening(servers) as noise:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                play = _play(steady, dying, fault, lengths[0 if recovers else 1], recovers=recovers)
                moments = runner.run(play)
            servers[-1] = dying.server  # another process, if it was the process that died
    finally:
        gc.enable()
    gateway.server.check_alive()
    dead = f"dying/{ALIASES[alias]}"
    return {**judged(steady.asked, tries(_records(gateway)), moments, dead), "noise": noise.share}


async def _play(
    steady: Steady, dying: Dying, fault: str, lengths: Lengths, *, recovers: bool
) -> Moments:
    """The whole run. With `recovers` it goes on until the provider has answered again."""
    playing = asyncio.create_task(steady.run())
    await asyncio.sleep(WARM_UP_S)
    began_s = time.time()
    await asyncio.sleep(lengths.healthy_s)
    failed_s = time.time()
    await asyncio.to_thread(dying.fail, fault)
    await asyncio.sleep(failed_s + lengths.outage_s - time.time())
    if not recovers:
        restored_s = time.time()
        steady.stop()
        await playing
        await asyncio.to_thread(dying.recover, fault)
        return Moments(began_s, failed_s, restored_s)
    await asyncio.to_thread(dying.recover, fault)
    restored_s = time.time()
    while not _back(steady.asked, restored_s):
        if time.time() > restored_s + RECOVERY_LIMIT_S:
            break  # the figures will tell
        await asyncio.sleep(0.1)
    await asyncio.sleep(AFTERWARDS_S)
    steady.stop()
    await playing
    return Moments(began_s, failed_s, restored_s)


def _back(asked: list[Asked], restored_s: float) -> bool:
    """Whether one of the latest requests was answered by the provider that had died."""
    latest = asked[-2 * RATE :]
    return any(each.target.startswith("dying/") and each.due_s > restored_s for each in latest)


def _records(gateway: Target) -> list[Record]:
    """Every record that the gateway has written."""
    return [
        decode(payload)
        for segment in segments(gateway.directory / "spool")
        for payload, _ in read_segment(segment, 0)
    ]


def _row(fault: str, alias: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": SUBJECT, "fault": fault, "alias": alias}
    for figure in MEDIANS:
        row[figure] = summary([one[figure] for one in rounds])._asdict()
    row["phases"] = {
        phase: {
            figure: summary([one["phases"][phase][figure] for one in rounds]).median
            for figure in ("p50_ms", "p99_ms", "max_ms", "error_p99_ms")
        }
        for phase in PHASES
    }
    for total in ("requests", "errors"):
        row[total] = sum(one[total] for one in rounds)
    row["noise"] = max(one["noise"] for one in rounds)
    row["rounds"] = rounds
    return row
