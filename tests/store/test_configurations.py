"""Configurations in each kind of store."""

from __future__ import annotations

import pytest

from tidegate.store.configurations import ASKED_NS, MOST_KEPT, ConfigurationStore, ask
from tidegate.store.database import Database
from tidegate.store.records import RecordStore


@pytest.fixture
def database(store: RecordStore) -> Database:
    return store.database


def history(store: ConfigurationStore) -> list[tuple[str, int, int, int, str, str | None]]:
    return [
        (each.version, each.first_ns, each.since_ns, each.last_ns, each.how, each.by)
        for each in store.all()
    ]


def test_versions_say_since_when_and_how_long(database: Database) -> None:
    store = ConfigurationStore(database)
    store.take("a", "one", (), 10, before=None)
    store.seen("a", 20)
    store.seen("a", 15)  # a clock that went back
    store.take("b", "two", ("keys[0].secret",), 30, before="a")
    assert history(store) == [("b", 30, 30, 30, "file", None), ("a", 10, 10, 29, "start", None)]
    assert (store.text("a"), store.text("b"), store.text("c")) == ("one", "two", None)
    assert [(each.hidden, each.kept, each.size_bytes) for each in store.all()] == [
        (("keys[0].secret",), True, 3), ((), True, 3),
    ]  # fmt: skip


def test_restart_with_the_same_one_changes_nothing_but_its_text(database: Database) -> None:
    store = ConfigurationStore(database)
    store.take("a", "one", (), 10, before=None)
    store.take("b", "two", (), 20, before="a")
    store.take("b", "two  # with a comment", (), 90, before=None)
    assert history(store)[0] == ("b", 20, 20, 90, "file", None)
    assert store.text("b") == "two  # with a comment"


def test_what_was_asked_for_is_a_roll_back_when_it_comes_soon(database: Database) -> None:
    store = ConfigurationStore(database)
    store.take("a", "one", (), 10, before=None)
    store.take("b", "two", (), 20, before="a")
    with database.writing() as connection:
        ask(connection, "a", "ann", 30)
    store.take("a", "one", (), 40, before="b")
    assert history(store)[0] == ("a", 10, 40, 40, "rollback", "ann")
    store.take("b", "two", (), 50, before="a")
    store.take("a", "one", (), 60, before="b")
    assert history(store)[0] == ("a", 10, 60, 60, "file", None)
    with database.writing() as connection:
        ask(connection, "b", "ann", 70)
    late = 70 + ASKED_NS
    store.take("b", "two", (), late, before="a")
    assert history(store)[0] == ("b", 20, late, late, "file", None)


def test_a_bounded_number_is_kept_of_those_in_force_last(database: Database) -> None:
    store = ConfigurationStore(database)
    before = None
    for number in range(MOST_KEPT + 5):
        store.take(f"v{number}", None, (), 10 * number, before=before)
        before = f"v{number}"
    kept = [each.version for each in store.all()]
    assert len(kept) == MOST_KEPT
    assert kept[0] == before
    assert "v4" not in kept
    assert not store.all()[0].kept
