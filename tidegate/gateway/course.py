"""Where a request stands on its way through the plan: what is tried next, what is told at the end.

It decides by the failures that it is told of, asks nobody and waits for nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from msgspec import structs

from tidegate.conversations.thread import Thread
from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    NoTarget,
    TidegateError,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.formats.check import asks_for_form
from tidegate.formats.trim import trimmed
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.verify import Malformed
from tidegate.policy.health import Health, Trial
from tidegate.policy.retry import Again, Elsewhere, RetrySettings, next_step
from tidegate.telemetry.record import Attempt, Record
from tidegate.types import Call, Choice, Plan

MOST_TRIMS = 5
MOST_TRIES = 50
"""Tries for one request, whatever the chains and terms add up to."""

DETAIL_CHARACTERS = 500


class Course:
    """Where one request stands on its way through the plan."""

    __slots__ = (
        "_again",
        "_all_tries",
        "_error",
        "_left",
        "_record",
        "_repairs",
        "_rests_s",
        "_thread",
        "_tries",
        "_trims",
        "_turns_taken",
        "call",
        "checks",
        "terms",
        "waited_ms",
    )

    def __init__(self, plan: Plan, call: Call, thread: Thread | None, record: Record) -> None:
        self.call = call
        self._record = record
        self._thread = thread
        self.terms = plan.terms
        asks = asks_for_form(call.body)
        self.checks = plan.terms.check and asks
        if asks:
            record.form = "unchecked"
        self._left = plan.choices
        """What may still be tried, the next one first."""
        self._tries = 0
        self._again = False
        """Whether the next try is a retry, paid by the budget; a call that was changed is new."""
        self._all_tries = 0
        self._turns_taken: tuple[type[UpstreamError], ...] = ()
        self._trims = 0
        self._repairs = 0
        self._error: TidegateError | None = None
        self._rests_s: tuple[float, ...] = ()
        self.waited_ms = 0.0
        """How long the next try has waited for its turn."""

    @property
    def choice(self) -> Choice | None:
        """What to try next; None when nothing is left."""
        return self._left[0] if self._left else None

    @property
    def second(self) -> Choice | None:
        """What would be tried after that."""
        return self._left[1] if len(self._left) > 1 else None

    def put(self, choice: Choice, native: Collection[str]) -> Call:
        """The call as it is put to `choice`, whose provider speaks the formats `native` itself."""
        if self._thread is None:
            return self.call
        return self._thread.fitted(self.call, choice, native=self.call.wire in native)

    def begin(self, health: Health, now_s: float) -> Trial | None:
        """A try at the target at hand; None while it rests."""
        return health.begin_again(now_s) if self._again else health.begin(now_s)

    def skip(self, exchange: Exchange, choice: Choice, rests_s: float) -> None:
        """Pass a target over that rests."""
        self._note(exchange, Attempt(choice.name, "skipped_breaker_open", 0.0, 0.0))
        self._rests_s += (rests_s,)
        self._next()

    def pass_over(self, exchange: Exchange, choice: Choice, error: TidegateError) -> None:
        """Go on from a target that was not asked: another one may be.

        Its format cannot say the call, it is full, or the caller's limits do not reach it.
        """
        if isinstance(error, BadRequest):  # of which there is a try already
            self._say("next target: this request cannot be put in its format")
        else:
            self._note(exchange, Attempt(choice.name, error.code, 0.0, 0.0, detail=detail(error)))
        self._error = self._error or error
        self._next()

    def after(
        self,
        error: UpstreamError,
        health: Health,
        settings: RetrySettings,
        now_s: float,
        deadline_s: float,
    ) -> float:
        """Decide how to go on after `error`; returns the pause before it, in seconds."""
        self._error = error
        self._again = False
        self._tries += 1
        self._all_tries += 1
        if self._all_tries >= MOST_TRIES or now_s >= deadline_s:
            self._left = ()
            self._say("end: the time was over" if now_s >= deadline_s else "end: too many tries")
            return 0.0
        if self._repaired(error) or self._turned(error) or self._trimmed(error):
            return 0.0
        step = next_step(
            error,
            self._tries,
            settings,
            others_left=len(self._left) > 1,
            now_s=now_s,
            deadline_s=deadline_s,
            draw=random.random(),  # noqa: S311 - spreads pauses
            budget_allows=health.retry_budget.allows(now_s),
        )
        if isinstance(step, Again):
            # Paid before the pause, or all that fail meanwhile would be allowed by the same budget.
            health.retry_budget.withdraw(now_s)
            self._again = True
            if error.place is not None:
                self.call = structs.replace(self.call, avoid=error.place)
            self._say(f"again: after {step.pause_s * 1000.0:.0f} ms")
            return step.pause_s
        if isinstance(step, Elsewhere):
            self._say(f"next target: {step.reason}")
            self._next()
        else:
            self._say(f"end: {step.reason}")
            self._left = ()
        return 0.0

    def note_form(self, *, is_good: bool) -> None:
        """Put into the record that the answer has the form that was asked for, if it was seen."""
        if is_good:
            again = self._record.form == "malformed"
            self._record.form = "repaired" if again else "good"

    def failure(self) -> TidegateError:
        """What to tell when nothing is left."""
        unsaid = isinstance(self._error, BadRequest) and self._rests_s  # one that rests may say it
        if self._error is not None and not unsaid:
            return self._error
        return NoTarget(
            "Every target of this model is resting after failures.",
            retry_after_s=min(self._rests_s, default=None),
        )

    def _note(self, exchange: Exchange, tried: Attempt) -> None:
        """Put a target that was not asked among the tries."""
        tried.started_ms = exchange.elapsed_ms()
        tried.queue_ms, self.waited_ms = self.waited_ms, 0.0
        exchange.record.attempts.append(tried)

    def _say(self, then: str) -> None:
        """Note what follows the try that has just failed."""
        for tried in reversed(self._record.attempts):
            if not tried.hedge:
                tried.then = then
                return

    def _next(self) -> None:
        self._left = self._left[1:]
        self._tries = 0
        self._again = False

    def _turned(self, error: UpstreamError) -> bool:
        """Whether a chain for just this kind of failure takes over, which it does once."""
        for kind, chain in (
            (ContextOverflow, self.terms.on_overflow),
            (ContentFiltered, self.terms.on_filter),
            (UpstreamMalformed, self.terms.on_malformed),
        ):
            if isinstance(error, kind) and chain and kind not in self._turns_taken:
                self._turns_taken += (kind,)
                self._left = chain
                self._tries = 0
                self._say(f"next target: {chain[0].reason}")
                return True
        return False

    def _trimmed(self, error: UpstreamError) -> bool:
        """Whether the call was shortened, so that the same target may be asked again."""
        if not isinstance(error, ContextOverflow) or not self.terms.truncate:
            return False
        body = trimmed(self.call.wire, self.call.body) if self._trims < MOST_TRIMS else None
        if body is None:
            return False
        self._trims += 1
        self._say("again: the oldest turns are left out")
        self.call = structs.replace(self.call, body=body)
        self._adapt("trimmed")
        return True

    def _repaired(self, error: UpstreamError) -> bool:
        """Whether the call now tells the model its mistake, and may be made again."""
        if not isinstance(error, Malformed) or self._repairs >= self.terms.repairs:
            return False
        body = error.repair(self.call)
        if body is None:
            return False
        self._repairs += 1
        self._say("again: the model is told its mistake")
        self.call = structs.replace(self.call, body=body)
        self._adapt("repaired")
        return True

    def _adapt(self, how: str) -> None:
        if how not in self._record.adapted:
            self._record.adapted.append(how)


def detail(error: TidegateError) -> str:
    """What the operator is told: also the notes on the cause, which no caller sees."""
    return "; ".join([error.message, *getattr(error, "__notes__", ())])[:DETAIL_CHARACTERS]
