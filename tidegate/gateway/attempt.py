"""The station `attempt`: from a plan to an answer whose first content is here.

One owner of retries: nobody beneath tries anything again. What happens after a failure is decided
in one place, `_Course.after`, from the error, the alias's terms and the target's health; until the
commit point the caller sees nothing of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from msgspec import Struct, structs

from tidegate.conversations.thread import Thread
from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    FirstTokenTimeout,
    NoTarget,
    TidegateError,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.formats.check import asks_for_form
from tidegate.formats.trim import trimmed
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.verify import Malformed, verify
from tidegate.policy.health import Health, Trial
from tidegate.policy.retry import Again, Elsewhere, RetrySettings, next_step
from tidegate.telemetry.record import Attempt, Record
from tidegate.types import Answer, Call, Choice, Plan

MOST_TRIMS = 5
MOST_TRIES = 50
"""Tries for one request, whatever the chains and terms add up to."""

DETAIL_CHARACTERS = 500
FILTERED = ("content_filter", "refusal")
"""Reasons for an end that a chain for filtered answers is meant for."""
ALL_TIME = 0.9
"""The share of a request's time that counts as all of it."""
RESPONSE_ECHOES = 4


class Begun(Struct, frozen=True):
    """An answer that has begun: whose it is, how to read on, and what it has sent so far.

    `trial` is told how the answer ends, by whoever reads it; `tried` is what the record says of it.
    """

    choice: Choice
    upstream: Answer
    first: bytes
    trial: Trial
    tried: Attempt


class Provider(Protocol):
    """Who answers."""

    counts: bool
    """Whether it can count a request's tokens."""
    native: frozenset[str]
    """The callers' formats that it speaks itself."""

    async def open(self, choice: Choice, call: Call, deadline: float) -> Answer:
        """An answer that has begun.

        Raises: `UpstreamError`, `BadRequest` when the call cannot be said to this one.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Field(Protocol):
    """What this station uses of the gateway's rooms."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers by name."""
        ...

    @property
    def health(self) -> Callable[[Choice], Health]:
        """What is known of a choice's target."""
        ...

    @property
    def retry(self) -> Mapping[str, RetrySettings]:
        """When a failed try is made again, by the alias of the target."""
        ...

    @property
    def loop_time(self) -> Callable[[], float]:
        """The clock of deadlines."""
        ...


async def attempt(
    field: Field, exchange: Exchange, call: Call, plan: Plan, thread: Thread | None = None
) -> Begun:
    """Try the plan's targets until one has sent its first content.

    `thread` is what a call of the Responses format goes on with.

    Raises: the last tried target's `UpstreamError`; `NoTarget` when every target rests;
    `BadRequest` when the call can be said to none.
    """
    record = exchange.record
    record.gateway_ms = exchange.elapsed_ms()
    course = _Course(plan, call, thread, exchange.record)
    while (choice := course.choice) is not None:
        health = field.health(choice)
        trial = course.begin(health, field.loop_time())
        if trial is None:
            course.skip(exchange, choice, health.breaker.retry_in_s(field.loop_time()))
            continue
        try:
            if course.terms.hedged:
                begun = await _try(field, exchange, course, choice, trial)
            else:
                begun = await _begin(field, exchange, course, choice, trial)
        except BadRequest as error:
            course.pass_over(error)
            continue
        except UpstreamError as error:
            settings = field.retry[choice.target.alias]
            now_s = field.loop_time()
            pause_s = course.after(error, health, settings, now_s, exchange.deadline)
        else:
            begun.tried.outcome, record.ttft_ms = "ok", exchange.elapsed_ms()
            return begun
        if pause_s > 0.0:
            await asyncio.sleep(pause_s)
    raise course.failure()


