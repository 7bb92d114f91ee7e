"""Marginal sums: whether they are made or not, every answer is the sum of the records."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from threading import Thread
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import func, select
from storing import put, row

from tidegate.store.database import Database
from tidegate.store.erased import ERASED
from tidegate.store.erasure import Erasure
from tidegate.store.marginals import NAMES, Marginals
from tidegate.store.migrations import upgrade
from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention, purge
from tidegate.store.rows import Row
from tidegate.store.spend import SpendQuery
from tidegate.store.tables.marginals import marginals, marginals_stale

SECOND_NS = 10**9
DAY_S, HOUR_S = 86_400, 3_600
BEGAN_S = 20_000 * DAY_S
EMPTY = msgspec.msgpack.encode({})
FAR_S = BEGAN_S + 90 * DAY_S


def some(chance: random.Random, count: int, first: int = 0, days: int = 4) -> list[Row]:
    """Requests of some days, of few names of each kind, in no order of time."""
    return [
        row(
            number,
            started_ns=(BEGAN_S + chance.randrange(days * DAY_S)) * SECOND_NS + number,
            user=chance.choice(["ann", "bob", "", None]),
            key=chance.choice(["web", "jobs"]),
            team=chance.choice(["search", "ads", None]),
            organisation=chance.choice(["one", None]),
            feature=chance.choice(["a", "=b", "a,b"]),
            alias=chance.choice(["fast", "other"]),
            model=chance.choice(["small", "large"]),
            cost_nanousd=chance.choice([None, 0, 1, 10**6, 10**12]),
            tokens=(1, 2, 3, 4, 5, 6, 7),
            ended=chance.choice(["ok", "failed"]),
            payload=EMPTY,
            slow=chance.random() < 0.2,
            elsewhere=chance.choice([(), (("azure", "large", 1),)]),
        )
        for number in range(first, first + count)
    ]


def charged(each: Row) -> list[dict[str, Any]]:
    """A request as it is counted: once for itself, and for each try elsewhere."""
    told = {**cast("dict[str, Any]", each), "outcome": each["ended"]}
    cost = each["cost_nanousd"] or 0
    tries = [
        {**told, "provider": provider, "model": model, "cost": spent, "requests": 0}
        for provider, model, spent in each["elsewhere"]
    ]
    own = cost - sum(spent for _, _, spent in each["elsewhere"])
    return [*tries, {**told, "cost": own, "requests": 1}]


def assert_sums(store: RecordStore, rows: list[Row], chance: random.Random, turns: int) -> None:
    """Ask by anything, of anything, and find what the records come to."""
    for _ in range(turns):
        by = chance.choice(NAMES)
        since_s, until_s = sorted(
            BEGAN_S + chance.randrange(-DAY_S, 5 * DAY_S) // 60 * 60 for _ in "ab"
        )
        of = chance.sample(NAMES, chance.choice([0, 1, 1, 2]))
        filters = {name: _a_name(rows, name, chance) for name in of}
        meant = [
            told
            for each in rows
            if since_s <= each["started_ns"] // SECOND_NS < until_s
            for told in charged(each)
            if all(told[name] == value for name, value in filters.items())
        ]
        cost, requests = Counter[str | None](), Counter[str | None]()
        for told in meant:
            cost[told[by]] += told["cost"]
            requests[told[by]] += told["requests"]
        asked = SpendQuery(by, since_s * SECOND_NS, until_s * SECOND_NS, filters)  # type: ignore[arg-type]
        found = store.spending.spend(asked)
        assert {each.name: each.cost_nanousd for each in found.rows} == dict(cost)
        assert {each.name: each.requests for each in found.rows} == dict(requests)
        assert found.total.slow == sum(told["slow"] for told in meant if told["requests"])
        assert found.total.reasoning_tokens == 5 * found.total.requests
        for span in ("day", "hour"):
            spans = store.spending.spend(replace(asked, by=span))
            assert spans.total == found.total
        same, bars = store.spending.course(asked, "day", 2)
        assert same == found
        for each in found.rows[:2]:
            drawn = [bar.cost_nanousd for bar in bars if bar.name == each.name and not bar.rest]
            assert sum(drawn) == each.cost_nanousd
        assert sum(bar.cost_nanousd for bar in bars) == found.total.cost_nanousd
        assert not any(bar.rest and bar.name is not None for bar in bars)


def _a_name(rows: list[Row], name: str, chance: random.Random) -> str:
    key = "ended" if name == "outcome" else name
    return chance.choice([cast("dict[str, Any]", each)[key] for each in rows]) or "nobody"


@pytest.mark.parametrize("seed", [1, 2])
def test_sums_are_those_of_the_records_whatever_is_made_and_comes_late(
    store: RecordStore, seed: int
) -> None:
    chance, made = random.Random(seed), Marginals(store.database)
    rows: list[Row] = []
    for turn in range(5):
        fresh = some(chance, 60, first=100 * turn)
        rows += fresh
        put(store, *fresh, segment=f"{turn}.spool1")
        for _ in range(chance.randrange(60)):
            made.make(BEGAN_S + chance.randrange(5 * DAY_S))
        if turn % 2:  # a spool that is loaded again
            put(store, *rows, segment=f"again-{turn}.spool1")
        assert_sums(store, rows, chance, 5)
    while made.make(FAR_S):
        pass
    assert not stale(store)
    assert_sums(store, rows, chance, 15)
    put(store, *rows, segment="again.spool1")
    assert not stale(store), "what is known changes nothing"


def stale(store: RecordStore) -> list[tuple[int, int]]:
    with store.database.reading() as connection:
        found = connection.execute(select(marginals_stale))
        return [(span_s, began_s) for span_s, began_s, _ in found]


def test_only_what_is_over_is_made(store: RecordStore) -> None:
    made = Marginals(store.database)
    put(store, row(1, started_ns=(BEGAN_S + 30) * SECOND_NS, cost_nanousd=1))
    assert not made.make(BEGAN_S + HOUR_S)
    assert made.make(BEGAN_S + HOUR_S + 300)
    assert stale(store) == [(DAY_S, BEGAN_S)]
    assert not made.make(BEGAN_S + DAY_S)
    assert made.make(BEGAN_S + DAY_S + 1_800)
    assert stale(store) == []
    put(store, row(2, started_ns=(BEGAN_S + 31) * SECOND_NS, cost_nanousd=1))
    assert sorted(stale(store)) == [(HOUR_S, BEGAN_S), (DAY_S, BEGAN_S)]


def test_records_that_come_while_marginals_are_made_are_in_them(store: RecordStore) -> None:
    chance, made = random.Random(7), Marginals(store.database)
    rows = some(chance, 400, days=1)

    def load() -> None:
        for first in range(0, len(rows), 20):
            put(store, *rows[first : first + 20], segment=f"{first}.spool1")

    loading = Thread(target=load)
    loading.start()
    while loading.is_alive():
        made.make(FAR_S)
    loading.join()
    while made.make(FAR_S):
        pass
    assert not stale(store)
    assert_sums(store, rows, chance, 10)


def test_erased_user_is_in_no_marginal_and_all_sums_stay(store: RecordStore) -> None:
    chance, made = random.Random(4), Marginals(store.database)
    rows = some(chance, 200)
    put(store, *rows)
    for _ in range(70):
        made.make(FAR_S)
    assert stale(store), "some are made, and some are not"
    assert told_of(store, "ann")
    erasure = Erasure(store.database, "ann")
    with store.database.writing("records") as connection:
        erasure.remember(connection, FAR_S * SECOND_NS)
    while not erasure.is_done:
        erasure.step(FAR_S * SECOND_NS)
    assert not told_of(store, "ann")
    after = [cast("Row", {**r, "user": ERASED}) if r["user"] == "ann" else r for r in rows]
    assert_sums(store, after, chance, 12)
    while made.make(FAR_S):
        pass
    assert_sums(store, after, chance, 12)
    assert not told_of(store, "ann")


def told_of(store: RecordStore, name: str) -> int:
    mine = (marginals.c.name == f"={name}") | (marginals.c.other == f"={name}")
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).where(mine)).scalar_one()


def test_marginals_go_with_their_rollups(store: RecordStore) -> None:
    made = Marginals(store.database)
    put(store, *some(random.Random(5), 100))
    while made.make(FAR_S):
        pass
    now_ns = (BEGAN_S + 4 * DAY_S) * SECOND_NS
    put(store, row(999, started_ns=BEGAN_S * SECOND_NS))  # stale again, and too old
    terms = Retention(records_s=None, minutes_s=DAY_S, hours_s=2 * DAY_S, days_s=3 * DAY_S)
    while purge(store.database, terms, now_ns):
        pass
    with store.database.reading() as connection:
        oldest = select(marginals.c.span_s, func.min(marginals.c.began_s))
        found = dict(map(tuple, connection.execute(oldest.group_by(marginals.c.span_s))))
    assert found == {HOUR_S: BEGAN_S + 2 * DAY_S, DAY_S: BEGAN_S + DAY_S}
    assert stale(store) == []


def test_store_of_the_version_before_has_its_marginals_made(any_store_url: str) -> None:
    database = Database(any_store_url)
    database.touch()
    upgrade(database, "0010")
    groups = [("web", "'ann'", "search"), ("jobs", "NULL", "ads")]
    with database.writing() as connection:
        for number, (key, user, team) in enumerate(groups):
            connection.exec_driver_sql(
                'INSERT INTO rollup_groups (id, key, "user", team, outcome) VALUES '
                f"({number}, '{key}', {user}, '{team}', 'ok')"
            )
            for table in ("minute", "hour", "day"):
                connection.exec_driver_sql(
                    f"INSERT INTO rollups_{table} VALUES ({BEGAN_S}, {number}, "
                    f"1, 0, 0, 1, 2, 3, 4, 5, 6, 7, {10 + number}, 0)"
                )
    database.close()
    store = RecordStore(any_store_url)
    store.create()
    made = Marginals(store.database)
    for _ in range(3):
        for by, names in (("user", ["ann", None]), ("team", ["search", "ads"])):
            asked = SpendQuery(by, 0, FAR_S * SECOND_NS)  # type: ignore[arg-type]
            found = store.spending.spend(asked).rows
            assert {each.name: each.cost_nanousd for each in found} == {names[0]: 10, names[1]: 11}
        made.make(FAR_S)
    assert stale(store) == []
    store.close()
