"""The words of the domain: what is asked, by whom, of whom, and what came back.

Everything here is a frozen value, except `Facts`, which an answer fills while it is read. Structs
of msgspec rather than dataclasses: some are made for every request, and a frozen dataclass costs
about ten times as much to make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct, structs

from tidegate.errors import UpstreamError


class Principal(Struct, frozen=True):
    """Who asks. `models` are the alias patterns the key may use; None is all of them."""

    key: str | None
    team: str | None = None
    models: tuple[str, ...] | None = None
    user: str | None = None
    organisation: str | None = None
    environment: str | None = None
    features: tuple[str, ...] | None = None
    """What its requests may be for; None is anything."""
    may_name: frozenset[str] = frozenset({"user", "feature", "conversation", "tags"})
    """What a request may say of itself."""
    priority: str = "interactive"
    """`interactive` goes before `batch` where requests wait."""
    weight: int = 1
    """The team's share where requests wait."""


class Attribution(Struct, frozen=True):
    """Whom and what one request is counted for: its key's own words, and what it says itself."""

    user: str | None = None
    feature: str | None = None
    conversation: str | None = None
    tags: dict[str, str] = {}
    trace: str | None = None
    """The caller's place in a trace, `00-TRACE-SPAN-FLAGS`."""


class Timeouts(Struct, frozen=True):
    """Seconds. `first_token_s` counts from the attempt's start, `total_s` from the request's."""

    connect_s: float
    first_token_s: float
    idle_s: float
    total_s: float


class Target(Struct, frozen=True):
    """One model at one provider, with everything resolved that a call to it needs.

    `model` may hold a `*`, which stands for what the alias's own `*` matched.
    """

    provider: str
    model: str
    timeouts: Timeouts
    weight: int = 1
    output_default: int | None = None
    output_max: int | None = None
    alias: str = ""
    """The alias it stands in: whose terms say how its failures are met."""
    unsupported: str = "drop"
    """What happens to a field that the target's format has no word for: `drop` or `error`."""
    name: str = ""
    """`provider/model`, as records and headers show it: made of the two."""

    def __post_init__(self) -> None:
        """Make the name once, for every request asks for it."""
        structs.force_setattr(self, "name", f"{self.provider}/{self.model}")


class Choice(Struct, frozen=True):
    """A target of a plan, its final model name, and why it stands where it stands."""

    target: Target
    model: str
    name: str
    reason: str
    header: bytes
    """`name` as a header's value."""
    why: bytes
    """`reason` as a header's value."""


class Terms(Struct, frozen=True):
    """How an alias meets failures, as far as the gateway's stations need to know.

    The chains are what is tried instead of the rest of the plan when that failure is met; empty
    ones change nothing.
    """

    on_overflow: tuple[Choice, ...] = ()
    on_filter: tuple[Choice, ...] = ()
    on_malformed: tuple[Choice, ...] = ()
    truncate: bool = False
    check: bool = True
    """Whether tool arguments and JSON answers are checked against what was asked for."""
    repairs: int = 0
    hold: bool = False
    """Whether a stream that is to be checked is held back until it is complete."""
    degraded: str | None = None
    """What is answered when nothing else could."""
    hedged: bool = False
    overflow: bool = False
    """Whether a busy target is passed over where another one is left."""
    drain: bool = False
    """Whether an answer is read to its end when its caller has left."""
    held_bytes: int = 256 << 10
    """How much an answer may send before its first content."""


class Keeping(Struct, frozen=True):
    """What of a request's prompt and answer is kept, and of how many requests."""

    bodies: str = "metadata"
    """`none`, `metadata`, `redacted` or `full`."""
    share: float = 1.0
    """Of the requests, those whose bodies are kept; the others are as with `metadata`."""
    most_bytes: int = 64 << 10
    """Of each body."""

    def stricter(self, other: Keeping) -> Keeping:
        """What both allow."""
        return Keeping(
            min(self.bodies, other.bodies, key=KEPT.index),
            min(self.share, other.share),
            min(self.most_bytes, other.most_bytes),
        )


KEPT = ("none", "metadata", "redacted", "full")
"""What may be kept, the least first."""


