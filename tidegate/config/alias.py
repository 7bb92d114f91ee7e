"""Settings of an alias: a model name that callers ask for, and how its failures are met."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tidegate.alerts.objectives import Objective
from tidegate.config.settings import Name, OneOrMore, OrWritten, Settings, over, required, setting
from tidegate.config.surroundings import refusal
from tidegate.config.units import Moment, PerMillion, Share, Size, Span, Wait, parse_duration

_LEAST_WINDOW_S, _MOST_WINDOW_S = 3 * 86_400.0, 90 * 86_400.0
Bodies = Literal["none", "metadata", "redacted", "full"]


class Records(Settings):
    """What is kept of each request."""

    bodies: Bodies = setting(
        "metadata",
        "`metadata` keeps figures and parameters; `redacted` prompts and answers too, with marks "
        "for personal data and credentials; `full` keeps them as they were, `none` neither.",
    )
    share: Share = setting(
        "100%", "Of the requests, those whose prompts and answers are kept, where they are."
    )
    max_body: Size = setting(
        "64KiB", "Most that is kept of a prompt, and of an answer; what is cut is marked as cut."
    )


class TeamRecords(Settings):
    """What may be kept of a team's requests; an alias may allow less, and never more."""

    bodies: Bodies | None = setting(None, "As in `records`; no bound if not given.")
    share: Share | None = setting(None, "As in `records`; no bound if not given.")
    max_body: Size | None = setting(None, "As in `records`; no bound if not given.")


class Timeout(Settings):
    """How long each phase of a request may take."""

    connect: Wait = setting("2s", "Until a connection to the provider stands.")
    first_token: Wait = setting("30s", "From sending the request until the first token.")
    idle: Wait = setting("30s", "Longest silence in the middle of an answer.")
    total: Wait = setting("300s", "The whole request, with all attempts.")


class Price(Settings):
    """What tokens cost at a target."""

    since: Moment | None = setting(
        None, "From when on; before that the next older entry holds. From ever if not given."
    )

    input: PerMillion = required("Price of input tokens, such as `$0.15/M`.")
    output: PerMillion = required("Price of output tokens.")
    cached_input: PerMillion | None = setting(
        None, "Price of input tokens read from the provider's cache; as `input` if not given."
    )
    cache_write: PerMillion | None = setting(
        None, "Price of input tokens written to the provider's cache; as `input` if not given."
    )
    reasoning: PerMillion | None = setting(
        None, "Price of reasoning tokens; as `output` if not given."
    )
    audio_input: PerMillion | None = setting(
        None, "Price of audio among the input tokens; as `input` if not given."
    )
    audio_output: PerMillion | None = setting(
        None, "Price of audio among the output tokens; as `output` if not given."
    )


class Target(Settings):
    """A provider's model that may answer."""

    provider: Name = required("Name of a provider from `providers`.")
    model: Name = required("The provider's own name of the model; `*` passes the caller's on.")
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = setting(
        1, "Share of the requests, relative to the other targets' weights."
    )
    timeout: Timeout = setting({}, "Timeouts of this target, where they differ from the alias's.")
    price: Annotated[tuple[Price, ...], Field(strict=False), OneOrMore()] = setting(
        (),
        "What its tokens cost: one price, or a list by date; what the vendor is known to charge if "
        "not given.",
    )


class OutputTokens(Settings):
    """How long answers may be."""

    default: Annotated[int, Field(ge=1)] | None = setting(
        None, "Limit asked for when the caller names none."
    )
    max: Annotated[int, Field(ge=1)] | None = setting(
        None, "Ceiling; a caller's higher limit is lowered to it."
    )


class Retry(Settings):
    """When a failed try is made again at the same target."""

    attempts: Annotated[int, Field(ge=1, le=10)] = setting(
        3, "Tries at one target at most, the first one included."
    )
    backoff: Span = setting(
        "200ms..5s", "Longest pause before the first new try, which doubles up to the second."
    )
    budget: Share = setting(
        "10%", "New tries for each first one at most, so that an outage does not multiply load."
    )


