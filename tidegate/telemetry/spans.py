"""A record as a trace: a span for the request, one for each wait and each attempt inside it.

Pure, and the same each time: ids are made from the request's id, so that sending a record twice
does no harm, and the span that a provider was asked in can be named before the record is written.
Whatever a record holds, its spans are well-formed: each ends after it begins, and bounds are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from tidegate.net import trace_context
from tidegate.telemetry.attributes import (
    STILL,
    TEXT_CHARACTERS,
    Place,
    Scene,
    Value,
    attempt_failure,
    attributes,
    failure,
)
from tidegate.telemetry.content import content
from tidegate.telemetry.record import Attempt, Record

INTERNAL, SERVER, CLIENT = 1, 2, 3
UNSET, OK, ERROR = 0, 1, 2
MOST_ATTEMPTS: Final = 64
"""More than a request may have."""
_SAMPLED, _KNOWN, _REMOTE = 0x1, 0x100, 0x200
_MOST_MS: Final = 30 * 86_400_000.0
_MOST_NS: Final = 1 << 62
_MS_NS: Final = 1_000_000
_SAMPLE_BITS: Final = 56


class Event(Struct, frozen=True):
    """Something that happened inside a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value] = {}


class Span(Struct, frozen=True):
    """A stretch of time in a trace; times are Unix nanoseconds."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty where it is the trace's first."""
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = {}
    events: tuple[Event, ...] = ()
    status: int = UNSET
    message: str = ""
    flags: int = _SAMPLED | _KNOWN


def trace_id(request_id: str, trace_parent: str | None) -> bytes:
    """The caller's trace, or one of the request's own."""
    if trace_parent is not None and trace_context.read(_bytes(trace_parent)) is not None:
        return bytes.fromhex(trace_parent[3:35])
    return _digest(request_id, b"trace", 16)


def span_id(request_id: str, part: str = "request") -> bytes:
    """The id of a span: of the request itself, or of a part such as `attempt 1`."""
    return _digest(request_id, part.encode(), 8)


def sampled(trace: bytes, share: float) -> bool:
    """Whether a trace is among `share` of all; for each share those of every smaller one are.

    Source: OpenTelemetry, "TraceState: Probability Sampling": the last 56 bits of the trace's id
    against a threshold.
    """
    return int.from_bytes(trace[-7:]) >= round((1.0 - share) * (1 << _SAMPLE_BITS))


def spans(
    record: Record, places: Mapping[str, Place] | None = None, *, told: bool = False
) -> list[Span]:
    """The trace of `record`, the request's own span first.

    `places` says more of providers by name; prompts and answers are in it only if `told`, as far
    as the record has them.
    """
    return list(_Trace(record, places or {}, told=told).spans())


