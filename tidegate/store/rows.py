"""What is loaded into the store: rows of each kind, batches of them, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict

from msgspec import Struct

Tried = tuple[str, str, int]
"""Provider, model and cost of a try that cost something and was not the last one."""


class Sample(NamedTuple):
    """What the text of an answer tells, of the few that were read."""

    refuses: bool
    language: int
    grams: Mapping[int, int]


class Observed(Struct, frozen=True, array_like=True, gc=False):
    """What a record tells of its answer's quality."""

    model: str | None
    """As the configuration names it."""
    version: str | None
    """Of the prompt."""
    form: str | None
    truncated: bool
    refused: bool
    length_bin: int | None
    wait_bin: int | None
    sample: Sample | None


class Row(TypedDict):
    """A record's searchable columns, the record itself, and what it adds to the sums."""

    request_id: str
    started_ns: int
    alias: str | None
    key: str | None
    outcome: str
    provider: str | None
    target: str | None
    payload: bytes
    user: str | None
    team: str | None
    organisation: str | None
    feature: str | None
    model: str | None
    conversation: str | None
    trace: str | None
    """The trace it is a part of."""
    cost_nanousd: int | None
    """All tries together."""
    has_bodies: bool
    """Whether the payload may have prompt or answer."""

    ended: str
    """The class of its outcome: `ok`, `client_gone`, `limited`, `refused`, `failed`, `lost`."""
    unpriced: bool
    """Whether it cost something that nobody knows."""
    tokens: tuple[int, int, int, int, int, int, int]
    """Input, cached input, cache write, output, reasoning, audio input, audio output."""
    elsewhere: tuple[Tried, ...]
    observed: NotRequired[Observed | None]
    """None where no model answered."""
    slow: NotRequired[bool]
    """Whether it was answered later than its alias's objective wants."""


class HoldRow(TypedDict):
    """A request that holds money and is not over."""

    request_id: str
    worker: str
    started_ns: int
    expires_ns: int
    held_nanousd: int
    payload: bytes


class ProgressRow(TypedDict):
    """What such a request has got so far."""

    request_id: str
    output_tokens: int
    said_nanousd: int


class ResponseRow(TypedDict):
    """A kept response's columns, and the response itself."""

    id: str
    owner: str
    root: str
    previous: str | None
    created_ns: int
    expires_ns: int
    payload: bytes
    user: str | None


class FeedbackRow(TypedDict):
    """What somebody says of an answer; `request_id` is None where only the trace is named."""

    request_id: str | None
    trace: str | None
    by_key: str
    """The key that said it; empty where none is asked for."""
    by_team: str | None
    feedback_id: str
    at_ns: int
    thumbs: str | None
    rating: int | None
    text: str | None
    labels: str
    """JSON."""


class Judged(NamedTuple):
    """What became of feedback: `taken`, `waiting`, or why it was dropped."""

    became: str
    alias: str | None = None
    verdict: str | None = None


@dataclass(slots=True)
class Batch:
    """Rows that are written together."""

    records: list[Row] = field(default_factory=list[Row])
    holds: list[HoldRow] = field(default_factory=list[HoldRow])
    progress: list[ProgressRow] = field(default_factory=list[ProgressRow])
    responses: list[ResponseRow] = field(default_factory=list[ResponseRow])
    feedback: list[FeedbackRow] = field(default_factory=list[FeedbackRow])

    def __len__(self) -> int:
        rows = (self.records, self.holds, self.progress, self.responses, self.feedback)
        return sum(map(len, rows))


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a segment of a spool has been read."""

    spool: str
    segment: str
    offset: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch's records and responses."""

    new: int
    known: int
    """Those that the store had already; they were left out."""
    records: Sequence[str] = field(default=(), compare=False)
    """The request ids of the records that were new."""
    found: int = field(default=0, compare=False)
    """How many of these had been given up as lost."""
    judged: Sequence[Judged] = field(default=(), compare=False)
    """What became of the feedback."""
