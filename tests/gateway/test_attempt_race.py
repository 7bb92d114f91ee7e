"""Two targets are asked at once: whoever wins, and whoever leaves when, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tidegate.errors import UpstreamError, UpstreamFailed
from tidegate.gateway.attempt import Begun, attempt
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.tracing import Tracing
from tidegate.policy.health import Health, HealthSettings, Wards
from tidegate.policy.hedge import HedgeSettings
from tidegate.policy.retry import RetrySettings
from tidegate.policy.slots.lane import Lane, LaneSettings
from tidegate.policy.slots.register import Slots
from tidegate.telemetry.record import Record
from tidegate.types import Call, Choice, Facts, Plan, Target, Terms, Timeouts, Usage

CALL = Call(wire="chat", model="m", body={}, stream=True, wants_usage=False)
TERMS = Terms(hedged=True)
LANE = LaneSettings()
SETTINGS = HealthSettings(hedge=HedgeSettings(after_s=0.0, min_s=0.0, max_share=1.0))


class Answer:
    """An answer whose first content is there at once."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.last = b""
        self.ended: Callable[[UpstreamError | None], None] | None = None
        self.closed = 0

    async def read(self) -> bytes:
        self.facts.content = True
        return b"content"

    def set_idle(self, wait_s: float) -> None:
        pass

    def set_limit(self, until: float) -> None:
        pass

    def close(self, error: UpstreamError | None = None) -> None:  # noqa: ARG002
        self.closed += 1


@dataclass
class Provider:
    """Answers, or fails, when `ready` is set."""

    fails: bool = False
    stubborn: bool = False
    """Whether it takes a turn of the loop to let go."""
    counts: bool = False
    native: frozenset[str] = frozenset({"chat"})
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    letting_go: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[Answer] = field(default_factory=list[Answer])

    async def open(self, choice: Choice, call: Call, deadline: float) -> Any:  # noqa: ARG002
        self.asked.set()
        try:
            await self.ready.wait()
        except asyncio.CancelledError:
            if self.stubborn:
                self.letting_go.set()
                await self.let_go.wait()
            raise
        if self.fails:
            raise UpstreamFailed("scripted")
        self.answers.append(Answer())
        return self.answers[-1]

    async def close(self) -> None:
        pass


class Field:
    """What the station `attempt` uses of the gateway."""

    def __init__(self, **providers: Provider) -> None:
        self.providers: Mapping[str, Any] = providers
        self.retry = {"": RetrySettings(attempts=1)}
        self.loop_time = asyncio.get_running_loop().time
        self.tracing = Tracing()
        self.wards = Wards()
        self.slots = Slots()

    def lane(self, choice: Choice) -> Lane:
        return self.slots.of(choice.name, LANE)

    def cost(
        self, choice: Choice, call: Call, usage: Usage, unix_ns: int
    ) -> tuple[int | None, str | None]:
        return 0, f"{choice.name} {call.wire} {usage.output} {unix_ns}"

    def health(self, choice: Choice) -> Health:
        return self.wards.of(choice.name, SETTINGS)

    @property
    def outstanding(self) -> list[int]:
        outstanding = [state.outstanding for state in self.wards.snapshot(0.0)]
        assert sum(lane.running for lane in self.slots.snapshot()) == sum(outstanding)
        return outstanding

    @property
    def unclosed(self) -> int:
        answers = [a for provider in self.providers.values() for a in provider.answers]
        return sum(not answer.closed for answer in answers)


async def exchange() -> Exchange:
    silent: Any = None
    made = Exchange(silent, method=b"POST", url=b"/", headers=[], chunked=True, keep_alive=True)
    made.record = Record("r", 0, "w", "chat", "/", "v")
    made.deadline = asyncio.get_running_loop().time() + 60
    return made


def plan() -> Plan:
    timeouts = Timeouts(1, 60, 60, 60)
    choices = [Choice(Target(name, "m", timeouts), "m", f"{name}/m", "", b"", b"") for name in "ab"]
    return Plan("alias", tuple(choices), 60, terms=TERMS)


@pytest.fixture
async def here() -> Exchange:
    return await exchange()


async def racing(field: Field, here: Exchange) -> asyncio.Task[Begun]:
    """The race, once both have been asked."""
    field.health(plan().choices[0]).hedge_budget.deposit()
    task = asyncio.ensure_future(attempt(field, here, CALL, plan()))
    for provider in field.providers.values():
        await provider.asked.wait()
    return task


async def ended(task: asyncio.Task[Begun]) -> None:
    async with asyncio.timeout(60):
        await asyncio.wait([task])
    assert task.cancelled()
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_two_winners_in_one_tick_are_one(here: Exchange) -> None:
    field = Field(a=Provider(), b=Provider())
    task = await racing(field, here)
    field.providers["a"].ready.set()
    field.providers["b"].ready.set()
    begun = await task
    assert begun.choice.name == "a/m"
    assert [tried.outcome for tried in here.record.attempts] == ["ok", "cancelled"]
    assert (field.outstanding, field.unclosed) == ([1, 0], 1)
    begun.turn.succeeded(field.loop_time())
    assert field.outstanding == [0, 0]


async def test_a_caller_who_leaves_as_the_answer_comes_leaves_nothing_behind(
    here: Exchange,
) -> None:
    field = Field(a=Provider(), b=Provider())
    task = await racing(field, here)
    field.providers["a"].ready.set()
    field.providers["b"].ready.set()
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, task.cancel)
    await ended(task)
    assert (field.outstanding, field.unclosed) == ([0, 0], 0)


@pytest.mark.parametrize("ticks", range(8))
async def test_whenever_the_caller_leaves_nothing_is_left_behind(
    here: Exchange, ticks: int
) -> None:
    field = Field(a=Provider(), b=Provider())
    task = await racing(field, here)
    field.providers["b"].ready.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    if task.done():
        return
    task.cancel()
    await ended(task)
    assert (field.outstanding, field.unclosed) == ([0, 0], 0)


async def test_a_caller_who_leaves_while_the_loser_lets_go_ends_the_winner_too(
    here: Exchange,
) -> None:
    field = Field(a=Provider(stubborn=True), b=Provider())
    task = await racing(field, here)
    field.providers["b"].ready.set()
    await field.providers["a"].letting_go.wait()
    task.cancel()
    field.providers["a"].let_go.set()
    await ended(task)
    assert (field.outstanding, field.unclosed) == ([0, 0], 0)


async def test_a_drain_while_a_caller_leaves_leaves_nothing_behind(here: Exchange) -> None:
    field = Field(a=Provider(stubborn=True), b=Provider(stubborn=True))
    task = await racing(field, here)
    task.cancel()
    await field.providers["a"].letting_go.wait()
    task.cancel()
    for provider in field.providers.values():
        provider.let_go.set()
    await ended(task)
    assert (field.outstanding, field.unclosed) == ([0, 0], 0)


async def test_when_both_fail_the_first_ones_failure_is_met(here: Exchange) -> None:
    field = Field(a=Provider(fails=True), b=Provider(fails=True))
    task = await racing(field, here)
    for provider in field.providers.values():
        provider.ready.set()
    with pytest.raises(UpstreamFailed):
        await task
    assert field.outstanding == [0, 0]
