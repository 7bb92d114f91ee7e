"""Rows to put in a store, and where they are said to be from."""

from typing import Any, cast

from tidegate.store.records import RecordStore
from tidegate.store.rows import (
    Added,
    Batch,
    FeedbackRow,
    HoldRow,
    Observed,
    Place,
    ProgressRow,
    Row,
)

HOUR_NS = 3_600 * 10**9
NOW_NS = 1_790_000_000 * 10**9  # 2026-09-21T14:13:20Z


def row(number: int, **fields: Any) -> Row:
    columns: dict[str, Any] = {
        "request_id": f"req_{number}", "started_ns": number, "alias": "fast", "key": "web",
        "outcome": "ok", "provider": "openai", "target": "openai/gpt", "payload": b"%d" % number,
        "user": None, "team": None, "organisation": None, "feature": None, "model": "gpt",
        "conversation": None, "trace": None, "cost_nanousd": None,
        "has_bodies": False, "ended": "ok", "unpriced": False,
        "tokens": (0,) * 7, "elsewhere": (),
    }  # fmt: skip
    return cast("Row", {**columns, **fields})


def hold(number: int, **fields: Any) -> HoldRow:
    columns: dict[str, Any] = {
        "request_id": f"req_{number}", "worker": "gw-0", "started_ns": number,
        "expires_ns": number + 1000, "held_nanousd": 100, "payload": b"held %d" % number,
    }  # fmt: skip
    return cast("HoldRow", {**columns, **fields})


def progress(number: int, output_tokens: int, said_nanousd: int) -> ProgressRow:
    return ProgressRow(
        request_id=f"req_{number}", output_tokens=output_tokens, said_nanousd=said_nanousd
    )


def put(
    store: RecordStore, *rows: Row, segment: str = "one.spool1", offset: int = 1, **others: Any
) -> Added:
    """Insert rows; holds, progress and responses by name."""
    return store.insert(Batch(list(rows), **others), Place("here", segment, offset))


def answered(number: int, hours_ago: float, form: str = "good", **fields: Any) -> Row:
    seen = Observed("gpt", "7", form, truncated=False, refused=False, length_bin=14, wait_bin=16,
                    sample=None)  # fmt: skip
    began_ns = NOW_NS - round(hours_ago * HOUR_NS)
    return row(number, started_ns=began_ns, cost_nanousd=5, observed=seen, **fields)


def judged(number: int, thumbs: str, hours_ago: float, **fields: Any) -> FeedbackRow:
    told: dict[str, Any] = {
        "request_id": f"req_{number}", "trace": None, "by_key": "web", "by_team": None,
        "feedback_id": "", "at_ns": NOW_NS - round(hours_ago * HOUR_NS), "thumbs": thumbs,
        "rating": None, "text": None, "labels": "{}",
    }  # fmt: skip
    return cast("FeedbackRow", {**told, **fields})
