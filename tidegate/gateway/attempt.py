"""The station `attempt`: from a plan to an answer whose first content is here.

One owner of retries: nobody beneath tries anything again. What happens after a failure is decided
in one place, `Course.after`, from the error, the alias's terms and the target's health; until the
commit point the caller sees nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from msgspec import Struct, structs

from tidegate.conversations.thread import Thread
from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    DeadlineExceeded,
    FirstTokenTimeout,
    LimitReached,
    LimitsUnavailable,
    Overloaded,
    TidegateError,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.gateway.course import Course, detail
from tidegate.gateway.delivered import delivered
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.tracing import Tracing
from tidegate.gateway.turn import Turn
from tidegate.gateway.verify import Malformed, verify
from tidegate.policy.health import Health
from tidegate.policy.retry import RetrySettings
from tidegate.policy.slots.lane import Lane, Slot
from tidegate.policy.slots.line import Waiting
from tidegate.telemetry.record import Attempt
from tidegate.types import Answer, Call, Choice, Plan, Usage

FILTERED = ("content_filter", "refusal")
"""Reasons for an end that a chain for filtered answers is meant for."""
ALL_TIME = 0.9
"""The share of a request's time that counts as all of it."""
RESPONSE_ECHOES = 4


class Begun(Struct, frozen=True):
    """An answer that has begun: whose it is, how to read on, and what it has sent so far.

    `turn` is told how the answer ends, by whoever reads it; `tried` is what the record says of it.
    """

    choice: Choice
    upstream: Answer
    first: bytes
    turn: Turn
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
    def lane(self) -> Callable[[Choice], Lane]:
        """Whose turn it is at a choice's target."""
        ...

    @property
    def retry(self) -> Mapping[str, RetrySettings]:
        """When a failed try is made again, by the alias of the target."""
        ...

    @property
    def tracing(self) -> Tracing:
        """Who is told of traces."""
        ...

    @property
    def loop_time(self) -> Callable[[], float]:
        """The clock of deadlines."""
        ...

    def cost(
        self, choice: Choice, call: Call, usage: Usage, unix_ns: int
    ) -> tuple[int | None, str | None]:
        """What `call` costs at `choice`, and by which price."""
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
    course = Course(plan, call, thread, exchange.record)
    while (choice := course.choice) is not None:
        health, now_s = field.health(choice), field.loop_time()
        try:
            slot = _place(exchange, course, field.lane(choice), now_s)
            if not isinstance(slot, Slot):
                slot = await _called(field, exchange, course, slot)
                now_s = field.loop_time()
            trial = course.begin(health, now_s)
            if trial is None:
                slot.cancelled(now_s)
                course.skip(exchange, choice, health.breaker.retry_in_s(now_s))
                continue
            turn = Turn(trial, slot)
            if exchange.admitted is not None and not exchange.admitted.covers(choice):
                await _extend(field, exchange, choice, turn)
            if course.terms.hedged:
                begun = await _try(field, exchange, course, choice, turn)
            else:
                begun = await _begin(field, exchange, course, choice, turn)
        except (BadRequest, LimitReached, LimitsUnavailable, Overloaded) as error:
            course.pass_over(exchange, choice, error)
            continue
        except UpstreamError as error:
            settings = field.retry[choice.target.alias]
            now_s = field.loop_time()
            pause_s = course.after(error, health, settings, now_s, exchange.deadline)
        else:
            tried = begun.tried
            tried.outcome, record.ttft_ms = "ok", tried.started_ms + tried.duration_ms
            return begun
        if pause_s > 0.0:
            await asyncio.sleep(pause_s)
    raise course.failure()


def _place(exchange: Exchange, course: Course, lane: Lane, now_s: float) -> Slot | Waiting[Slot]:
    """A turn at a target, or a place in its queue. Raises: `Overloaded`."""
    if course.terms.overflow and lane.busy and course.second is not None:
        raise Overloaded("The target has as many requests as it bears; the next one is asked.")
    caller = exchange.caller
    return lane.take(
        caller.team or caller.key or "",
        exchange.record.user or caller.key or "",
        now_s,
        priority=caller.priority,
        weight=caller.weight,
        deadline_s=exchange.deadline,
    )


