"""One scenario from start to end: load, outage, load on, and the evidence of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tidegate.drill.checks import Check, Evidence, checks
from tidegate.drill.judge import Outcome
from tidegate.drill.load import Load
from tidegate.drill.scenarios import Action, Need, Scenario
from tidegate.drill.simulators import Call, Simulator
from tidegate.drill.stage import Site, Stage

_FLAP_S: Final = 1.0
_KILL_AGAIN_S: Final = 0.25
_TICK_S: Final = 0.1
_LEAST_BEFORE_S: Final = 1.5
_LEAST_AFTER_S: Final = 2.5
_SHARE_BEFORE: Final = 0.25
_SHARE_AFTER: Final = 0.5


@dataclass(frozen=True, slots=True)
class Pressure:
    """How hard and how long: requests a second, and seconds of outage."""

    rate: float
    seconds: float

    @property
    def before_s(self) -> float:
        """Seconds of load before the outage."""
        return max(_LEAST_BEFORE_S, _SHARE_BEFORE * self.seconds)

    @property
    def after_s(self) -> float:
        """Seconds of load after it."""
        return max(_LEAST_AFTER_S, _SHARE_AFTER * self.seconds)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scenario has come."""

    scenario: Scenario
    phase: str
    sent: int = 0
    good: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a scenario showed. Without checks it was not played, for what it `lacks`."""

    scenario: Scenario
    checks: tuple[Check, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many requests ended in each way."""
    lacks: Need | None = None

    @property
    def passed(self) -> bool | None:
        """None when it was not played."""
        if not self.checks:
            return None
        return all(check.ok is not False for check in self.checks)


Show = Callable[[Progress], None]


async def play(stage: Stage, scenario: Scenario, pressure: Pressure, show: Show) -> Result:
    """Play one scenario. Raises: `Absent`."""
    if (missing := stage.lacks(scenario)) is not None:
        return Result(scenario, lacks=missing)
    show(Progress(scenario, "starting"))
    async with stage.site(scenario) as site:
        load, began_s, ended_s = await _press(site, scenario, pressure, show)
        show(_progress(scenario, "reading the records", load))
        received, calls = await _counted(site.simulators)
    evidence = Evidence(
        scenario,
        load.seen,
        began_s,
        ended_s,
        calls,
        received,
        site.records,
        site.terms.charge,
        site.terms.first_token_s,
        site.terms.openings,
        tuple(name for one in site.simulators for name in one.lost),
    )
    return Result(scenario, checks(evidence), Counter(one.outcome.value for one in load.seen))


async def _press(
    site: Site, scenario: Scenario, pressure: Pressure, show: Show
) -> tuple[Load, float, float]:
    """Keep the load up through the outage; returns when the last request has ended."""
    loop = asyncio.get_running_loop()
    load = Load(site.place, site.aliases, pressure.rate, site.terms.patience_s)
    running = loop.create_task(load.run())

    async def phase(name: str, seconds: float) -> None:
        until_s = loop.time() + seconds
        while loop.time() < until_s:
            show(_progress(scenario, name, load))
            await asyncio.sleep(min(_TICK_S, seconds))

    try:
        await phase("before", pressure.before_s)
        began_s = loop.time()
        async with _outage(site, scenario):
            await phase("outage", pressure.seconds)
        ended_s = loop.time()
        await phase("after", pressure.after_s)
        load.stop()
        while not running.done():
            show(_progress(scenario, f"waiting for {load.under_way}", load))
            await asyncio.wait([running], timeout=_TICK_S)
        await running
    finally:
        await _ended(running)
    return load, began_s, ended_s


@asynccontextmanager
async def _outage(site: Site, scenario: Scenario) -> AsyncGenerator[None]:
    """What the scenario does, for as long as the body runs."""
    number = max(1, round(len(site.victims) * scenario.share))
    struck = site.victims[:number]
    fault = scenario.fault.format(slow=f"{2 * site.terms.first_token_s:g}s")
    task: asyncio.Task[None] | None = None
    match scenario.action:
        case Action.FAULT:
            await _each(one.fail(fault) for one in struck)
        case Action.STOP_SERVERS:
            await _each(one.stop() for one in struck)
        case Action.FLAP:
            task = asyncio.create_task(_flap(struck, fault))
        case Action.KILL_CONTROL:
            task = asyncio.create_task(_keep_killing(site))
        case Action.KILL_GATEWAY if site.gateway is not None:
            site.gateway.kill_worker()
        case Action.SLOW_REDIS if site.redis is not None:
            site.redis.slow()
            await _each(one.fail(fault) for one in struck)
        case Action.STOP_REDIS if site.redis is not None:
            await site.redis.stop()
            await _each(one.fail(fault) for one in struck)
        case _:
            pass
    try:
        yield
    finally:
        if task is not None:
            await _ended(task)
        if site.redis is not None:
            await site.redis.start()
        await _each(one.start() for one in struck)


async def _flap(struck: Sequence[Simulator], fault: str) -> None:
    while True:
        for now in (fault, ""):
            await _each(one.fail(now) for one in struck)
            await asyncio.sleep(_FLAP_S)


async def _keep_killing(site: Site) -> None:
    while site.gateway is not None:
        site.gateway.kill_control()
        await asyncio.sleep(_KILL_AGAIN_S)


async def _counted(simulators: Sequence[Simulator]) -> tuple[int, list[Call]]:
    received, calls = 0, list[Call]()
    for one in simulators:
        received += await one.received()
        calls += await one.calls()
    return received, calls


async def _each(some: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*some)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel `task` if it still runs; what it failed with is raised."""
    if task.done():
        task.result()
        return
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def _progress(scenario: Scenario, phase: str, load: Load) -> Progress:
    good = load.ended[Outcome.GOOD]
    return Progress(scenario, phase, len(load.seen), good, load.ended.total() - good)