class _Trace:
    def __init__(self, record: Record, places: Mapping[str, Place], *, told: bool) -> None:
        self._record = record
        self._places = places
        self._told = told
        self._id = trace_id(record.request_id, record.trace_parent)
        self._root = span_id(record.request_id)
        self._end_ms = _ms(record.duration_ms)

    def spans(self) -> list[Span]:
        """All of them."""
        tries = _tries(self._record)
        answer = next((n for n, each in reversed(tries) if each.outcome == "ok"), None)
        asked = [(n, each) for n, each in tries if _was_asked(each)]
        passed = [each for _, each in tries if not _was_asked(each)]
        parts = [*self._waits([each for _, each in asked])]
        parts += [self._attempt(n, each, answered=n == answer) for n, each in asked]
        return [self._request(passed), *parts]

    def _request(self, passed: list[Attempt]) -> Span:
        record, failed = self._record, failure(self._record)
        parent, flags = b"", _SAMPLED | _KNOWN
        if record.trace_parent is not None and self._id.hex() == record.trace_parent[3:35]:
            parent, flags = bytes.fromhex(record.trace_parent[36:52]), flags | _REMOTE
        return Span(
            self._id, self._root, parent, _named(record.wire, record.alias), SERVER,
            self._at(0.0), self._at(self._end_ms),
            attributes=attributes(Scene(record)),
            events=tuple(self._event(_passed_over(each), each.started_ms) for each in passed),
            status=UNSET if failed is None else ERROR,
            message="" if failed is None else (record.error or failed)[:TEXT_CHARACTERS],
            flags=flags,
        )  # fmt: skip

    def _waits(self, asked: list[Attempt]) -> list[Span]:
        """What went before the first attempt, and waits for a turn where it is known which."""
        record, found = self._record, list[Span]()
        if record.gateway_ms is not None:
            found.append(self._part("admit", 0.0, record.gateway_ms))
        waits = [(each.started_ms, each.queue_ms) for each in asked]
        if len(asked) == 1 and not asked[0].queue_ms:
            waits = [(asked[0].started_ms, record.queue_ms)]
        for number, (until_ms, wait_ms) in enumerate(waits, 1):
            if _ms(wait_ms) > 0.0:
                began_ms = max(0.0, _ms(until_ms) - _ms(wait_ms))
                found.append(self._part("queue", began_ms, until_ms, f"queue {number}"))
        return found

    def _part(self, name: str, from_ms: float, until_ms: float, part: str = "") -> Span:
        own = span_id(self._record.request_id, part or name)
        start_ns, end_ns = self._at(from_ms), self._at(until_ms)
        return Span(self._id, own, self._root, name, INTERNAL, start_ns, max(start_ns, end_ns))

    def _attempt(self, number: int, tried: Attempt, *, answered: bool) -> Span:
        record = self._record
        provider, _, model = tried.target.partition("/")
        scene = Scene(record, self._places.get(provider), number, tried, answered)
        said, failed = attributes(scene), attempt_failure(scene)
        start_ns = self._at(tried.started_ms)
        end_ns = self._at(self._end_ms if answered else _ms(tried.started_ms) + tried.duration_ms)
        events: tuple[Event, ...] = ()
        if answered and record.ttft_ms is not None:
            told = ("first_token", "commit") if record.stream else ("commit",)
            events = tuple(self._event((name, {}), record.ttft_ms) for name in told)
        if answered and self._told:
            said = said | content(record)
        return Span(
            self._id, span_id(record.request_id, f"attempt {number}"), self._root,
            _named(str(said.get("gen_ai.operation.name", "")), model), CLIENT,
            start_ns, max(start_ns, end_ns),
            attributes=said,
            events=events,
            status=UNSET if failed is None else ERROR,
            message="" if failed is None else (tried.detail or failed)[:TEXT_CHARACTERS],
        )  # fmt: skip

    def _event(self, said: tuple[str, Mapping[str, Value]], at_ms: float) -> Event:
        return Event(said[0], self._at(at_ms), said[1])

    def _at(self, ms: float) -> int:
        began_ns = min(max(0, self._record.started_ns), _MOST_NS)
        return began_ns + round(_ms(ms) * _MS_NS)


def _tries(record: Record) -> list[tuple[int, Attempt]]:
    tries = list(enumerate(record.attempts[:MOST_ATTEMPTS], 1))
    if not tries and record.provider is not None:  # handed on as it is: the one try has no entry
        outcome = "ok" if record.outcome in STILL else record.outcome
        tried = Attempt(record.target or record.provider, outcome, _ms(record.gateway_ms or 0.0), 1)
        tries = [(1, tried)]
    return tries


def _was_asked(tried: Attempt) -> bool:
    """Whether there was a try: a target that rests, or that a limit keeps from, took no time."""
    return tried.duration_ms != 0.0 or tried.outcome == "ok"


def _passed_over(tried: Attempt) -> tuple[str, Mapping[str, Value]]:
    said: dict[str, Value] = {
        "tidegate.target": tried.target[:TEXT_CHARACTERS],
        "tidegate.attempt.outcome": tried.outcome[:TEXT_CHARACTERS],
    }
    if tried.detail:
        said["tidegate.attempt.detail"] = tried.detail[:TEXT_CHARACTERS]
    return "target passed over", said


def _named(what: str, model: str | None) -> str:
    return f"{what} {model}"[:TEXT_CHARACTERS] if model else what[:TEXT_CHARACTERS]


def _ms(said: float) -> float:
    return min(max(0.0, said), _MOST_MS) if math.isfinite(said) else 0.0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _digest(request_id: str, part: bytes, length: int) -> bytes:
    digest = blake2b(_bytes(request_id), digest_size=length, person=part[:16]).digest()
    return digest if any(digest) else b"\1".rjust(length, b"\0")
