"""Holds, in whatever order and however often they are told."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import select
from storing import hold, progress, put, row

from tidegate.store.records import RecordStore
from tidegate.store.rows import Row
from tidegate.store.spend import SpendQuery
from tidegate.store.tables.money import charges, rollups_day, rollups_hour, rollups_minute

DAY_NS = 86_400 * 10**9
FAR_NS = 10**18


def lost(number: int, cost_nanousd: int = 100) -> Row:
    return row(number, outcome="lost", ended="lost", cost_nanousd=cost_nanousd, payload=b"lost")


def held(store: RecordStore) -> list[bytes]:
    return [each.payload for each in store.held.overdue("here", FAR_NS, {}, 100)]


def spent(store: RecordStore) -> int:
    return store.spending.spend(SpendQuery("day", 0, DAY_NS)).total.cost_nanousd


def everything(store: RecordStore) -> list[object]:
    """All the sums that are not zero."""
    with store.database.reading() as connection:
        tables = (charges, rollups_minute, rollups_hour, rollups_day)
        found = [tuple(r) for table in tables for r in connection.execute(select(table))]
    return sorted((r for r in found if any(r[3 if len(r) == 4 else 2 :])), key=repr)


def test_hold_is_there_until_its_record_is(store: RecordStore) -> None:
    put(store, holds=[hold(1), hold(2)])
    assert held(store) == [b"held 1", b"held 2"]
    assert store.held.open_count() == 2
    put(store, row(1))
    assert held(store) == [b"held 2"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_order_and_repetition_change_nothing(store: RecordStore, order: tuple[int, ...]) -> None:
    steps = [
        lambda: put(store, row(1, cost_nanousd=7), segment="a"),
        lambda: put(store, holds=[hold(1)], segment="b"),
        lambda: put(store, progress=[progress(1, 5, 50)], segment="c"),
        lambda: put(store, row(1, cost_nanousd=7), holds=[hold(1)], segment="d"),
    ]
    for _ in range(2):
        for step in order:
            steps[step]()
    assert held(store) == []
    assert spent(store) == 7


def test_latest_progress_stays_on_the_hold(store: RecordStore) -> None:
    put(store, holds=[hold(1)], progress=[progress(1, 9, 90), progress(1, 5, 50)])
    put(store, progress=[progress(1, 7, 70), progress(2, 1, 1)])
    (found,) = store.held.overdue("here", FAR_NS, {}, 9)
    assert (found.output_tokens, found.said_nanousd) == (9, 90)


def test_hold_that_grew_counts_in_full(store: RecordStore) -> None:
    put(store, holds=[hold(1, held_nanousd=5), hold(1, held_nanousd=8, payload=b"more")])
    put(store, holds=[hold(1, held_nanousd=5)])
    (found,) = store.held.overdue("here", FAR_NS, {}, 9)
    assert (found.held_nanousd, found.payload) == (8, b"more")


def test_overdue_are_the_expired_and_those_of_dead_workers(store: RecordStore) -> None:
    put(store, holds=[hold(n, expires_ns=10 * n, worker=f"gw-{n}") for n in (1, 2, 3)])
    overdue = store.held.overdue
    assert [h.payload for h in overdue("here", 20, {}, 9)] == [b"held 1", b"held 2"]
    assert [h.payload for h in overdue("here", 0, {"gw-3": 4}, 9)] == [b"held 3"]
    assert overdue("here", 0, {"gw-3": 3}, 9) == []
    assert overdue("there", 30, {"gw-3": 4}, 9) == []
    assert len(overdue("there", 30 + 900 * 10**9, {}, 9)) == 3
    assert len(overdue("here", 30, {}, 2)) == 2


def test_what_was_given_up_is_charged_once(store: RecordStore) -> None:
    put(store, holds=[hold(1)])
    assert store.give_up([lost(1), lost(2)], 5) == ["req_1"]
    assert store.give_up([lost(1)], 5) == []
    assert held(store) == []
    assert spent(store) == 100
    put(store, holds=[hold(1)])
    assert held(store) == []


def test_what_has_ended_is_not_given_up(store: RecordStore) -> None:
    put(store, holds=[hold(1)])
    put(store, row(1, cost_nanousd=3))
    assert store.give_up([lost(1)], 5) == []
    assert spent(store) == 3


def test_record_that_comes_after_all_takes_the_place_of_the_lost_one(store: RecordStore) -> None:
    real = row(
        1, cost_nanousd=30, user="ann", tokens=(1, 2, 3, 4, 5, 6, 7),
        elsewhere=(("azure", "m", 10),),
    )  # fmt: skip
    put(store, real)
    expected = everything(store)
    other = row(2, cost_nanousd=1)
    put(store, other)
    with_other = everything(store)
    assert with_other != expected

    put(store, holds=[hold(3)])
    store.give_up([lost(3)], 5)
    late = {**row(3), "cost_nanousd": 0, "payload": b"real"}
    assert put(store, late).new == 1  # type: ignore[arg-type]
    assert store.get("req_3") == b"real"
    assert spent(store) == 31
    assert put(store, late).known == 1  # type: ignore[arg-type]
    assert spent(store) == 31
    assert store.held.charged("key", None, 0) == {"web": 31}


def test_sums_after_a_late_record_are_as_if_nothing_had_been_lost(
    store: RecordStore, postgres_url: str
) -> None:
    final = row(1, cost_nanousd=30, user="ann", elsewhere=(("azure", "m", 10),))
    put(store, holds=[hold(1)])
    store.give_up([lost(1)], 5)
    put(store, final)
    straight = RecordStore(postgres_url) if store.database.file else store
    if straight is not store:
        straight.create()
        put(straight, final)
        assert everything(store) == everything(straight)
        straight.close()
