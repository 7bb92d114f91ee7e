"""How far the spools of several machines have been loaded."""

from __future__ import annotations

import pytest

from tidegate.store.records import RecordStore
from tidegate.store.spools import SpoolStore

LONG_AGO, NOW = 1, 10**18


@pytest.fixture
def spools(store: RecordStore) -> SpoolStore:
    return SpoolStore(store.database)


def test_nobody_is_behind_before_anybody_has_said_anything(spools: SpoolStore) -> None:
    assert spools.asked() == 0
    assert spools.behind(spools.ask(), LONG_AGO) == []
    assert spools.asked() == 1


def test_who_has_not_answered_the_question_is_behind(spools: SpoolStore) -> None:
    for name in ("one", "other"):
        spools.answer(name, spools.asked(), NOW)
    number = spools.ask()
    spools.answer("one", number, NOW)
    assert spools.behind(number, LONG_AGO) == ["other"]
    spools.answer("other", number, NOW)
    assert spools.behind(number, LONG_AGO) == []


def test_who_has_been_gone_for_long_is_not_waited_for(spools: SpoolStore) -> None:
    spools.answer("gone", 0, LONG_AGO)
    assert spools.behind(spools.ask(), NOW) == []
