"""The store of records."""

from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError
from storing import put, row

from tidegate.store.records import Filter, Found, RecordStore
from tidegate.store.rows import Added, Batch, Place


def payloads(found: list[Found]) -> list[bytes]:
    return [each.payload for each in found]


def test_rows_and_their_place_are_kept(store: RecordStore) -> None:
    assert put(store, row(1), row(2), offset=10) == Added(new=2, known=0)
    assert store.offsets("here") == {"one.spool1": 10}
    assert store.get("req_2") == b"2"
    assert store.get("req_3") is None
    assert put(store, offset=20) == Added(0, 0)
    assert store.offsets("here") == {"one.spool1": 20}
    store.forget("here", "one.spool1")
    assert store.offsets("here") == {}


def test_segments_of_two_spools_may_have_one_name(store: RecordStore) -> None:
    for spool, offset in (("here", 10), ("there", 20)):
        store.insert(Batch(), Place(spool, "one.spool1", offset))
    assert store.offsets("here") == {"one.spool1": 10}
    store.forget("here", "one.spool1")
    assert store.offsets("there") == {"one.spool1": 20}


def test_places_from_before_spools_had_names_go_to_the_one_there_is(store: RecordStore) -> None:
    store.insert(Batch(), Place("", "one.spool1", 10))
    store.name_spool("here")
    assert store.offsets("here") == {"one.spool1": 10}


def test_known_request_id_is_not_added_again(store: RecordStore) -> None:
    put(store, row(1))
    assert put(store, row(1, payload=b"other"), row(2), row(2)) == Added(new=1, known=2)
    assert store.get("req_1") == b"1"


def test_transaction_that_fails_leaves_neither_rows_nor_place(store: RecordStore) -> None:
    broken = row(2, outcome=None)
    with pytest.raises(SQLAlchemyError):
        put(store, row(1), broken)
    assert store.offsets("here") == {}
    assert store.get("req_1") is None


def test_recent_are_the_newest_by_their_start_oldest_first(store: RecordStore) -> None:
    put(store, row(3), row(1), row(4), row(2))
    assert payloads(store.recent(3, Filter())) == [b"2", b"3", b"4"]


def test_after_gives_what_was_loaded_since(store: RecordStore) -> None:
    assert store.last_id() == 0
    put(store, row(3), row(1))
    last_id = store.last_id()
    put(store, row(9), row(5), row(7))
    found = store.after(last_id, 2, Filter())
    assert payloads(found) == [b"9", b"5"]
    assert payloads(store.after(found[-1].id, 2, Filter())) == [b"7"]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(alias="slow"), [2]),
        (Filter(key="app"), [3]),
        (Filter(outcome="upstream_failed"), [2]),
        (Filter(errors=True), [2]),
        (Filter(target="local"), [3]),
        (Filter(target="local/smol"), [3]),
        (Filter(target="loc"), []),
        (Filter(since_ns=2), [2, 3]),
        (Filter(errors=True, key="app"), []),
        (Filter(alias="' OR 1=1 --"), []),
    ],
)
def test_filters_narrow(store: RecordStore, wanted: Filter, numbers: list[int]) -> None:
    rows = [
        row(1),
        row(2, alias="slow", outcome="upstream_failed"),
        row(3, key="app", provider="local", target="local/smol"),
    ]
    put(store, *rows)
    expected = [b"%d" % number for number in numbers]
    assert payloads(store.recent(10, wanted)) == expected
    assert payloads(store.after(0, 10, wanted)) == expected


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    store = RecordStore(f"sqlite:///{tmp_path}/deep/er/tidegate.db")
    store.create()
    put(store, row(1))
    files = list((tmp_path / "deep" / "er").iterdir())
    assert {file.name for file in files} >= {"tidegate.db", "tidegate.db-wal"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    store.close()


def test_making_the_store_twice_changes_nothing(store: RecordStore) -> None:
    put(store, row(1))
    store.create()
    assert store.get("req_1") == b"1"


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        RecordStore("mysql://localhost/tidegate")


def test_last_use_of_keys_is_when_they_asked_last(store: RecordStore) -> None:
    put(store, row(3, key="a"), row(9, key="a"), row(5, key="b"))
    assert store.last_used(["a", "c"]) == {"a": row(9)["started_ns"]}