class Breaker(Settings):
    """When a failing target is left alone for a while."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = setting(
        5, "Failures in a row after which the target rests."
    )
    share: Share = setting("50%", "Share of failures within the window after which it rests.")
    window: Wait = setting("30s", "The window that the share is counted over.")
    min_requests: Annotated[int, Field(ge=1, le=100_000)] = setting(
        20, "Requests within the window below which the share says nothing."
    )
    cooldown: Wait = setting("10s", "How long it rests; twice as long each time it fails again.")
    max_cooldown: Wait = setting("5m", "How long it rests at most.")

    probes: Annotated[int, Field(ge=1, le=100)] = setting(
        1, "Requests at a time that find out whether it has recovered."
    )

    @field_validator("max_cooldown")
    @classmethod
    def _is_the_longer_one(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("cooldown", 0.0):
            raise refusal("is shorter than `cooldown`")
        return value


class Hedge(Settings):
    """When a second target is asked because the first is slow."""

    after: str = setting(
        "p95", "Time without a first token: a percentile of the target's recent times, or a wait."
    )
    least: Wait = setting("100ms", "Shortest time to wait, whatever the percentile says.")
    max_share: Share = setting("5%", "Requests that may be hedged at most.")
    max_cost: Share = setting("5%", "Cost that hedging may add at most.")

    @field_validator("after")
    @classmethod
    def _is_a_percentile_or_a_wait(cls, value: str) -> str:
        if not re.fullmatch(r"p[1-9]\d?", value):
            try:
                parse_duration(value)
            except ValueError as error:
                raise refusal(
                    "is neither a percentile nor a duration", allowed=("p95", "800ms")
                ) from error
        return value

    @property
    def percentile(self) -> float | None:
        """The percentile as a share, if it is one."""
        return int(self.after[1:]) / 100 if self.after.startswith("p") else None

    @property
    def after_s(self) -> float | None:
        """The wait in seconds, if it is one."""
        return None if self.after.startswith("p") else parse_duration(self.after)


Names = Annotated[tuple[Name, ...], Field(strict=False)]
_LIST = OrWritten({"type": "array", "items": {"type": "string"}, "title": "List of aliases"})


class Elsewhere(Settings):
    """Where to go on when a particular kind of failure was met; may be written as a list."""

    fallback: Names = setting((), "Aliases to try in turn.")

    @model_validator(mode="before")
    @classmethod
    def _from_a_list(cls, value: object) -> object:
        if isinstance(value, list):
            return {"fallback": cast("list[object]", value)}
        return value


class OnOverflow(Elsewhere):
    """What to do when the conversation is too long for the model; may be written as a list."""

    truncate: Literal["none", "oldest"] = setting(
        "none", "Whether to leave out the oldest turns (never instructions) and try again."
    )


class OnMalformed(Elsewhere):
    """What to do with an answer that is not what was asked for; may be written as a list."""

    check: bool = setting(
        True, "Whether tool arguments and JSON answers are checked against what was asked for."
    )
    repairs: Annotated[int, Field(ge=0, le=5)] = setting(
        0, "How often the model is told its mistake and asked again."
    )
    streams: Literal["pass", "hold"] = setting(
        "pass",
        "`hold` keeps streams whose format is checked back until they are complete; `pass` lets "
        "them through unchecked.",
    )


class Degraded(Settings):
    """What is answered when nothing else could."""

    text: str | None = setting(
        None, "Text to answer with, as if the model had said it; an error if not given."
    )


class Commit(Settings):
    """How long an answer may go on without content before the next target is tried."""

    bytes: Size = setting("256KiB", "Most bytes that are held back.")


class Concurrency(Settings):
    """How many requests a target gets at once from each gateway process: learnt, within bounds."""

    least: Annotated[int, Field(ge=1, le=100_000)] = setting(
        4, "Requests at once that are always let through."
    )
    most: Annotated[int, Field(ge=1, le=100_000)] = setting(
        1000, "Requests at once at most; where `least` is the same, the limit is fixed."
    )

    @field_validator("most")
    @classmethod
    def _is_the_higher_one(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("least", 1):
            raise refusal("is below `least`")
        return value


class Queue(Settings):
    """Who waits when a target has as many requests as it bears."""

    length: Annotated[int, Field(ge=0, le=1_000_000)] = setting(
        1000, "Requests that may wait for a target in each gateway process."
    )
    per_user: Annotated[int, Field(ge=1, le=1_000_000)] = setting(
        100, "Requests of one user that may wait."
    )
    wait: Wait = setting("10s", "Longest that a request waits for its turn.")
    overflow: bool = setting(
        False, "Whether a request that would have to wait goes to the next target instead."
    )


class LatencyObjective(Settings):
    """How many answers have to begin how soon."""

    objective: Share = required("Share of answers that have to: `95%`.")
    under: Wait = required("Until the first content of a stream, or the whole of another answer.")


class Slo(Settings):
    """What is promised of an alias, over a time."""

    window: Wait = setting("30d", "The time that the promise is about.")
    availability: Share | None = setting(
        None, "Share of requests that must not fail: `99.9%`. Refusals by limits do not count."
    )
    latency: LatencyObjective | None = setting(
        None, "Share of answers that have to begin soon enough."
    )

    @field_validator("window")
    @classmethod
    def _is_longer_than_what_alerts_look_at(cls, value: float) -> float:
        if not _LEAST_WINDOW_S <= value <= _MOST_WINDOW_S:
            raise refusal("must be from 3 days to 90 days", allowed=("7d", "30d"))
        return value

    @model_validator(mode="after")
    def _leaves_something_to_fail(self) -> Self:
        promised = [self.availability, self.latency and self.latency.objective]
        said = [each for each in promised if each is not None]
        if not said:
            raise refusal("promises nothing: give `availability`, or `latency`")
        if any(not 0.0 < each < 1.0 for each in said):
            raise refusal("must leave an error budget: objectives are below 100 %")
        return self

    def value(self) -> Objective:
        """As the control process knows it."""
        return Objective(
            availability=self.availability,
            latency=self.latency.objective if self.latency else None,
            under_s=self.latency.under if self.latency else 0.0,
            window_s=self.window,
        )


class Alias(Settings):
    """A model name that callers ask for."""

    timeout: Timeout = setting({}, "How long each phase of a request may take.")
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = required(
        "Provider's models that may answer, chosen by weight."
    )
    fallback: Names = setting((), "Aliases to try in turn when no target of this one could answer.")
    on_context_overflow: Annotated[OnOverflow, _LIST] = setting(
        {}, "Where to go on when the conversation is too long for the model."
    )
    on_content_filter: Annotated[Elsewhere, _LIST] = setting(
        {}, "Where to go on when a provider's content filter stops the answer."
    )
    on_malformed: Annotated[OnMalformed, _LIST] = setting(
        {}, "What to do with an answer that is not what was asked for."
    )
    degraded: Degraded = setting({}, "What is answered when nothing else could.")
    retry: Retry = setting({}, "When a failed try is made again at the same target.")
    breaker: Breaker | None = setting(
        {}, "When a failing target is left alone for a while; `null` for never."
    )
    hedge: Hedge | None = setting(
        None, "When a second target is asked because the first is slow; never if not given."
    )
    concurrency: Concurrency | None = setting(
        {}, "How many requests a target gets at once; as many as come where it is `null`."
    )
    queue: Queue = setting({}, "Who waits when a target has as many requests as it bears.")
    commit: Commit = setting({}, "How much is held back before the first content.")
    unsupported: Literal["drop", "error"] = setting(
        "drop", "Whether fields that a target's format has no word for are dropped or refused."
    )
    output_tokens: OutputTokens = setting({}, "How long answers may be.")
    client_gone: Literal["cancel", "drain"] = setting(
        "cancel",
        "What becomes of an answer whose caller has left: `cancel` stops it and charges what was "
        "delivered, `drain` reads it to its end and charges what the provider says.",
    )
    allow_floating: bool = setting(
        False, "Whether targets may have names such as `latest`, whose model changes unseen."
    )
    records: Records = setting({}, "What is kept of requests to this alias.")
    slo: Slo | None = setting(
        None, "What is promised of it: alerts tell when the error budget burns too fast."
    )

    @field_validator("targets")
    @classmethod
    def _inherit_timeouts(
        cls, targets: tuple[Target, ...], info: ValidationInfo
    ) -> tuple[Target, ...]:
        timeout: Timeout | None = info.data.get("timeout")
        if timeout is None:  # it is wrong itself, which is told already
            return targets
        return tuple(
            target.model_copy(update={"timeout": over(timeout, target.timeout)})
            for target in targets
        )
