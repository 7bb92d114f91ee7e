"""Conversations in memory: a spool, a store and a clock that the tests own."""

from __future__ import annotations

import pytest
from memory import Memory, Time


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def memory(time: Time) -> Memory:
    return Memory(time)
