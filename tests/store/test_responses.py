"""The store of kept responses."""

from __future__ import annotations

from storing import put

from tidegate.store.records import RecordStore
from tidegate.store.responses import MOST_BYTES
from tidegate.store.rows import ResponseRow


def row(
    id_: str,
    previous: str | None = None,
    *,
    root: str | None = None,
    owner: str = "key:ann",
    expires_ns: int = 100,
    payload: bytes | None = None,
) -> ResponseRow:
    return ResponseRow(
        id=id_,
        owner=owner,
        root=root or id_,
        previous=previous,
        created_ns=1,
        expires_ns=expires_ns,
        payload=payload or id_.encode(),
        user=None,
    )


def add(store: RecordStore, *rows: ResponseRow) -> int:
    return put(store, responses=list(rows)).new


def test_conversation_comes_back_last_one_first(store: RecordStore) -> None:
    add(store, row("c", "b"), row("a"), row("b", "a"), row("x"))
    past = store.responses.past("c", "key:ann", 0, 10)
    assert (past.payloads, past.missing) == ([b"c", b"b", b"a"], False)
    past = store.responses.past("c", "key:ann", 0, 2)
    assert (past.payloads, past.missing) == ([b"c", b"b"], False)


def test_gap_is_told(store: RecordStore) -> None:
    add(store, row("c", "b"), row("a"))
    past = store.responses.past("c", "key:ann", 0, 10)
    assert (past.payloads, past.missing) == ([b"c"], True)
    past = store.responses.past("none", "key:ann", 0, 10)
    assert (past.payloads, past.missing) == ([], True)


def test_others_and_expired_ones_are_not_there(store: RecordStore) -> None:
    add(store, row("a"))
    assert store.responses.past("a", "key:bob", 0, 1).payloads == []
    assert store.responses.past("a", "key:ann", 100, 1).payloads == []


def test_long_conversation_is_cut(store: RecordStore) -> None:
    half = b"x" * (MOST_BYTES // 2 + 1)
    add(store, *(row(f"r{n}", f"r{n - 1}" if n else None, payload=half) for n in range(4)))
    past = store.responses.past("r3", "key:ann", 0, 10)
    assert (len(past.payloads), past.missing) == (2, False)


def test_known_id_is_not_added_again(store: RecordStore) -> None:
    assert add(store, row("a"), row("b")) == 2
    assert add(store, row("a", owner="key:bob"), row("c")) == 1
    assert store.responses.past("a", "key:ann", 0, 1).payloads == [b"a"]


def test_only_the_owner_deletes(store: RecordStore) -> None:
    add(store, row("a"))
    assert not store.responses.forget("a", "key:bob")
    assert store.responses.forget("a", "key:ann")
    assert not store.responses.forget("a", "key:ann")


def test_conversation_expires_with_its_last_response(store: RecordStore) -> None:
    add(
        store,
        row("a", expires_ns=10),
        row("b", "a", root="a", expires_ns=20),
        row("c", "a", root="a", expires_ns=30),
        row("x", expires_ns=10),
    )
    assert store.responses.purge(20) == 1
    assert store.responses.past("c", "key:ann", 20, 10).payloads == [b"c", b"a"]
    assert store.responses.purge(30) == 3