async def _called(field: Field, exchange: Exchange, course: Course, waiting: Waiting[Slot]) -> Slot:
    """The slot when its turn comes. Raises: `Overloaded`, `Draining`."""
    began_s = field.loop_time()
    try:
        return await waiting.turn()
    finally:
        course.waited_ms = (field.loop_time() - began_s) * 1000.0
        exchange.record.queue_ms += course.waited_ms


async def _extend(
    field: Field, exchange: Exchange, choice: Choice, turn: Turn, *, beside: bool = False
) -> None:
    """Hold what a further try needs. Raises: `LimitReached` and its kinds, `LimitsUnavailable`."""
    try:
        if exchange.admitted is not None:
            await exchange.admitted.extend(choice, beside=beside)
    except BaseException:
        turn.cancelled(field.loop_time())
        raise


async def _try(
    field: Field, exchange: Exchange, course: Course, choice: Choice, turn: Turn
) -> Begun:
    """One try, or two at once. Raises: `UpstreamError`, `BadRequest`."""
    if course.second is not None:
        wait_s = field.health(choice).hedge_after_s(whole=not course.call.stream)
        if wait_s is not None:
            return await _race(
                field, exchange, course, (choice, course.second), turn, wait_s=wait_s
            )
    return await _begin(field, exchange, course, choice, turn)


async def _race(
    field: Field,
    exchange: Exchange,
    course: Course,
    choices: tuple[Choice, Choice],
    turn: Turn,
    *,
    wait_s: float,
) -> Begun:
    """Ask the first of `choices`, and the second too when no content has come after `wait_s`.

    The first to have content answers, the other one is cancelled.
    Raises: the error of the first.
    """
    choice, second = choices
    first = asyncio.ensure_future(_begin(field, exchange, course, choice, turn))
    tries = {first: turn}
    kept: asyncio.Task[Begun] | None = None
    try:
        await asyncio.wait(tries, timeout=wait_s)
        late = None if first.done() else await _hedge(field, exchange, course, choice, second)
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
        losers = {task: each for task, each in tries.items() if task is not kept}
        for task in losers:
            task.cancel()
        try:
            running = [task for task in losers if not task.done()]
            if running:
                await asyncio.wait(running)
        finally:
            for task, each in losers.items():
                if task.done():
                    _let_go(field, exchange, course.call, each, task)
                else:
                    task.add_done_callback(partial(_let_go, field, exchange, course.call, each))


def _let_go(
    field: Field, exchange: Exchange, call: Call, turn: Turn, task: asyncio.Task[Begun]
) -> None:
    """End a try that is not the answer, also one that has just begun to be one."""
    turn.cancelled(field.loop_time())
    if not task.cancelled() and task.exception() is None:
        begun = task.result()
        begun.upstream.close()
        usage = delivered(call, begun.choice, begun.upstream.facts, begun.first)
        _charge(field, exchange, call, begun.choice, begun.tried, usage=usage)


async def _hedge(
    field: Field, exchange: Exchange, course: Course, choice: Choice, second: Choice
) -> Turn | None:
    """A try at `second` beside the slow one at `choice`, if that has earned it."""
    budget, other = field.health(choice).hedge_budget, field.health(second)
    expected_nanousd = other.hedge_budget.mean_nanousd
    lane = field.lane(second)
    if lane.busy or not budget.allows(expected_nanousd):
        return None
    trial = other.begin_hedge(field.loop_time())
    if trial is None:
        return None
    slot = _place(exchange, course, lane, field.loop_time())
    if not isinstance(slot, Slot):  # never, as it is not busy
        slot.leave(field.loop_time())
        trial.cancelled()
        return None
    turn = Turn(trial, slot)
    try:
        await _extend(field, exchange, second, turn, beside=True)
    except (LimitReached, LimitsUnavailable):
        return None
    budget.withdraw(expected_nanousd)
    return turn


