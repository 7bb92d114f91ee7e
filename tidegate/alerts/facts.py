"""What rules look at: everything that was measured at one moment.

What is None could not be measured; a rule then neither fires nor is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from tidegate.alerts.objectives import Burn, Slo

WINDOW_S = 300
"""What `Traffic` and `Heard` are of, unless they say otherwise."""


class BudgetFact(Struct, frozen=True):
    """A budget of a scope in its present period."""

    kind: str
    name: str
    period: str
    timezone: str
    began_ns: int
    limit_nanousd: int
    spent_nanousd: int
    refusing: bool = False
    """Whether requests were refused for it lately: what is left may be too little for any."""


class Traffic(Struct, frozen=True):
    """Requests of an alias, by how they ended."""

    requests: int
    failed: int = 0
    limited: int = 0
    lately: int = 0
    """Requests in the last whole minutes, of which all are known."""
    usual: float | None = None
    """Requests in as long a time, on the mean of the hour before; None if it is not known."""
    unpriced: int = 0


class Heard(Struct, frozen=True):
    """What a sample of an alias's latest records says of its answers."""

    answers: int
    p50_s: float
    """Until the first content of a stream, or the whole answer."""
    p99_s: float
    queue_p95_s: float
    truncated: float
    """Share of answers that ended for want of tokens."""
    refused: float
    """Share of answers that a model or a filter refused."""
    overloaded: float
    """Share of requests that found the queue full."""
    personal: float = 0.0
    """Personal data found in what is kept of a request, on average."""
    credentials: float = 0.0
    """The same of credentials."""
    usual: Heard | None = None
    """The same of the hour before."""


class FeatureCost(Struct, frozen=True):
    """What a feature cost in a week, and in the week before."""

    calls: int
    nanousd: int
    calls_before: int
    nanousd_before: int


class Spending(Struct, frozen=True):
    """Money, by the hour and by the week."""

    hour_nanousd: int
    usual_nanousd: int | None
    """The median hour of a week; None with less than a day to go by."""
    users: Mapping[str, int]
    """What each spent in the last hour."""
    features: Mapping[str, FeatureCost]


class OpenBreaker(Struct, frozen=True):
    """A target that rests, as one gateway or several see it."""

    target: str
    workers: int
    reason: str


class Caching(Struct, frozen=True):
    """How much of an alias's input its providers had cached, in an hour and in the day before."""

    requests: int
    share: float
    requests_before: int
    share_before: float


class Load(Struct, frozen=True):
    """How much a gateway process has to do."""

    worker: str
    lag_s: float
    let_in: float
    """The share of new requests that it lets in."""
    pending_bytes: int
    """Records that the disk does not take."""


class Gateways(Struct, frozen=True):
    """The gateway processes of this machine."""

    alive: int
    wanted: int


class Disk(Struct, frozen=True):
    """A disk that something is kept on."""

    of: str
    free_bytes: int
    size_bytes: int


class StuckSink(Struct, frozen=True):
    """A sink of records that does not take them."""

    name: str
    why: str
    behind: int


class Drifted(Struct, frozen=True):
    """A signal of quality that has moved within a day, against the week before."""

    alias: str
    of: str
    """Which model and version of the prompt; empty where it is all of the alias."""
    signal: str
    now: float
    then: float
    effect: float
    """As a multiple of what begins to matter."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One look: first what the store says of all gateways, then what is of this machine."""

    budgets: tuple[BudgetFact, ...] | None = None
    traffic: Mapping[str, Traffic] | None = None
    heard: Mapping[str, Heard] | None = None
    spending: Spending | None = None
    retiring: Mapping[str, float] | None = None
    """Days until each model in use goes."""
    burns: Mapping[tuple[str, Slo], Burn] | None = None
    """How it stands with each objective, by alias."""
    caching: Mapping[str, Caching] | None = None
    drifted: tuple[Drifted, ...] | None = None

    breakers: tuple[OpenBreaker, ...] | None = None
    retired: tuple[tuple[str, str], ...] | None = None
    """Provider and account."""
    redis: tuple[tuple[str, str], ...] | None = None
    """Gateways that have lost it, and why."""
    loading: str | None = ""
    """Why records are not loaded; empty when they are."""
    waiting_bytes: int | None = None
    store: str | None = None
    """Why the store cannot be asked; empty when it can."""
    queues: Mapping[str, int] | None = None
    """Requests that wait for their turn, by target."""
    loads: tuple[Load, ...] | None = None
    gateways: Gateways | None = None
    restarts: Mapping[str, int] | None = None
    """How often each gateway process was replaced by a new one lately."""
    disks: tuple[Disk, ...] | None = None
    sinks: tuple[StuckSink, ...] | None = None