class _Course:
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
    )

    def __init__(self, plan: Plan, call: Call, thread: Thread | None, record: Record) -> None:
        self.call = call
        self._record = record
        self._thread = thread
        self.terms = plan.terms
        self.checks = plan.terms.check and asks_for_form(call.body)
        self._left = list(reversed(plan.choices))
        self._tries = 0
        self._again = False
        """Whether the next try is a retry, paid by the budget; a call that was changed is new."""
        self._all_tries = 0
        self._turns_taken: set[type[UpstreamError]] = set()
        self._trims = 0
        self._repairs = 0
        self._error: UpstreamError | BadRequest | None = None
        self._rests_s: list[float] = []

    @property
    def choice(self) -> Choice | None:
        """What to try next; None when nothing is left."""
        return self._left[-1] if self._left else None

    @property
    def second(self) -> Choice | None:
        """What would be tried after that."""
        return self._left[-2] if len(self._left) > 1 else None

    def put(self, choice: Choice, provider: Provider) -> Call:
        """The call as it is put to `choice`."""
        if self._thread is None:
            return self.call
        native = self.call.wire in provider.native
        return self._thread.fitted(self.call, choice, native=native)

    def begin(self, health: Health, now_s: float) -> Trial | None:
        """A try at the target at hand; None while it rests."""
        return health.begin_again(now_s) if self._again else health.begin(now_s)

    def skip(self, exchange: Exchange, choice: Choice, rests_s: float) -> None:
        """Pass a target over that rests."""
        now_ms = exchange.elapsed_ms()
        exchange.record.attempts.append(Attempt(choice.name, "skipped_breaker_open", now_ms, 0.0))
        self._rests_s.append(rests_s)
        self._next()

    def pass_over(self, error: BadRequest) -> None:
        """Go on from a target whose format cannot say the call: another one's may."""
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
            self._left = []
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
            return step.pause_s
        if isinstance(step, Elsewhere):
            self._next()
        else:
            self._left = []
        return 0.0

    def failure(self) -> UpstreamError | BadRequest | NoTarget:
        """What to tell when nothing is left."""
        unsaid = isinstance(self._error, BadRequest) and self._rests_s  # one that rests may say it
        if self._error is not None and not unsaid:
            return self._error
        return NoTarget(
            "Every target of this model is resting after failures.",
            retry_after_s=min(self._rests_s, default=None),
        )

    def _next(self) -> None:
        self._left.pop()
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
                self._turns_taken.add(kind)
                self._left = list(reversed(chain))
                self._tries = 0
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
        self.call = structs.replace(self.call, body=body)
        self._adapt("repaired")
        return True

    def _adapt(self, how: str) -> None:
        if how not in self._record.adapted:
            self._record.adapted.append(how)


async def _try(
    field: Field, exchange: Exchange, course: _Course, choice: Choice, trial: Trial
) -> Begun:
    """One try, or two at once. Raises: `UpstreamError`, `BadRequest`."""
    if course.second is not None:
        wait_s = field.health(choice).hedge_after_s(whole=not course.call.stream)
        if wait_s is not None:
            return await _race(
                field, exchange, course, (choice, course.second), trial, wait_s=wait_s
            )
    return await _begin(field, exchange, course, choice, trial)


async def _race(
    field: Field,
    exchange: Exchange,
    course: _Course,
    choices: tuple[Choice, Choice],
    trial: Trial,
    *,
    wait_s: float,
) -> Begun:
    """Ask the first of `choices`, and the second too when no content has come after `wait_s`.

    The first to have content answers, the other one is cancelled.
    Raises: the error of the first.
    """
    choice, second = choices
    first = asyncio.ensure_future(_begin(field, exchange, course, choice, trial))
    tries = {first: trial}
    kept: asyncio.Task[Begun] | None = None
    try:
        await asyncio.wait(tries, timeout=wait_s)
        late = None if first.done() else _hedge(field, choice, second)
        if late is not None:
            hedged = _begin(field, exchange, course, second, late, hedge=True)
            tries[asyncio.ensure_future(hedged)] = late
        running, won = set(tries), None
        while running and won is None:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            won = next((task for task in tries if task in done and not task.exception()), None)
        for task in running:
            tries[task].outrun(field.loop_time(), whole=not course.call.stream)
            task.cancel()
        if running:
            await asyncio.wait(running)
        kept = won
        return (won or first).result()
    finally:
        # However this ends: a caller may leave while the loser lets go, and a drain may begin.
        for task, each in tries.items():
            if task is not kept:
                task.cancel()
                task.add_done_callback(partial(_let_go, each))
        running = [task for task in tries if not task.done()]
        if running:
            await asyncio.wait(running)


