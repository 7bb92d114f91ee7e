"""The store of records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tidegate.store.records import Filter, Found, RecordStore, Row


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    store = RecordStore(f"sqlite:///{tmp_path}/deep/er/tidegate.db")
    store.create()
    yield store
    store.close()


def row(number: int, **fields: Any) -> Row:
    columns: dict[str, Any] = {
        "request_id": f"req_{number}", "started_ns": number, "alias": "fast", "key": "web",
        "outcome": "ok", "provider": "openai", "target": "openai/gpt", "payload": b"%d" % number,
    }  # fmt: skip
    return cast("Row", {**columns, **fields})


def payloads(found: list[Found]) -> list[bytes]:
    return [each.payload for each in found]


def test_rows_and_their_place_are_kept(store: RecordStore) -> None:
    assert store.insert([row(1), row(2)], "one.spool1", 10) == 2
    assert store.offsets() == {"one.spool1": 10}
    assert store.get("req_2") == b"2"
    assert store.get("req_3") is None
    assert store.insert([], "one.spool1", 20) == 0
    assert store.offsets() == {"one.spool1": 20}
    store.forget("one.spool1")
    assert store.offsets() == {}


def test_known_request_id_is_not_added_again(store: RecordStore) -> None:
    store.insert([row(1)], "one.spool1", 10)
    assert store.insert([row(1, payload=b"other"), row(2)], "two.spool1", 10) == 1
    assert store.get("req_1") == b"1"


def test_transaction_that_fails_leaves_neither_rows_nor_place(store: RecordStore) -> None:
    broken = row(2, outcome=None)
    with pytest.raises(SQLAlchemyError):
        store.insert([row(1), broken], "one.spool1", 10)
    assert store.offsets() == {}
    assert store.get("req_1") is None


def test_recent_are_the_newest_by_their_start_oldest_first(store: RecordStore) -> None:
    store.insert([row(3), row(1), row(4), row(2)], "one.spool1", 1)
    assert payloads(store.recent(3, Filter())) == [b"2", b"3", b"4"]


def test_after_gives_what_was_loaded_since(store: RecordStore) -> None:
    assert store.last_id() == 0
    store.insert([row(3), row(1)], "one.spool1", 1)
    last_id = store.last_id()
    store.insert([row(9), row(5), row(7)], "one.spool1", 2)
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
    store.insert(rows, "one.spool1", 1)
    expected = [b"%d" % number for number in numbers]
    assert payloads(store.recent(10, wanted)) == expected
    assert payloads(store.after(0, 10, wanted)) == expected


def test_files_are_for_the_owner_only(store: RecordStore, tmp_path: Path) -> None:
    store.insert([row(1)], "one.spool1", 1)
    files = list((tmp_path / "deep" / "er").iterdir())
    assert {file.name for file in files} >= {"tidegate.db", "tidegate.db-wal"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_making_the_store_twice_changes_nothing(store: RecordStore) -> None:
    store.insert([row(1)], "one.spool1", 1)
    store.create()
    assert store.get("req_1") == b"1"


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        RecordStore("postgresql://localhost/tidegate")