class Plan(Struct, frozen=True):
    """The targets to try, best first. `total_s` bounds the whole request."""

    alias: str
    choices: tuple[Choice, ...]
    total_s: float
    keeping: Keeping = Keeping()
    """What the alias allows to be kept of prompt and answer."""
    terms: Terms = Terms()


class Call(Struct, frozen=True):
    """A request as understood: `body` holds every field the caller sent, known or not."""

    wire: str
    model: str
    body: dict[str, Any]
    stream: bool
    wants_usage: bool
    """Whether the caller asked for the usage chunk at the end of a stream."""
    forward: tuple[tuple[bytes, bytes], ...] = ()
    """The caller's own headers that a provider of the same format gets too (`anthropic-beta`)."""
    conversation: str | None = None
    """The conversation it belongs to, if the caller names it."""
    avoid: object = None
    """The replica that has just failed it, if it is tried again."""
    trace: bytes = b""
    """Header lines that tell the provider its place in a trace, each with its CR LF."""


NO_CALL = Call(wire="passthrough", model="", body={}, stream=False, wants_usage=False)
"""Stands for what is handed on as it is, which nobody reads."""


def output_limit(asked: int | None, target: Target) -> int | None:
    """How long an answer may be: as asked, within the target's ceiling, or its default.

    None where nobody says.
    """
    ceiling = target.output_max
    if asked is None:
        return ceiling if target.output_default is None else target.output_default
    return asked if ceiling is None else min(asked, ceiling)


def allowed(patterns: tuple[str, ...], *names: str) -> bool:
    """Whether one of `names` is, or matches, one of `patterns`, in which `*` is anything."""
    return any(
        name == pattern or ("*" in pattern and wildcard(pattern, name) is not None)
        for pattern in patterns
        for name in names
    )


def wildcard(pattern: str, name: str) -> str | None:
    """What the `*` of `pattern` stands for in `name`; None when it does not match."""
    head, _, tail = pattern.partition("*")
    fits = len(name) > len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
    return name[len(head) : len(name) - len(tail)] if fits else None


class Usage(Struct, frozen=True):
    """Tokens as the provider reports them; None is what it does not report.

    `cached_input`, `cache_write` and `audio_input` are parts of `input`; `reasoning` and
    `audio_output` are parts of `output`. No part overlaps another; what is in none is plain text.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    """Audio that was not read from a cache."""
    audio_output: int | None = None
    cached_audio_input: int | None = None
    """What of `cached_input` is audio."""
    cache_write_1h: int | None = None
    """What of `cache_write` is kept for an hour rather than minutes, where the vendor tells."""
    tier: str | None = None
    """The `service_tier` that the provider says it served the request in, which has its price."""


class Facts(Struct):
    """What is known of an answer so far."""

    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None
    content: bool = False
    """Whether content (text, a tool call, a refusal, reasoning) has been seen: the commit point."""
    chunks: int = 0
    said_tokens: int = 0
    """About how much of a stream's content has come: what is charged if no more is told."""
    headers: list[tuple[bytes, bytes]] = []
    """Upstream headers that matter to the caller, to be passed on."""
    dropped: tuple[str, ...] = ()
    """What of the request the target's format could not say."""


class Answer(Protocol):
    """An upstream that has begun to answer."""

    facts: Facts
    ended: Callable[[UpstreamError | None], None] | None
    """Called once by `close`; whoever opened it sets it."""
    last: bytes
    """What closes the answer, in the caller's format; known once `read` has given the end."""

    async def read(self) -> bytes:
        """The next bytes for the caller in its wire format; empty at the good end.

        A good end is one the upstream has declared: `[DONE]` or a finish reason, or the complete
        body. Raises `UpstreamError` otherwise.
        """
        ...

    def set_idle(self, wait_s: float) -> None:
        """Let the next reads wait `wait_s` seconds at most for bytes."""
        ...

    def set_limit(self, until: float) -> None:
        """Let the next reads, until `set_idle`, last until the loop time `until` at most.

        Then they raise `FirstTokenTimeout`, even if bytes come that are no content.
        """
        ...

    def close(self, error: UpstreamError | None = None) -> None:
        """Free the connection; one with an unread rest is closed, which cancels the upstream.

        `error` is the failure that ended it, if one did; repeated calls change nothing.
        """
        ...