def _let_go(trial: Trial, task: asyncio.Task[Begun]) -> None:
    """End a try that is not the answer, also one that has just begun to be one."""
    trial.cancelled()
    if not task.cancelled() and task.exception() is None:
        task.result().upstream.close()


def _hedge(field: Field, choice: Choice, second: Choice) -> Trial | None:
    """A try at `second` beside the slow one at `choice`, if that has earned it."""
    budget, other = field.health(choice).hedge_budget, field.health(second)
    expected_nanousd = other.hedge_budget.mean_nanousd
    if not budget.allows(expected_nanousd):
        return None
    trial = other.begin_hedge(field.loop_time())
    if trial is not None:
        budget.withdraw(expected_nanousd)
    return trial


async def _begin(
    field: Field,
    exchange: Exchange,
    course: _Course,
    choice: Choice,
    trial: Trial,
    *,
    hedge: bool = False,
) -> Begun:
    """Ask one target and wait for its first content: the commit point.

    Raises: `UpstreamError`, `BadRequest`; the upstream is closed then.
    """
    tried = Attempt(choice.name, "cancelled", exchange.elapsed_ms(), 0.0, hedge=hedge)
    exchange.record.attempts.append(tried)
    try:
        upstream, first = await _open(field, exchange, course, choice, trial)
    except TidegateError as error:
        tried.outcome, tried.detail = error.code, _detail(error)
        tried.status = getattr(error, "answered", None)
        if isinstance(error, Malformed):  # it did answer; what was asked may be past answering
            trial.succeeded()
        else:
            now_s = field.loop_time()
            trial.failed(_verdict(error, choice, now_s - trial.began_s), now_s)
        raise
    except BaseException:
        trial.cancelled()
        raise
    finally:
        tried.duration_ms = exchange.elapsed_ms() - tried.started_ms
    return Begun(choice, upstream, first, trial, tried)


def _verdict(error: TidegateError, choice: Choice, took_s: float) -> TidegateError:
    """What `error` says of its target.

    That a request's time was over says nothing, as the caller may have wanted it short or another
    target may have used it up; but one that had it all was too slow.
    """
    if isinstance(error, DeadlineExceeded) and took_s >= ALL_TIME * choice.target.timeouts.total_s:
        return FirstTokenTimeout(error.message)
    return error


def _detail(error: TidegateError) -> str:
    """What the operator is told: also the notes on the cause, which no caller sees."""
    return "; ".join([error.message, *getattr(error, "__notes__", ())])[:DETAIL_CHARACTERS]


async def _open(
    field: Field, exchange: Exchange, course: _Course, choice: Choice, trial: Trial
) -> tuple[Answer, bytes]:
    time, timeouts, call = field.loop_time, choice.target.timeouts, course.call
    first_token_by = time() + timeouts.first_token_s
    provider = field.providers[choice.target.provider]
    upstream = await provider.open(choice, course.put(choice, provider), exchange.deadline)
    facts, held = upstream.facts, b""
    # The first events of a response repeat the request, each.
    echoes = RESPONSE_ECHOES if call.wire == "responses" else 0
    held_bytes = course.terms.held_bytes + echoes * exchange.record.request_bytes
    try:
        if call.stream:
            upstream.set_limit(first_token_by)
        while not facts.content:
            data = await upstream.read()
            held += data
            if not facts.content and (not data or len(held) > held_bytes):
                raise UpstreamMalformed("The provider's answer holds no content.")  # noqa: TRY301
        upstream.set_idle(timeouts.idle_s)
        trial.answered(time(), whole=not call.stream)
        if course.checks and (not call.stream or course.terms.hold):
            held = await verify(call, upstream, held)
        if facts.finish_reason in FILTERED and course.terms.on_filter:
            raise ContentFiltered("The provider's content filter stopped the answer.")  # noqa: TRY301
    except UpstreamError as error:
        upstream.close(None if isinstance(error, Malformed) else error)
        raise
    except BaseException:
        upstream.close()
        raise
    return upstream, held