async def _begin(
    field: Field,
    exchange: Exchange,
    course: Course,
    choice: Choice,
    turn: Turn,
    *,
    hedge: bool = False,
) -> Begun:
    """Ask one target and wait for its first content: the commit point.

    Raises: `UpstreamError`, `BadRequest`; the upstream is closed then.
    """
    tried = Attempt(choice.name, "cancelled", exchange.elapsed_ms(), 0.0, hedge=hedge)
    exchange.record.attempts.append(tried)
    if course.waited_ms and not hedge:
        tried.queue_ms, course.waited_ms = course.waited_ms, 0.0
    try:
        upstream, first = await _open(field, exchange, course, choice, turn, tried=tried)
    except TidegateError as error:
        tried.outcome, tried.detail = error.code, detail(error)
        tried.status = getattr(error, "answered", None)
        if isinstance(error, Malformed):  # it did answer; what was asked may be past answering
            exchange.record.form = "malformed"
            turn.succeeded(field.loop_time())
        else:
            now_s = field.loop_time()
            turn.failed(_verdict(error, choice, now_s - turn.trial.began_s), now_s)
        raise
    except BaseException:
        turn.cancelled(field.loop_time())
        raise
    finally:
        tried.duration_ms = exchange.elapsed_ms() - tried.started_ms
    return Begun(choice, upstream, first, turn, tried)


def _verdict(error: TidegateError, choice: Choice, took_s: float) -> TidegateError:
    """What `error` says of its target.

    That a request's time was over says nothing, as the caller may have wanted it short or another
    target may have used it up; but one that had it all was too slow.
    """
    if isinstance(error, DeadlineExceeded) and took_s >= ALL_TIME * choice.target.timeouts.total_s:
        return FirstTokenTimeout(error.message)
    return error


def _charge(
    field: Field,
    exchange: Exchange,
    call: Call,
    choice: Choice,
    tried: Attempt,
    *,
    usage: Usage | None,
) -> None:
    """Note what a try has cost that does not become the answer."""
    if usage is None:
        return
    tried.input_tokens, tried.output_tokens = usage.input, usage.output
    tried.cost_nanousd, _ = field.cost(choice, call, usage, exchange.record.started_ns)
    if exchange.admitted is not None:
        tokens = usage.input + usage.output
        cost_nanousd = tried.cost_nanousd or 0
        exchange.admitted.charge(choice.target.provider, tokens, cost_nanousd, last=False)


async def _open(
    field: Field,
    exchange: Exchange,
    course: Course,
    choice: Choice,
    turn: Turn,
    *,
    tried: Attempt,
) -> tuple[Answer, bytes]:
    time, timeouts, call = field.loop_time, choice.target.timeouts, course.call
    first_token_by = time() + timeouts.first_token_s
    provider = field.providers[choice.target.provider]
    put = course.put(choice, provider.native)
    if choice.target.provider in field.tracing.providers:
        record = exchange.record
        lines = field.tracing.lines(exchange.headers, record, len(record.attempts))
        put = structs.replace(put, trace=lines)
    upstream = await provider.open(choice, put, exchange.deadline)
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
        turn.answered(time(), whole=not call.stream)
        if course.checks and (not call.stream or course.terms.hold):
            held, looked = await verify(call, upstream, held)
            course.note_form(is_good=looked)
        if course.terms.on_filter and facts.finish_reason in FILTERED:
            raise ContentFiltered("The provider's content filter stopped the answer.")  # noqa: TRY301
    except UpstreamError as error:
        upstream.close(None if isinstance(error, Malformed) else error)
        used = delivered(call, choice, facts, held)
        _charge(field, exchange, call, choice, tried, usage=used)
        raise
    except BaseException:
        upstream.close()
        if facts.content:  # it was held back, to be looked at
            used = delivered(call, choice, facts, held)
            _charge(field, exchange, call, choice, tried, usage=used)
        raise
    return upstream, held
