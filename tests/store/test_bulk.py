"""Many rows at once are as they were told, however they are spelled on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from storing import put, row

from tidegate.store.records import RecordStore
from tidegate.store.tables.money import charges, rollup_groups
from tidegate.store.tables.records import records

NAMES = (
    "plain", "", "null", "NULL", "{a,b}", 'quo"te', "back\\slash", 'both\\"', "two\nlines",
    "tab\t", "a,b", " ", "Grüße", "日本", "\x1f", "\u2028", "\\N", "'",
)  # fmt: skip


@pytest.fixture
def store(any_store_url: str) -> Iterator[RecordStore]:
    opened = RecordStore(any_store_url)
    opened.create()
    yield opened
    opened.close()


@pytest.mark.parametrize("together", [True, False])
def test_names_are_kept_as_they_are(store: RecordStore, *, together: bool) -> None:
    rows = [
        row(number, key=name, team=None, feature=name, cost_nanousd=7)
        for number, name in enumerate(NAMES)
    ]
    for number, some in enumerate([rows] if together else [[each] for each in rows]):
        put(store, *some, segment=f"{number}.spool1")
    with store.database.reading() as connection:
        kept = connection.execute(select(records.c.key, records.c.payload)).all()
        groups = connection.execute(select(rollup_groups.c.key, rollup_groups.c.team)).all()
        charged = connection.execute(select(charges.c.name).where(charges.c.kind == "key"))
        assert sorted(map(tuple, kept)) == sorted((r["key"], r["payload"]) for r in rows)
        assert sorted(map(tuple, groups)) == [(name, None) for name in sorted(NAMES)]
        assert sorted(charged.scalars()) == sorted(NAMES)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 63, 2_500])
def test_no_row_is_left_out_of_however_many(store: RecordStore, count: int) -> None:
    rows = [row(number, user=f"user-{number}", cost_nanousd=1) for number in range(count)]
    put(store, *rows)
    with store.database.reading() as connection:
        ids = connection.execute(select(records.c.request_id)).scalars()
        assert sorted(ids) == sorted(each["request_id"] for each in rows)
        mine = select(charges.c.nanousd).where(charges.c.kind == "alias")
        assert sum(connection.execute(mine).scalars()) == count
