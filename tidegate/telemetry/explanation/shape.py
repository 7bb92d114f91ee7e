"""What is known around a record, and the explanation of both: plain values for a page."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tidegate.limits import Rule

Kind = Literal["own", "fallback", "overflow", "filter", "malformed"]
"""By what an alias comes to a target."""
Role = Literal["answered", "failed", "cancelled", "passed over", "left out", "not asked"]


class Candidate(Struct, frozen=True):
    """A target that the alias had, in the configuration that the request was served with."""

    name: str
    """`provider/model`; a `*` in it stands for what the caller named."""
    why: str
    """Why it stands there: `weight 3 of 4`, `fallback to cheap`."""
    kind: Kind = "own"
    weight: int = 1


class Rate1M(Struct, frozen=True):
    """What a million tokens of one class cost, and what these did."""

    kind: str
    nanousd: int
    tokens: int | None = None


class Version(Struct, frozen=True):
    """When the configuration was in force, as far as is kept. Unix nanoseconds."""

    first_ns: int
    since_ns: int
    last_ns: int
    how: str
    by: str | None = None


class Around(Struct, frozen=True):
    """What is known besides the record."""

    candidates: tuple[Candidate, ...] | None = None
    """None where the configuration of that time is not known."""
    rules: tuple[tuple[Rule, str], ...] = ()
    """Limits as they stand now, and where each is from."""
    rates: tuple[Rate1M, ...] | None = None
    """Of the price that was applied; None where that is not known any more."""
    version: Version | None = None
    current: str | None = None
    """The version in force now."""
    output_tokens: int | None = None
    """Of a running one: how much had been said when it was last heard of."""


class Station(Struct, frozen=True):
    """A part of the request's way; `at_ms` from its start."""

    name: str
    at_ms: float
    took_ms: float
    said: str
    kind: Literal["gateway", "wait", "attempt", "answer", "end"]
    failed: bool = False


class Tried(Struct, frozen=True):
    """One try."""

    number: int
    target: str
    outcome: str
    status: int | None
    at_ms: float
    took_ms: float
    queue_ms: float
    hedge: bool
    detail: str | None
    then: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_nanousd: int | None


class TargetSaid(Struct, frozen=True):
    """A target, what became of it, and why."""

    name: str
    role: Role
    listed: str | None
    """Why it stood in the plan."""
    why: str


class PriceSaid(Struct, frozen=True):
    """The price that was applied."""

    label: str
    source: str
    since: str | None
    """The day from which it holds, or the version of the list."""
    rates: tuple[Rate1M, ...]


class LimitSaid(Struct, frozen=True):
    """A limit that covers such a request."""

    kind: str
    name: str
    said: str
    source: str
    refused: bool
    """Whether it was this one that refused it."""


class ConfigurationSaid(Struct, frozen=True):
    """The configuration that the request was served with."""

    version: str
    current: bool | None
    """Whether it is still in force; None where that is not known."""
    now: str | None
    since_ns: int | None
    last_ns: int | None
    how: str | None
    by: str | None


class Explanation(Struct, frozen=True):
    """All of it."""

    request_id: str
    started_ns: int
    state: Literal["done", "running"]
    summary: str
    remedy: str | None
    """What helps; None where nothing failed."""
    outcome: str
    status: int
    asked: str | None
    """The model as the caller named it, as far as is known."""
    timeline: tuple[Station, ...]
    attempts: tuple[Tried, ...]
    targets: tuple[TargetSaid, ...]
    price: PriceSaid | None
    cost_nanousd: int | None
    held_nanousd: int | None
    counted_for: tuple[tuple[str, str], ...]
    """Kinds and names of what it is counted for."""
    limits: tuple[LimitSaid, ...]
    changes: tuple[str, ...]
    """What was done to request or answer: adapted, dropped, downgraded, degraded."""
    configuration: ConfigurationSaid
    notes: tuple[str, ...]
    """What is not known, and why."""
