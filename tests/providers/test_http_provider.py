"""What asks a vendor, apart from its dialect: credentials that are still to come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.errors import BadRequest
from tidegate.providers.accounts import Account, Accounts
from tidegate.providers.http import KEEPER_WAIT_S, HttpProvider
from tidegate.providers.replicas import Replica, Replicas
from tidegate.types import NO_CALL


class Keeper:
    """A credential that never comes."""

    def __init__(self) -> None:
        self.started = 0
        self.waits_s: list[float] = []

    def start(self) -> None:
        self.started += 1

    async def ready(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)

    async def close(self) -> None:
        pass


class Dialect:
    """Has no word for anything."""

    native = frozenset[str]()
    counts = False

    def request(self, *_: object) -> Any:
        raise BadRequest("It cannot be said.")

    def signature(self, *_: object) -> bytes:
        raise BadRequest("It cannot be said.")


@pytest.mark.parametrize(("left_s", "waits_s"), [(0.25, 0.25), (60.0, KEEPER_WAIT_S)])
async def test_no_credential_is_waited_for_beyond_the_deadline(
    left_s: float, waits_s: float
) -> None:
    keeper = Keeper()
    dialect: Any = Dialect()
    nothing: Any = None
    replicas = Replicas("p", [Replica("http://p/", nothing)])
    provider = HttpProvider(dialect, replicas, Accounts("p", [Account("a", b"")]), keeper)
    assert keeper.started == 0
    provider.start()
    assert keeper.started == 1
    deadline = asyncio.get_running_loop().time() + left_s
    with pytest.raises(BadRequest):
        await provider.open(nothing, NO_CALL, deadline)
    with pytest.raises(BadRequest):
        await provider.pass_through("GET", "/", [], b"", timeouts=nothing, deadline=deadline)
    assert keeper.waits_s == [pytest.approx(waits_s, abs=0.2)] * 2
    assert replicas.all[0].outstanding == 0
