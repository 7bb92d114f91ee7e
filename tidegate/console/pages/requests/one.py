"""One request: why it went as it did, whose it was, what it cost, what was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from tidegate.console import words
from tidegate.console.charts import Chart, Stretch, waterfall
from tidegate.console.page import Asked
from tidegate.console.plain import plain
from tidegate.console.refusals import Refusal
from tidegate.store.feedback import FeedbackFilter, FeedbackStore
from tidegate.telemetry.explanation.explain import explain
from tidegate.telemetry.explanation.shape import Around, Explanation
from tidegate.telemetry.record import Record, decode
from tidegate.telemetry.spans import trace_id

_TONES: Final = {
    "gateway": "tone-6", "wait": "tone-2", "attempt": "tone-1", "answer": "tone-4",
    "end": "tone-muted",
}  # fmt: skip
_NOTE_CHARACTERS: Final = 90
_MOST_JUDGEMENTS: Final = 20
_FILTERED: Final = (
    ("key", "key"), ("user", "user"), ("team", "team"), ("organisation", "organisation"),
    ("feature", "feature"), ("conversation", "conversation"), ("alias", "alias"),
)  # fmt: skip


class Fact(Struct, frozen=True):
    """A name and what it is; `to` is a list of requests of which it is the same."""

    name: str
    value: str
    to: dict[str, str] | None = None


class One(Struct, frozen=True):
    """A request, and what is known around it."""

    record: Record
    told: Explanation
    feedback: tuple[Any, ...]


def one(asked: Asked) -> One:
    """The request that the address names. Raises: `Refusal`."""
    store, id_ = asked.back.store, asked.names["id"].replace("\x00", "")
    payload, output_tokens = store.get(id_), None
    if payload is None:
        held = [each for each in store.held.beginning(id_, 2) if _is(each.payload, id_)]
        if not held:
            raise Refusal(
                404,
                f"There is no record of {plain(id_[:64])}.",
                "It is here a moment after the request's end, until `retention.records` is over.",
            )
        payload, output_tokens = held[0].payload, held[0].output_tokens
    record = decode(payload)
    explained = asked.back.settings.explained
    if explained is None or output_tokens is not None:
        told = explain(record, Around(output_tokens=output_tokens))
    else:
        told = explained(record, store.database)
    feedback: list[Any] = []
    if asked.may("feedback:read"):
        wanted = FeedbackFilter(request_id=id_)
        feedback = FeedbackStore(store.database).find(wanted, _MOST_JUDGEMENTS)
    return One(record, told, tuple(feedback))


def _is(payload: bytes, id_: str) -> bool:
    try:
        return decode(payload).request_id == id_
    except msgspec.DecodeError:
        return False


def way_of(told: Explanation) -> Chart:
    """Its stations, along the time."""
    return waterfall(
        "The way of the request",
        [
            Stretch(
                plain(each.name), each.at_ms, each.took_ms,
                "tone-bad" if each.failed else _TONES[each.kind], _cut(plain(each.said)),
            )
            for each in told.timeline
        ],
        words.ms,
    )  # fmt: skip


def caller_of(record: Record) -> Iterator[Fact]:
    """Whose it was, and how it was labelled."""
    for name, field in _FILTERED:
        value = getattr(record, field)
        if value is not None:
            yield Fact(name, plain(value), {name: value})
    if record.environment is not None:
        yield Fact("environment", plain(record.environment))
    for name, value in record.tags.items():
        yield Fact(f"tag {plain(name)}", plain(value), {"tag": f"{name}={value}"})


def facts_of(record: Record) -> Iterator[Fact]:
    """What else its record says."""
    trace = trace_id(record.request_id, record.trace_parent).hex()
    yield Fact("request id", plain(record.request_id))
    yield Fact("trace id", trace, {"trace": trace} if record.trace_parent else None)
    yield Fact("asked at", plain(f"{record.path} ({record.wire})"))
    yield Fact("streamed", "yes" if record.stream else "no")
    yield Fact("gateway", plain(record.worker))
    if record.model is not None:
        yield Fact("model that answered", plain(record.model))
    for name, value in (record.parameters or {}).items():
        yield Fact(plain(str(name)), _cut(plain(str(value))))
    if record.finish_reason is not None:
        yield Fact("finish reason", plain(record.finish_reason))
    if record.form is not None:
        yield Fact("form of the answer", plain(record.form))
    if record.tokens_per_s is not None:
        yield Fact("tokens a second", f"{record.tokens_per_s:.1f}")
    if record.max_gap_ms is not None:
        yield Fact("longest silence", words.ms(record.max_gap_ms))
    yield Fact("size", f"{words.size(record.request_bytes)} in, "
               f"{words.size(record.response_bytes)} out")  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= _NOTE_CHARACTERS else f"{text[: _NOTE_CHARACTERS - 1]}…"
