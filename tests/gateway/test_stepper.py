"""Long work takes turns with everything else that the loop has to do."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from itertools import pairwise

import pytest

from tidegate.gateway.stepper import MOST_WAITING, Stepper
from tidegate.guard.redaction import TooHard


def work(name: str, steps: int, said: list[str]) -> Generator[None]:
    try:
        for number in range(steps):
            said.append(f"{name}{number}")
            yield
    finally:
        said.append(f"{name} over")


async def test_one_step_is_done_at_once_without_a_turn_of_the_loop() -> None:
    said: list[str] = []
    assert Stepper().begin(work("a", 0, said)) is None
    assert said == ["a over"]


async def test_one_step_is_done_in_each_turn_of_the_loop_whosever_it_is() -> None:
    said: list[str] = []
    stepper, loop = Stepper(), asyncio.get_running_loop()
    first, second = stepper.begin(work("a", 3, said)), stepper.begin(work("b", 2, said))
    assert first is not None
    assert second is not None

    def turn() -> None:
        said.append("|")
        if not (first.done() and second.done()):
            loop.call_soon(turn)

    loop.call_soon(turn)
    await asyncio.gather(first, second)
    assert said[:2] == ["a0", "b0"]
    stepped = [each for each in said[2:] if "over" not in each]
    assert not any("|" not in pair for pair in pairwise(stepped))
    assert [each for each in said if each[0] == "a"] == ["a0", "a1", "a2", "a over"]
    assert said.index("a1") < said.index("b1") < said.index("a2")


async def test_who_gives_up_ends_the_work() -> None:
    said: list[str] = []
    stepper = Stepper()
    first, second = stepper.begin(work("a", 1000, said)), stepper.begin(work("b", 2, said))
    assert first is not None
    assert second is not None
    first.cancel()
    await second
    assert "a over" in said
    assert "a2" not in said


async def test_what_the_work_raises_is_told() -> None:
    def broken() -> Generator[None]:
        yield
        raise TooHard

    future = Stepper().begin(broken())
    assert future is not None
    with pytest.raises(TooHard):
        await future


async def test_no_more_wait_than_may() -> None:
    said: list[str] = []
    stepper = Stepper()
    waiting = [stepper.begin(work("a", 2, [])) for _ in range(MOST_WAITING)]
    with pytest.raises(TooHard):
        stepper.begin(work("b", 2, said))
    assert said == ["b0", "b over"]
    await asyncio.gather(*(each for each in waiting if each is not None))
