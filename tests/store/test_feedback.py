"""Feedback in the store: tied to its request, only by whom may, once, and not for ever waiting."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from storing import put, row

from tidegate.store.feedback import (
    MOST_OF_REQUEST,
    MOST_WAITING_OF_KEY,
    WAITS_NS,
    FeedbackFilter,
    FeedbackStore,
    verdict_of,
)
from tidegate.store.quality import Asked, QualityStore
from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention, purge
from tidegate.store.rows import Batch, FeedbackRow, Judged, Place
from tidegate.telemetry.record import Record, encode

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOUR_NS = 3_600 * 10**9


def said(request_id: str | None = "req_1", **fields: Any) -> FeedbackRow:
    told: dict[str, Any] = {
        "request_id": request_id, "trace": None, "by_key": "web", "by_team": None,
        "feedback_id": "", "at_ns": 100, "thumbs": "up", "rating": None, "text": None,
        "labels": "{}",
    }  # fmt: skip
    return cast("FeedbackRow", {**told, **fields})


def add(store: RecordStore, *rows: FeedbackRow) -> list[str]:
    batch = Batch(feedback=list(rows))
    return [each.became for each in store.insert(batch, Place("here", "f.spool1", 1)).judged]


def found(store: RecordStore, **fields: Any) -> list[Any]:
    return FeedbackStore(store.database).find(FeedbackFilter(**fields), 100)


def test_feedback_has_what_its_request_was_about(store: RecordStore) -> None:
    record = Record("req_1", 1, "gw-0", "chat", "/", "c", tags={"prompt_version": "7"})
    asked = row(1, payload=encode(record), user="ann", team="search", organisation="acme",
                feature="chat", target="openai/gpt", model="gpt-2026")  # fmt: skip
    put(store, asked)
    assert add(store, said(rating=1, text="Wrong.", labels='{"a":"b"}', thumbs=None)) == ["taken"]
    [kept] = found(store)
    assert (kept.request_id, kept.by_key, kept.verdict, kept.rating) == ("req_1", "web", "down", 1)
    assert (kept.text, kept.labels) == ("Wrong.", '{"a":"b"}')
    assert (kept.alias, kept.model, kept.version) == ("fast", "gpt", "7")
    assert (kept.key, kept.user, kept.team, kept.organisation, kept.feature) == (
        "web", "ann", "search", "acme", "chat",
    )  # fmt: skip


def test_feedback_that_comes_with_its_record_or_after_is_taken(store: RecordStore) -> None:
    batch = Batch([row(1)], feedback=[said()])
    added = store.insert(batch, Place("here", "one.spool1", 1))
    assert added.judged == [Judged("taken", "fast", "up")]


def test_feedback_waits_for_its_record(store: RecordStore) -> None:
    feedback = FeedbackStore(store.database)
    assert add(store, said(), said("req_2")) == ["waiting", "waiting"]
    assert add(store, said(thumbs="down", at_ns=200)) == ["waiting"]  # in the first one's place
    assert feedback.settle(300) == []
    put(store, row(1))
    assert feedback.settle(300) == [Judged("taken", "fast", "down")]
    assert feedback.settle(300) == []
    assert feedback.settle(WAITS_NS + 101) == [Judged("unknown")]
    assert feedback.settle(WAITS_NS + 101) == []
    assert [each.request_id for each in found(store)] == ["req_1"]


def test_only_own_requests_may_be_judged(store: RecordStore) -> None:
    put(
        store,
        row(1, key="web", team="search"),
        row(2, key="other", team="search"),
        row(3, key="other", team="sales"),
        row(4, key=None),
    )
    mine = {"by_key": "web", "by_team": "search"}
    assert add(store, *(said(f"req_{n}", **mine) for n in (1, 2, 3, 4))) == [
        "taken", "taken", "foreign", "foreign",
    ]  # fmt: skip
    nobody = {"by_key": "", "feedback_id": "n"}
    assert add(store, *(said(f"req_{n}", **nobody) for n in (1, 4))) == ["foreign", "taken"]


def test_later_one_takes_the_place_of_an_earlier_one(store: RecordStore) -> None:
    put(store, row(1))
    add(store, said(at_ns=100), said(at_ns=300, thumbs="down"), said(at_ns=200, text="late"))
    add(store, said(feedback_id="b", at_ns=50))
    assert [(each.feedback_id, each.verdict, each.text) for each in found(store)] == [
        ("", "down", None), ("b", "up", None),
    ]  # fmt: skip


def test_there_is_a_bound_for_each_request(store: RecordStore) -> None:
    put(store, row(1))
    many = [said(feedback_id=str(number)) for number in range(MOST_OF_REQUEST + 2)]
    assert add(store, *many)[-3:] == ["taken", "too_many", "too_many"]
    assert add(store, said(feedback_id="0", at_ns=200)) == ["taken"]


def test_there_is_a_bound_for_what_waits_of_a_key(store: RecordStore) -> None:
    told = add(store, *(said(f"req_{number}") for number in range(MOST_WAITING_OF_KEY + 2)))
    assert told == ["waiting"] * MOST_WAITING_OF_KEY + ["full"] * 2
    assert add(store, said("req_0", at_ns=200), said("req_x", by_key="b")) == ["waiting"] * 2


def test_trace_stands_for_its_latest_request(store: RecordStore) -> None:
    put(
        store,
        row(1, trace=TRACE, started_ns=10),
        row(2, trace=TRACE, started_ns=20),
        row(3, trace=TRACE, started_ns=30, key="other"),
    )
    assert add(store, said(None, trace=TRACE)) == ["taken"]
    assert [each.request_id for each in found(store)] == ["req_2"]
    put(store, row(4, trace=TRACE, started_ns=40))
    assert add(store, said(None, trace=TRACE, at_ns=200, thumbs="down")) == ["taken"]
    assert [(each.request_id, each.verdict) for each in found(store)] == [("req_4", "down")]
    assert add(store, said(None, trace="0" * 31 + "1")) == ["waiting"]
    put(store, row(5, trace="0" * 31 + "1"))
    assert FeedbackStore(store.database).settle(300) == [Judged("taken", "fast", "up")]


def test_feedback_is_filtered_and_paged(store: RecordStore) -> None:
    put(store, *(row(number, alias="ab"[number % 2]) for number in range(10)))
    add(store, *(said(f"req_{n}", at_ns=n, thumbs="down" if n < 4 else "up") for n in range(10)))
    feedback = FeedbackStore(store.database)
    assert [each.at_ns for each in found(store, alias="a", verdict="up")] == [8, 6, 4]
    assert [each.at_ns for each in found(store, since_ns=3, until_ns=5)] == [4, 3]
    assert [each.at_ns for each in found(store, before=(2, "req_2"))] == [1, 0]
    trend = feedback.trend(FeedbackFilter(), ["alias"])
    assert sorted(tuple(each) for each in trend) == [
        ("a", "down", 2), ("a", "up", 3), ("b", "down", 2), ("b", "up", 3),
    ]  # fmt: skip
    by_day = feedback.trend(FeedbackFilter(verdict="up"), ["day"])
    assert [tuple(each) for each in by_day] == [(0, "up", 6)]


def test_score_stands_at_the_time_of_the_request(store: RecordStore) -> None:
    put(store, row(1, started_ns=HOUR_NS), row(2, started_ns=2 * HOUR_NS))
    add(store, said(at_ns=9 * HOUR_NS), said("req_2", at_ns=9 * HOUR_NS, rating=2, thumbs=None))
    add(store, said("req_2", feedback_id="n", rating=3, thumbs=None))
    group = "fast", "gpt", None
    assert QualityStore(store.database).verdicts(Asked(0, 36_000)) == {
        (3_600, group): (1, 0), (7_200, group): (0, 1),
    }  # fmt: skip


def test_old_feedback_is_forgotten(store: RecordStore) -> None:
    put(store, row(1))
    add(store, said(at_ns=10**9), said(feedback_id="b", at_ns=10**15))
    purge(store.database, Retention(records_s=1_000), 10**15)
    assert [each.feedback_id for each in found(store)] == ["b"]


@given(st.sampled_from([None, "up", "down"]), st.sampled_from([None, 1, 2, 3, 4, 5]))
def test_verdict_is_that_of_the_thumb_or_of_the_rating(
    thumbs: str | None, rating: int | None
) -> None:
    by_rating = {None: None, 1: "down", 2: "down", 3: "neutral", 4: "up", 5: "up"}
    assert verdict_of(thumbs, rating) == (thumbs or by_rating[rating])
