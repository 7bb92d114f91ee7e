"""A user who was erased is nowhere any more, comes back by no way, and no sum has changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from storing import hold, put, row

from tidegate.store.alerts import AlertStore
from tidegate.store.erasure import Erasure, digest_of, scrubbed
from tidegate.store.records import Filter, RecordStore
from tidegate.store.rows import FeedbackRow, ResponseRow
from tidegate.store.schema import SCHEMA
from tidegate.store.spend import SpendQuery
from tidegate.store.tables.admin import rules, users
from tidegate.store.tables.alerts import silences
from tidegate.store.tables.erasures import erasures
from tidegate.store.tables.money import rollups_day
from tidegate.telemetry.record import Attempt, Record, decode, encode

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
NOW_NS = 1_795_000_000 * SECOND_NS
NAME = "ann@example.com"


def a_record(number: int, user: str | None = NAME, **fields: Any) -> Record:
    return Record(
        request_id=f"req_{number}", started_ns=NOW_NS - number * SECOND_NS, worker="gw-0",
        wire="chat", path="/", config_version="c", user=user, team="red", organisation="acme",
        conversation=f"talk of {user}", tags={"ticket": f"{user}-7"}, cost_nanousd=number,
        trace_parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01", error=f"no {user}",
        attempts=[Attempt("p/m", "ok", 0.0, 1.0, detail=f"saw {user}")],
        request_body=b'{"a": "secret of %s"}' % (user or "").encode(), response_body=b"{}",
        **fields,
    )  # fmt: skip


def a_row(number: int, user: str | None = NAME, **fields: Any) -> Any:
    record = a_record(number, user)
    return row(
        number, payload=encode(record), started_ns=record.started_ns, user=user, team="red",
        organisation="acme", conversation=record.conversation, cost_nanousd=number,
        has_bodies=True, trace="1" * 32, **fields,
    )  # fmt: skip


def a_response(id_: str, root: str, user: str | None) -> ResponseRow:
    return ResponseRow(
        id=id_, owner="team:red", root=root, previous=None if id_ == root else root,
        created_ns=NOW_NS, expires_ns=NOW_NS + DAY_NS, payload=b"said by %s" % str(user).encode(),
        user=user,
    )  # fmt: skip


def feedback_on(number: int, text: str) -> FeedbackRow:
    return FeedbackRow(
        request_id=f"req_{number}", trace=None, by_key="web", by_team="red", feedback_id="",
        at_ns=NOW_NS, thumbs="up", rating=None, text=text, labels='{"who": "ann@example.com"}',
    )  # fmt: skip


def begin(store: RecordStore, now_ns: int = NOW_NS + SECOND_NS) -> Erasure:
    erasure = Erasure(store.database, NAME)
    with store.database.writing("admin") as connection:
        erasure.remember(connection, now_ns)
    return erasure


def finish(erasure: Erasure, most: int = 500) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _ in range(100):
        for kind, count in erasure.step(NOW_NS, most).items():
            counts[kind] = counts.get(kind, 0) + count
        if erasure.is_done:
            return counts
    raise AssertionError("it does not end")


def everything(store: RecordStore) -> bytes:
    """All that stands in any table."""
    with store.database.reading() as connection:
        rows = [tuple(row) for table in SCHEMA.tables.values()
                for row in connection.execute(select(table))]  # fmt: skip
    return repr(rows).encode()


def sums(store: RecordStore) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for by in ("team", "organisation", "key", "alias", "model", "provider"):
        found = store.spending.spend(SpendQuery(by, 0, NOW_NS + DAY_NS))
        told[by] = sorted(
            (each.name or "", each.requests, each.cost_nanousd) for each in found.rows
        )
        told[f"charged {by}"] = store.held.charged(by, None, 0)
    return told


def full(store: RecordStore) -> None:
    rows = [a_row(number) for number in range(1, 8)]
    rows += [a_row(number, "bob") for number in range(8, 12)] + [a_row(12, None)]
    responses = [
        a_response("r1", "r1", NAME), a_response("r2", "r1", "bob"), a_response("r3", "r3", "bob"),
    ]  # fmt: skip
    held = encode(a_record(99, outcome="held", held_nanousd=5))
    put(
        store, *rows, responses=responses, feedback=[feedback_on(1, f"I am {NAME}")],
        holds=[hold(99, payload=held, started_ns=NOW_NS - SECOND_NS)],
    )  # fmt: skip
    with store.database.writing() as connection:
        connection.execute(users.insert().values(name=NAME, team="red", created_ns=1))
        values = {"kind": "user", "name": NAME, "limits": "{}", "updated_ns": 1}
        connection.execute(rules.insert().values(**values))
        silence = {"id": "s", "rule": None, "labels": f'{{"user":"{NAME}"}}', "until_ns": 1 << 62}
        connection.execute(silences.insert().values(**silence, why="", by="", created_ns=1))
    memory = {
        "active": {"x": {"rule": "r", "finding": {"labels": {"kind": "user", "name": NAME}}}},
        "told": {f"user/{NAME}/month/UTC/1/0.5/7": 7, "else": 8},
        "recent": [{"labels": {"user": NAME}}, {"labels": {"user": "bob"}}],
    }
    AlertStore(store.database).turn(lambda _kept: msgspec.json.encode(memory))


def test_nothing_that_names_the_user_is_left_and_no_sum_changes(store: RecordStore) -> None:
    full(store)
    before = sums(store)
    there = Erasure(store.database, NAME).found()
    assert there == {
        "records": 7, "responses": 2, "feedback": 1, "holds": 1, "charges": 1, "rollups": 1,
        "alerts": 1, "limits": 1, "users": 1,
    }  # fmt: skip
    assert NAME.encode() in everything(store)
    counts = finish(begin(store))
    there["alerts"] += 1  # the silence
    assert counts == {name: n for name, n in there.items() if name not in ("limits", "users")}
    assert NAME.encode() not in everything(store)
    assert b"secret of bob" in everything(store)
    assert sums(store) == before
    assert store.held.charged("user", None, 0) == {"erased": 28, "bob": 38}
    users_now = store.spending.spend(SpendQuery("user", 0, NOW_NS + DAY_NS)).rows
    assert {each.name: each.cost_nanousd for each in users_now} == {
        "erased": 28, "bob": 38, None: 12,
    }  # fmt: skip
    record = decode(store.get("req_1") or b"")
    assert (record.user, record.cost_nanousd, record.team) == ("erased", 1, "red")
    assert record.tags == {}
    assert record.conversation is record.request_body is record.response_body is None
    assert record.attempts[0].detail is record.trace_parent is record.error is None
    assert store.responses.past("r3", "team:red", NOW_NS, 5).payloads == [b"said by bob"]
    assert store.responses.past("r2", "team:red", NOW_NS, 5).missing


def test_erasing_again_finds_nothing(store: RecordStore) -> None:
    full(store)
    finish(begin(store))
    state = everything(store)
    assert Erasure(store.database, NAME).found() == {}
    assert finish(Erasure(store.database, NAME)) == {}
    assert everything(store) == state


def test_one_that_was_interrupted_anywhere_is_simply_repeated(store: RecordStore) -> None:
    full(store)
    before = sums(store)
    begin(store)
    for _ in range(4):  # each time by a process that knows nothing of the one before
        Erasure(store.database, NAME).step(NOW_NS, most=1)
        assert sums(store) == before
    finish(Erasure(store.database, NAME), most=1)
    assert NAME.encode() not in everything(store)
    assert sums(store) == before


def test_spool_that_is_loaded_later_brings_nobody_back(store: RecordStore) -> None:
    finish(begin(store))
    full(store)
    with store.database.writing() as connection:  # as if nobody had set limits since
        connection.execute(rules.delete())
        connection.execute(users.delete())
        connection.exec_driver_sql("DELETE FROM alert_memory")
        connection.exec_driver_sql("DELETE FROM silences")
    assert NAME.encode() not in everything(store)
    assert store.held.charged("user", None, 0) == {"erased": 28, "bob": 38}
    assert store.held.charged("team", None, 0) == {"red": 78}
    assert len(store.recent(100, Filter())) == 12


def test_lost_request_whose_record_comes_after_all_counts_once(store: RecordStore) -> None:
    held = encode(a_record(5, outcome="held", held_nanousd=50))
    put(store, holds=[hold(5, payload=held, started_ns=NOW_NS - 5 * SECOND_NS)])
    lost = a_row(5)
    lost["outcome"], lost["cost_nanousd"] = "lost", 50
    assert store.give_up([lost], NOW_NS) == ["req_5"]
    finish(begin(store))
    put(store, a_row(5), offset=2)
    assert NAME.encode() not in everything(store)
    assert store.held.charged("user", None, 0) == {"erased": 5}
    with store.database.reading() as connection:
        total = select(func.sum(rollups_day.c.cost_nanousd), func.sum(rollups_day.c.requests))
        assert tuple(connection.execute(total).one()) == (5, 1)


def test_what_the_user_does_afterwards_is_theirs_again(store: RecordStore) -> None:
    finish(begin(store, NOW_NS - 3 * SECOND_NS))
    put(store, a_row(1), a_row(7))
    assert store.held.charged("user", None, 0) == {"erased": 7, NAME: 1}


def test_steps_end_although_the_user_goes_on(store: RecordStore) -> None:
    erasure = begin(store, NOW_NS - 3 * SECOND_NS)
    put(store, a_row(1), a_row(2))
    finish(erasure)
    kept = [decode(found.payload).user for found in store.recent(9, Filter())]
    assert kept == [NAME, NAME]


def test_remembered_names_are_digests_and_bounded(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.store.erasure.MOST_REMEMBERED", 3)
    for number in range(5):
        with store.database.writing() as connection:
            Erasure(store.database, f"user {number}").remember(connection, NOW_NS + number)
    with store.database.reading() as connection:
        kept = set(connection.execute(select(erasures.c.digest)).scalars())
    assert kept == {digest_of(f"user {number}") for number in (2, 3, 4)}


def test_unreadable_payload_is_not_kept() -> None:
    assert msgspec.msgpack.decode(scrubbed(b"\xc1")) == {"user": "erased"}
