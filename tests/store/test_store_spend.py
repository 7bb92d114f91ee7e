"""Sums of what was spent: every one of them is the sum of the records."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal, cast

import pytest
from sqlalchemy import select
from storing import put, row

from tidegate.store.intake import Intake
from tidegate.store.names import Names
from tidegate.store.records import RecordStore
from tidegate.store.rollups import pieces
from tidegate.store.rows import Batch, Place, Row
from tidegate.store.spend import By, Spending, SpendQuery
from tidegate.store.sums import DAY_S, HOUR_S, MINUTE_S
from tidegate.store.tables.money import rollups_minute

SECOND_NS = 10**9
NOON_S = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
TOKENS = (1, 2, 3, 4, 5, 6, 7)


def some(seed: int, count: int = 300) -> list[Row]:
    """Requests of three days, of few users, teams and models."""
    chance = random.Random(seed)
    return [
        row(
            number,
            started_ns=(NOON_S + chance.randrange(-DAY_S, 2 * DAY_S)) * SECOND_NS + number,
            user=chance.choice(["ann", "bob", None]),
            team=chance.choice(["search", "ads"]),
            model=chance.choice(["small", "large"]),
            conversation=chance.choice(["c1", "c2", None]),
            cost_nanousd=chance.choice([None, 0, 1, 10**6, 10**12]),
            tokens=TOKENS,
            ended=chance.choice(["ok", "failed"]),
        )
        for number in range(count)
    ]


def ask(store: RecordStore, by: By, since_s: int, until_s: int, **filters: str) -> Spending:
    query = SpendQuery(by, since_s * SECOND_NS, until_s * SECOND_NS, filters)  # type: ignore[arg-type]
    return store.spending.spend(query)


@pytest.mark.parametrize("by", ["user", "team", "model", "day", "hour", "conversation"])
def test_sums_by_anything_are_the_sums_of_the_records(store: RecordStore, by: By) -> None:
    rows = some(1)
    put(store, *rows)
    chance = random.Random(2)
    for _ in range(20):
        since_s, until_s = sorted(
            (NOON_S + chance.randrange(-DAY_S, 2 * DAY_S)) // MINUTE_S * MINUTE_S for _ in "ab"
        )
        meant = [r for r in rows if since_s <= r["started_ns"] // SECOND_NS < until_s]
        for filters in ({}, {"team": "ads"}, {"team": "ads", "model": "large"}):
            wanted = [r for r in meant if filters.items() <= r.items()]
            found = ask(store, by, since_s, until_s, **filters)
            assert found.total.requests == len(wanted)
            assert found.total.cost_nanousd == sum(r["cost_nanousd"] or 0 for r in wanted)
            assert sum(each.cost_nanousd for each in found.rows) == found.total.cost_nanousd
            if by in {"user", "team", "model", "conversation"}:
                named = {each.name: each.requests for each in found.rows}
                assert named == Counter(cast("dict[str, Any]", r)[by] for r in wanted)


def test_tokens_and_errors_are_counted_by_their_classes(store: RecordStore) -> None:
    put(store, row(1, tokens=TOKENS), row(2, tokens=TOKENS, ended="failed", unpriced=True))
    (found,) = ask(store, "key", 0, DAY_S).rows
    assert (found.name, found.requests, found.errors, found.unpriced) == ("web", 2, 1, 1)
    assert (found.input_tokens, found.cached_input_tokens, found.cache_write_tokens) == (2, 4, 6)
    assert (found.output_tokens, found.reasoning_tokens) == (8, 10)
    assert (found.audio_input_tokens, found.audio_output_tokens) == (12, 14)


def test_known_record_adds_nothing_to_sums(store: RecordStore) -> None:
    put(store, row(1, cost_nanousd=5))
    put(store, row(1, cost_nanousd=5), segment="two.spool1")
    assert ask(store, "key", 0, DAY_S).total.cost_nanousd == 5
    assert store.held.charged("key", None, 0) == {"web": 5}


def test_try_elsewhere_is_charged_where_it_was_made(store: RecordStore) -> None:
    put(store, row(1, cost_nanousd=10, elsewhere=(("azure", "gpt-eu", 4),)))
    found = {each.name: each for each in ask(store, "provider", 0, DAY_S).rows}
    assert {name: each.cost_nanousd for name, each in found.items()} == {"openai": 6, "azure": 4}
    assert {name: each.requests for name, each in found.items()} == {"openai": 1, "azure": 0}
    assert store.held.charged("provider", None, 0) == {"openai": 6, "azure": 4}
    assert store.held.charged("key", None, 0) == {"web": 10}


def test_dearest_come_first_and_days_in_their_order(store: RecordStore) -> None:
    put(
        store,
        row(1, user="ann", cost_nanousd=1),
        row(2, user="bob", cost_nanousd=3, started_ns=DAY_S * SECOND_NS),
        row(3, user="cat", cost_nanousd=2, started_ns=2 * DAY_S * SECOND_NS),
    )
    top = store.spending.spend(SpendQuery("user", 0, 9 * DAY_S * SECOND_NS, top=2))
    assert [each.name for each in top.rows] == ["bob", "cat"]
    assert top.total.cost_nanousd == 6
    days = ask(store, "day", 0, 9 * DAY_S).rows
    assert [each.name for each in days] == ["1970-01-01", "1970-01-02", "1970-01-03"]
    hours = ask(store, "hour", 0, 9 * DAY_S).rows
    assert [each.name for each in hours][1] == "1970-01-02T00:00Z"


def test_nothing_was_spent_where_there_is_nothing(store: RecordStore) -> None:
    found = ask(store, "user", 0, DAY_S)
    assert found.rows == ()
    assert found.total.cost_nanousd == 0
    assert ask(store, "user", DAY_S, 0).rows == ()


def test_pieces_cover_a_time_once() -> None:
    chance = random.Random(3)
    for _ in range(2_000):
        since_s, until_s = sorted(chance.randrange(4 * DAY_S // 60) * 60 for _ in "ab")
        covered = sorted((from_s, to_s) for _, from_s, to_s in pieces(since_s, until_s))
        assert sum(to_s - from_s for from_s, to_s in covered) == until_s - since_s
        assert all(a[1] == b[0] for a, b in pairwise(covered))
        for table, from_s, to_s in pieces(since_s, until_s):
            size = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S}[table.name.split("_")[1]]
            assert from_s % size == to_s % size == 0


def test_names_beyond_the_bound_are_counted_together(store: RecordStore) -> None:
    most = {"user": 2, "feature": 9, "alias": 9, "model": 9, "group": 9}
    for turn, segment in enumerate("abc"):  # a new loader each time remembers nothing
        intake = Intake(store.database, Names(most))
        rows = [row(10 * turn + n, user=f"u{n}", started_ns=n, cost_nanousd=1) for n in range(4)]
        intake.insert(Batch(rows), Place("here", segment, 1))
    found = {each.name: each.cost_nanousd for each in ask(store, "user", 0, DAY_S).rows}
    assert found == {"u0": 3, "u1": 3, "other": 6}
    assert store.held.charged("user", None, 0) == {"u0": 3, "u1": 3, "u2": 3, "u3": 3}


def test_combinations_beyond_the_bound_are_counted_together(store: RecordStore) -> None:
    most = {"user": 9, "feature": 9, "alias": 9, "model": 9, "group": 3}
    intake = Intake(store.database, Names(most))
    rows = [row(n, user=f"u{n}", started_ns=n, cost_nanousd=1) for n in range(8)]
    intake.insert(Batch(rows), Place("here", "a", 1))
    found = {each.name: each.cost_nanousd for each in ask(store, "user", 0, DAY_S).rows}
    assert sorted(found.values()) == [1, 1, 1, 5]
    assert found["other"] == 5
    with store.database.reading() as connection:
        assert len(connection.execute(select(rollups_minute)).all()) == 4


@pytest.mark.parametrize("step", ["hour", "day"])
def test_what_names_cost_over_time_are_the_sums_of_the_records(
    store: RecordStore, step: Literal["hour", "day"]
) -> None:
    rows = some(5)
    put(store, *rows)
    since_s, until_s = NOON_S - DAY_S // 2, NOON_S + DAY_S
    step_s = HOUR_S if step == "hour" else DAY_S
    query = SpendQuery("user", since_s * SECOND_NS, until_s * SECOND_NS, {"team": "ads"})
    spending, bars = store.spending.course(query, step, 2)
    assert spending == store.spending.spend(query)
    dearest = [each.name for each in spending.rows[:2]]
    meant = Counter[tuple[int, str | None]]()
    for each in rows:
        began_s = each["started_ns"] // SECOND_NS
        if since_s <= began_s < until_s and each["team"] == "ads":
            name = each["user"] if each["user"] in dearest else "rest"
            meant[began_s // step_s * step_s, name] += each["cost_nanousd"] or 0
    told = {(bar.began_s, "rest" if bar.rest else bar.name): bar.cost_nanousd for bar in bars}
    assert {at: cost for at, cost in told.items() if cost} == {
        at: cost for at, cost in meant.items() if cost
    }
