"""Requests whose gateway was killed: charged by policy, once; put right if they end after all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from spools import Spool

from tidegate.control.balances import balances
from tidegate.control.loader import Loader
from tidegate.control.lost import GRACE_S, Policy, settle_lost
from tidegate.ledger import progress
from tidegate.ledger.progress import Progress
from tidegate.limits import Budget, Limits, Rule
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Record, decode, encode

SECOND_NS = 10**9
BEGAN_NS = 1_795_000_000 * SECOND_NS
OVER_NS = BEGAN_NS + 60 * SECOND_NS
LATE_NS = OVER_NS + round(GRACE_S) * SECOND_NS
RULE = Rule("team", Limits(budgets=(Budget(10**12, "day"),)))


@pytest.fixture
def store(any_store: RecordStore) -> RecordStore:
    return any_store


@pytest.fixture
def loader(spool: Spool, store: RecordStore) -> Iterator[Loader]:
    loader = Loader(spool.directory, store)
    yield loader
    loader.close()


def record(name: str, **fields: Any) -> bytes:
    usual: dict[str, Any] = {
        "request_id": name, "started_ns": BEGAN_NS, "worker": "gw-0", "wire": "chat",
        "path": "/v1/chat/completions", "config_version": "c", "key": "web", "team": "search",
        "alias": "fast", "provider": "p", "target": "p/m",
    }  # fmt: skip
    return encode(Record(**{**usual, **fields}))


def held(name: str, **fields: Any) -> bytes:
    usual = {"outcome": "held", "held_nanousd": 1000, "expires_ms": 60_000.0}
    return record(name, **{**usual, **fields})


def spent(store: RecordStore) -> int:
    return sum(each.nanousd for each in balances(store, [RULE], LATE_NS))


@pytest.mark.parametrize(
    ("policy", "told", "fields", "cost"),
    [
        ("upper", None, {}, 1000),
        ("upper", 1200, {}, 1200),
        ("delivered", 300, {}, 300),
        ("delivered", None, {"held_input_nanousd": 200}, 200),
        ("delivered", None, {}, 1000),
        ("zero", 300, {}, 0),
    ],
)
def test_lost_request_is_charged_by_policy(
    *, spool: Spool, store: RecordStore, loader: Loader,
    policy: Policy, told: int | None, fields: dict[str, Any], cost: int,
) -> None:  # fmt: skip
    told_too = [] if told is None else [progress.encode(Progress("a", 5, told))]
    spool.segment("01-gw", held("a", **fields), *told_too)
    assert loader.load() == 0
    assert settle_lost(store, loader.spool, LATE_NS - 1, policy) == []
    (lost,) = settle_lost(store, loader.spool, LATE_NS, policy)
    assert (lost.outcome, lost.cost_nanousd, lost.price) == ("lost", cost, f"lost: {policy}")
    assert spent(store) == cost
    kept = store.get("a")
    assert kept is not None
    assert decode(kept) == lost
    assert settle_lost(store, loader.spool, LATE_NS, policy) == []
    assert spent(store) == cost


def test_requests_of_a_dead_worker_are_settled_at_once(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    spool.segment("01-gw", held("a"), held("b", worker="gw-1"), held("c"), record("c"))
    loader.load()
    dead = {"gw-0": BEGAN_NS + 1}
    lost = settle_lost(store, loader.spool, BEGAN_NS + 2, "upper", dead)
    assert [each.request_id for each in lost] == ["a"]
    assert settle_lost(store, "another", BEGAN_NS + 2, "upper", {"gw-1": BEGAN_NS + 1}) == []


def test_end_that_is_loaded_later_replaces_the_loss(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    spool.segment("01-gw", held("a"))
    loader.load()
    settle_lost(store, loader.spool, LATE_NS, "upper")
    assert spent(store) == 1000
    spool.segment("02-gw", record("a", cost_nanousd=40))
    assert loader.load() == 1
    assert spent(store) == 40
    kept = store.get("a")
    assert kept is not None
    assert decode(kept).outcome == "ok"


def test_replayed_spool_changes_nothing(spool: Spool, store: RecordStore, loader: Loader) -> None:
    payloads = [held("a"), progress.encode(Progress("a", 1, 10)), held("b"),
                record("a", cost_nanousd=40)]  # fmt: skip
    for turn in range(3):
        spool.segment(f"{turn:02d}-gw", *payloads)
        loader.load()
        settle_lost(store, loader.spool, LATE_NS, "upper")
        assert spent(store) == 1040
        assert store.held.open_count() == 0


def test_broken_progress_is_kept_apart(spool: Spool, loader: Loader) -> None:
    spool.segment("01-gw", progress.encode(Progress("a", 1, 1))[:12], record("b"))
    assert loader.load() == 1
    assert spool.bad.exists()


def test_what_others_made_up_is_no_obstacle(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    hostile = record(
        "a", alias="\0" * 9999, user="x" * 9999, model="\x00'--", input_tokens=2**63,
        output_tokens=-5, cost_nanousd=2**63,
    )  # fmt: skip
    spool.segment("01-gw", hostile, record("b"))
    assert loader.load() == 2
    assert store.get("a") == hostile
