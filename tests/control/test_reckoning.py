"""What gateways are told of balances, and what is done now and then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from spools import Spool

from tidegate.admission import told
from tidegate.control.loader import Loader
from tidegate.control.reckoning import FAILING, FOUND, WRONG, Reckoning, Terms
from tidegate.limits import Budget, Limits, Rule
from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention
from tidegate.telemetry.record import Record, encode

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
NOW_NS = 1_795_000_000 * SECOND_NS
RULE = Rule("team", Limits(budgets=(Budget(10**12, "total"),)))


class Stopped:
    """A clock that somebody else moves."""

    def __init__(self) -> None:
        self.unix_ns = NOW_NS

    def now_ns(self) -> int:
        return self.unix_ns

    def monotonic(self) -> float:
        return self.unix_ns / SECOND_NS


class Place:
    """A spool, a store and whoever reckons with them."""

    def __init__(self, spool: Spool, store: RecordStore) -> None:
        self.spool, self.store, self.clock = spool, store, Stopped()
        self.loader = Loader(spool.directory, store)
        self.reckoning = Reckoning(
            store,
            load=self.load,
            spool=lambda: self.loader.spool,
            rules=lambda: [RULE],
            terms=Terms("upper", Retention(records_s=0)),
            clock=self.clock,
        )

    async def load(self) -> bool:
        return self.loader.load() is not None

    async def told(self, query: bytes = b"") -> dict[str, int]:
        status, body = await self.reckoning.serve("GET", query)
        assert status == FOUND
        found = [each for piece in told.read(body) for each in piece.balances]
        return {each.name: each.nanousd for each in found}


@pytest.fixture
def place(spool: Spool, store: RecordStore) -> Iterator[Place]:
    place = Place(spool, store)
    yield place
    place.loader.close()


def record(name: str, **fields: Any) -> bytes:
    usual: dict[str, Any] = {"started_ns": NOW_NS, "worker": "gw-0", "team": "search"}
    usual |= {"wire": "chat", "path": "/", "config_version": "c"}
    return encode(Record(request_id=name, **{**usual, **fields}))


def held(name: str, **fields: Any) -> bytes:
    return record(name, outcome="held", held_nanousd=1000, expires_ms=60_000.0, **fields)


async def test_balances_have_what_was_in_the_spool_and_what_the_dead_held(place: Place) -> None:
    place.spool.segment("01-gw", held("a"), held("b", worker="gw-1"), held("c"))
    place.spool.segment("02-gw", record("c", cost_nanousd=5))
    assert await place.told() == {"search": 5}
    assert await place.told(b"worker=gw-0&began_ns=%d" % NOW_NS) == {"search": 5}
    assert await place.told(b"worker=gw-0&began_ns=%d" % (NOW_NS + 1)) == {"search": 1005}
    assert await place.told(b"worker=gw-0&began_ns=%d" % (NOW_NS + 1)) == {"search": 1005}


@pytest.mark.parametrize("query", [b"worker=gw-0&began_ns=x", b"began_ns=9", b"worker=gw-0", b"%"])
async def test_question_that_names_nobody_settles_nothing(place: Place, query: bytes) -> None:
    place.spool.segment("01-gw", held("a"))
    assert await place.told(query) == {}


async def test_losses_are_settled_and_old_rows_deleted_now_and_then(place: Place) -> None:
    place.spool.segment("01-gw", held("a"), record("b", cost_nanousd=1))
    await place.load()
    await place.reckoning.keep()
    assert await place.told() == {"search": 1}
    place.clock.unix_ns += DAY_NS
    await place.reckoning.keep()
    assert await place.told() == {"search": 1001}
    assert place.store.get("a") is None


async def test_nothing_is_told_while_another_has_the_spool(place: Place) -> None:
    other = Loader(place.spool.directory, place.store)
    assert other.load() == 0
    assert (await place.reckoning.serve("GET", b""))[0] == FAILING
    other.close()
    assert (await place.reckoning.serve("POST", b""))[0] == WRONG
