"""Packed bins: whether they are packed or not, what is told of a time is what was counted in it."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sqlalchemy import func, select
from storing import put, row

from tidegate.store.marginals import Marginals
from tidegate.store.quality import Asked, QualityStore
from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention, purge
from tidegate.store.rows import Observed, Row, Sample
from tidegate.store.tables.packed import quality_packed

SECOND_NS = 10**9
DAY_S, HOUR_S = 86_400, 3_600
BEGAN_S = 20_000 * DAY_S
FAR_S = BEGAN_S + 90 * DAY_S
DAYS = 12


def some(chance: random.Random, count: int, first: int) -> list[Row]:
    """Answers of some days, in no order of time; some of them with words."""
    rows: list[Row] = []
    for number in range(first, first + count):
        sample = None
        if chance.random() < 0.4:
            sample = Sample(
                language=chance.randrange(3), refuses=False, grams={7: 2, number % 5: 1}
            )
        seen = Observed(
            chance.choice(["gpt", "claude"]), chance.choice(["7", None]), "good", truncated=False,
            refused=False, length_bin=chance.randrange(6), wait_bin=chance.choice([None, 3]),
            sample=sample,
        )  # fmt: skip
        at_s = BEGAN_S + chance.randrange(DAYS * DAY_S)
        alias = chance.choice(["fast", "slow"])
        rows.append(row(number, started_ns=at_s * SECOND_NS, alias=alias, observed=seen))
    return rows


def counted(rows: list[Row], asked: Asked) -> Counter[tuple[int, object, str, int]]:
    """The same from the records: by part, group, kind and bin."""
    found = Counter[tuple[int, object, str, int]]()
    for each in rows:
        at_s, seen = each["started_ns"] // SECOND_NS, each.get("observed")
        if seen is None or not asked.since_s <= at_s < asked.until_s:
            continue
        part_s = at_s - (at_s - asked.since_s) % asked.part_s
        group = each["alias"], seen.model, seen.version
        found[part_s, group, "length", seen.length_bin or 0] += 1
        if seen.wait_bin is not None:
            found[part_s, group, "wait", seen.wait_bin] += 1
        if seen.sample is not None:
            found[part_s, group, "language", seen.sample.language] += 1
            for gram, count in seen.sample.grams.items():
                found[part_s, (each["alias"], None, None), "gram", gram] += count
    return found


def assert_bins(store: RecordStore, rows: list[Row], chance: random.Random) -> None:
    for part_h in (1, 7, 24, 30, 48, 168):
        until_s = BEGAN_S + chance.randrange(1, 24 * DAYS + 12) * HOUR_S
        since_s = until_s - chance.randrange(1, 1 + 24 * DAYS // part_h) * part_h * HOUR_S
        asked = Asked(since_s, until_s, part_h * HOUR_S)
        told = QualityStore(store.database).bins(asked, "length", "wait", "language", "gram")
        flat = {
            (began_s, group, kind, value): count
            for (began_s, group, kind), bins in told.items()
            for value, count in bins.items()
        }
        assert flat == dict(counted(rows, asked))


@pytest.mark.parametrize("seed", [1, 2])
def test_bins_are_those_of_the_answers_whatever_is_packed(store: RecordStore, seed: int) -> None:
    chance, made = random.Random(seed), Marginals(store.database)
    rows: list[Row] = []
    for turn in range(3):
        fresh = some(chance, 50, 100 * turn)
        rows += fresh
        put(store, *fresh, segment=f"{turn}.spool1")
        for _ in range(chance.randrange(40)):
            made.make(BEGAN_S + chance.randrange(DAYS * DAY_S))
        assert_bins(store, rows, chance)
    while made.make(FAR_S):
        pass
    for _ in range(4):
        assert_bins(store, rows, chance)


def test_packed_bins_go_with_the_hours(store: RecordStore) -> None:
    made = Marginals(store.database)
    put(store, *some(random.Random(3), 50, 0))
    while made.make(FAR_S):
        pass
    now_ns = (BEGAN_S + DAYS * DAY_S) * SECOND_NS
    while purge(store.database, Retention(records_s=None, hours_s=2 * DAY_S), now_ns):
        pass
    with store.database.reading() as connection:
        oldest_s = connection.execute(select(func.min(quality_packed.c.began_s))).scalar_one()
    assert oldest_s >= BEGAN_S + (DAYS - 2) * DAY_S
