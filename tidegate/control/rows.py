"""What a payload of the spool is for the store: a record, a hold, a progress, an answer, feedback.

Records hold what callers and vendors made up. The columns that are searched and summed are bounded
here, so that no value of theirs is one that a database refuses; the payload keeps it as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final, cast

import msgspec

from tidegate.control.brief import MOST_NANOUSD, MOST_TOKENS, NAME_CHARACTERS, Brief
from tidegate.control.observing import Sampler, observed
from tidegate.conversations import kept as conversations
from tidegate.ledger import feedback, progress
from tidegate.store.rows import (
    Batch,
    FeedbackRow,
    HoldRow,
    ProgressRow,
    ResponseRow,
    Row,
    Tried,
)
from tidegate.telemetry.record import Attempt, Record, decode

HELD: Final = "held"
LOST: Final = "lost"
_MILLISECOND_NS = 10**6
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_BODY: Final = b"_body"
"""In the names of the fields that hold prompt and answer."""
_TRACE: Final = slice(3, 35)
"""Where its id stands in `00-TRACE-SPAN-FLAGS`."""
_LIMITED = frozenset({"overloaded", "limits_unavailable"})

_names = cast(
    "Callable[[Brief | Record], tuple[str | None, ...]]",
    attrgetter(
        "alias", "key", "provider", "target", "user", "team", "organisation", "feature", "model",
        "conversation",
    ),
)  # fmt: skip
_NO_RECORD: Final = slice(1, 2), b"\xa8"
"""Where, and how, all that begins which is no record: with a word of eight letters."""
_briefs = msgspec.msgpack.Decoder(Brief)


def read(
    payload: bytes,
    batch: Batch,
    ended: list[Brief | Record] | None = None,
    sampler: Sampler | None = None,
) -> None:
    """Add what `payload` is to `batch`, and to `ended` if it is the record of a request.

    Answers that `sampler` chooses are looked at; none without one.

    Raises: `msgspec.DecodeError`.
    """
    place, mark = _NO_RECORD
    if payload[place] == mark and _is_other(payload, batch):
        return
    try:
        record = _briefs.decode(payload)
    except msgspec.ValidationError:
        record = _tamed(decode(payload))
    if record.outcome == HELD:
        batch.holds.append(_hold(record, payload))
    else:
        batch.records.append(_row(record, payload, sampler))
        if ended is not None:
            ended.append(record)


def _is_other(payload: bytes, batch: Batch) -> bool:
    if conversations.is_kept(payload):
        batch.responses.append(_response(payload))
    elif progress.is_progress(payload):
        batch.progress.append(_progress(payload))
    elif feedback.is_feedback(payload):
        batch.feedback.append(feedback_row(feedback.decode(payload)))
    else:
        return False
    return True


def row_of(record: Record, payload: bytes) -> Row:
    """The row of a record that is over; `payload` is what it is encoded."""
    return _row(_tamed(record), payload)


def _tamed(record: Record) -> Record:
    # With every field that `Brief` has within its bounds.
    changed: dict[str, object] = {}
    for name in Brief.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str):
            changed[name] = value[:NAME_CHARACTERS]
        elif name.endswith("_tokens") and value is not None:
            changed[name] = max(0, min(value, MOST_TOKENS))
        elif name.endswith("_nanousd") and value is not None:
            changed[name] = max(0, min(value, MOST_NANOUSD))
    tries = [
        Attempt(
            target=each.target[:NAME_CHARACTERS], outcome=each.outcome, started_ms=0.0,
            duration_ms=0.0, hedge=each.hedge,
            cost_nanousd=max(0, min(each.cost_nanousd or 0, MOST_NANOUSD)),
        )
        for each in record.attempts
    ]  # fmt: skip
    return msgspec.structs.replace(record, attempts=tries, **changed)


def _row(record: Brief | Record, payload: bytes, sampler: Sampler | None = None) -> Row:
    elsewhere = _elsewhere(record) if record.attempts else ()
    cost = record.cost_nanousd
    if cost is None and elsewhere:
        cost = sum(spent for _, _, spent in elsewhere)
    outcome, trace_parent = record.outcome, record.trace_parent
    row: Row = {
        "request_id": record.request_id,
        "started_ns": record.started_ns,
        "alias": record.alias,
        "key": record.key,
        "outcome": outcome,
        "provider": record.provider,
        "target": record.target,
        "payload": payload,
        "user": record.user,
        "team": record.team,
        "organisation": record.organisation,
        "feature": record.feature,
        "model": record.model,
        "conversation": record.conversation,
        "trace": None if trace_parent is None else trace_parent[_TRACE],
        "cost_nanousd": cost,
        "has_bodies": _BODY in payload,
        "ended": "ok" if outcome == "ok" else class_of(record),
        "unpriced": record.cost_nanousd is None and is_unpriced(record),
        "tokens": (
            record.input_tokens or 0,
            record.cached_input_tokens or 0,
            record.cache_write_tokens or 0,
            record.output_tokens or 0,
            record.reasoning_tokens or 0,
            record.audio_input_tokens or 0,
            record.audio_output_tokens or 0,
        ),
        "elsewhere": elsewhere,
        "observed": observed(record, sampler),
    }
    if "\0" in "".join(filter(None, _names(record))):
        return _without_nul(row)
    return row


def _without_nul(row: Row) -> Row:
    plain = {
        name: _plain(value) if isinstance(value, str) else value for name, value in row.items()
    }
    return cast("Row", plain)


def _plain(text: str) -> str:
    # PostgreSQL has no word for it.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _elsewhere(record: Brief | Record) -> tuple[Tried, ...]:
    found: tuple[Tried, ...] = ()
    for each in record.attempts:
        if each.cost_nanousd:
            provider, _, model = each.target.partition("/")
            found += ((provider, model, each.cost_nanousd),)
    return found


def class_of(record: Brief | Record) -> str:
    """The class of an outcome that is not `ok`."""
    outcome = record.outcome
    if outcome in {"client_gone", LOST}:
        return outcome
    if record.limit is not None or outcome in _LIMITED:
        return "limited"
    if _CLIENT_ERROR <= record.status < _SERVER_ERROR and not record.attempts:
        return "refused"
    return "failed"


def is_unpriced(record: Brief | Record) -> bool:
    """Whether a request cost something that nobody knows."""
    if record.cost_nanousd is not None:
        return False
    served = record.outcome == "ok" and record.target is not None
    return served or bool(record.input_tokens or record.output_tokens)


def _hold(record: Brief | Record, payload: bytes) -> HoldRow:
    return HoldRow(
        request_id=record.request_id,
        worker=record.worker,
        started_ns=record.started_ns,
        expires_ns=record.started_ns + round(record.expires_ms * _MILLISECOND_NS),
        held_nanousd=record.held_nanousd or 0,
        payload=payload,
    )


def _progress(payload: bytes) -> ProgressRow:
    told = progress.decode(payload)
    return ProgressRow(
        request_id=told.request_id,
        output_tokens=max(0, min(told.output_tokens, MOST_TOKENS)),
        said_nanousd=max(0, min(told.nanousd, MOST_NANOUSD)),
    )


def _response(payload: bytes) -> ResponseRow:
    kept = conversations.decode(payload)
    return ResponseRow(
        id=kept.id,
        owner=kept.owner,
        root=kept.root,
        previous=kept.previous,
        created_ns=kept.created_ns,
        expires_ns=kept.expires_ns,
        payload=payload,
        user=kept.user,
    )


def feedback_row(told: feedback.Feedback) -> FeedbackRow:
    """The row of what somebody says of an answer."""
    return FeedbackRow(
        request_id=told.request_id,
        trace=told.trace_id,
        by_key=told.key or "",
        by_team=told.team,
        feedback_id=told.feedback_id or "",
        at_ns=told.at_ns,
        thumbs=told.thumbs,
        rating=told.rating,
        text=None if told.text is None else _plain(told.text),
        labels=_plain(msgspec.json.encode(told.labels).decode()),
    )
