"""A reload lets the old house empty; the end closes every house, whatever state it is in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.live import Live


class Config:
    version = "v"


class House:
    """A house that takes a few turns of the loop to close."""

    def __init__(self) -> None:
        self.config = Config()
        self.rooms = object()
        self.in_flight = 0
        self.left = asyncio.Event()
        self.closed = 0

    async def close(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.closed += 1


class Street:
    """Every house that was built."""

    def __init__(self) -> None:
        self.houses: list[House] = []
        load: Any = Config
        self.live = Live(load, self.build)

    def build(self, _config: object) -> Any:
        self.houses.append(House())
        return self.houses[-1]

    @property
    def closed(self) -> list[int]:
        return [house.closed for house in self.houses]


@pytest.mark.parametrize("turns", range(8))
async def test_every_house_is_closed_once_however_far_it_was(turns: int) -> None:
    street = Street()
    await street.live.reload()
    for _ in range(turns):
        await asyncio.sleep(0)
    await street.live.close()
    assert street.closed == [1, 1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_old_house_closes_when_its_last_request_has_left() -> None:
    street = Street()
    rooms = street.live.enter()
    await street.live.reload()
    for _ in range(8):
        await asyncio.sleep(0)
    assert street.closed == [0, 0]
    street.live.leave(rooms)
    for _ in range(8):
        await asyncio.sleep(0)
    assert street.closed == [1, 0]
    await street.live.close()
    assert street.closed == [1, 1]


async def test_a_request_that_outlives_the_end_may_still_leave() -> None:
    street = Street()
    rooms = street.live.enter()
    await street.live.reload()
    await street.live.close()
    street.live.leave(rooms)
    assert street.closed == [1, 1]
