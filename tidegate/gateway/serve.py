"""Serve one request, top to bottom: read this file and you have read the gateway.

`answer` enters the stations in their order:

    identify, receive, plan, attempt, relay, settle

and `serve` sees to the end, whatever it is. Three promises are kept here and nowhere else:

* Record. Every request leaves exactly one record, refused ones included, and it is in the spool
  before the last byte leaves.
* Commit. Until an answer's first content has come, a failed target may be replaced by the next
  one, and the caller sees nothing of it. After it, never: the caller sees the failure as an
  explicit error event, not as a silent cut and not as a clean end.
* Leaving. A caller who leaves takes its upstream with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from msgspec import structs

from tidegate.conversations.keeper import Conversations
from tidegate.errors import (
    BadRequest,
    DeadlineExceeded,
    Draining,
    InternalError,
    NoTarget,
    TidegateError,
    Unavailable,
    UpstreamError,
    UpstreamRateLimited,
)
from tidegate.formats.heard import HEARD
from tidegate.gateway.attempt import Begun, Provider, attempt
from tidegate.gateway.degrade import degraded
from tidegate.gateway.delivered import delivered
from tidegate.gateway.exchange import (
    JSON,
    CallerGone,
    CallerStuck,
    Ending,
    Exchange,
    Header,
    header_text,
)
from tidegate.gateway.passthrough import Doors, pass_through
from tidegate.gateway.wires import PARAMETERS, Wire, shown
from tidegate.policy.health import Health
from tidegate.policy.retry import RetrySettings
from tidegate.telemetry.record import encode
from tidegate.types import Call, Choice, Facts, Plan, Principal, Target, Terms, Usage

log = logging.getLogger("tidegate.gateway")

STOP = "The gateway is stopping and could not finish the answer; ask again."
EVENTS: Header = (b"content-type", b"text/event-stream")
NO_CACHE: Header = (b"cache-control", b"no-cache")
TIMEOUT_HEADER, TIMEOUT_DIGITS = b"x-tidegate-timeout-ms", 9
"""What a caller may say to wait less than its alias would; never more."""
ANTHROPIC = ("messages", "count_tokens")
"""The formats whose SDK looks for the request's id in a header of its own."""
NAME_CHARACTERS, NAMES_KEPT = 200, 100
"""What a record keeps of names that others make up."""
CALLER_GONE_STATUS = 499
"""Never sent: what nginx's log made customary for a caller who left."""


async def serve(rooms: Rooms, wire: Wire | None, exchange: Exchange) -> None:
    """Answer the request of `exchange`, and leave its record.

    `wire` is the format of the request; with None it is handed on as it is.
    """
    ending: Ending | None = None
    try:
        if wire is None:
            ending = await hand_on(rooms, exchange)
        else:
            ending = await answer(rooms, wire, exchange)
    except TidegateError as error:
        ending = failed(wire, exchange, error)
    except CallerStuck:
        failed(wire, exchange, DeadlineExceeded("The answer was read too slowly."))
        exchange.abort()
    except (asyncio.CancelledError, CallerGone):
        if not exchange.gone:  # so it is a drain that ran out of time
            ending = failed(wire, exchange, Draining(STOP))
    except Exception:
        log.exception("bug", extra={"fields": {"request_id": exchange.record.request_id}})
        ending = failed(wire, exchange, InternalError("Something went wrong in the gateway."))
    exchange.watched = False
    await settle(rooms, exchange, ending)
    if ending is None:
        return
    if exchange.started:
        exchange.finish(ending.body)
    else:
        exchange.respond(ending.status, ending.headers, ending.body)


async def answer(rooms: Rooms, wire: Wire, exchange: Exchange) -> Ending:
    """Go through the stations; return the end of the answer, which is still to be sent.

    Raises: `TidegateError`, `CallerGone`.
    """
    if not rooms.spool.healthy:
        raise Unavailable("Requests cannot be recorded now, so none is served.", retry_after_s=5)
    record = exchange.record

    caller = rooms.keys.identify(exchange.headers)
    record.key, record.team = caller.key, caller.team

    body = await exchange.body(rooms.body_limit_bytes, rooms.read_timeout_s)
    call, thread = wire.understand(body, exchange.headers), None
    if call.wire == "responses":
        thread = await rooms.conversations.thread(caller, call)
        call = thread.call
    record.alias, record.stream = call.model, call.stream

    plan = rooms.router.plan(caller, call.model, random.random())  # noqa: S311 - load balance
    if call.wire == "count_tokens":
        plan = only(plan, lambda choice: rooms.providers[choice.target.provider].counts)
    note_request(exchange, call, plan, body)

    exchange.deadline = rooms.loop_time() + min(plan.total_s, patience_s(exchange.headers))
    exchange.watched = True
    if exchange.gone:
        raise CallerGone
    try:
        begun = await attempt(rooms, exchange, call, plan, thread)
    except (UpstreamError, NoTarget) as error:
        ending = degraded(exchange, call, plan, error)
        if ending is None:
            raise
        return ending
    failure: UpstreamError | None = None
    try:
        ending = await relay(exchange, call, begun)
        begun.trial.succeeded()
    except UpstreamError as error:
        failure = error
        begun.trial.failed(error, rooms.loop_time())
        raise
    finally:
        begun.trial.cancelled()
        begun.upstream.close(failure)
        note_answer(rooms, exchange, call, begun)
    if thread is not None:
        kept = rooms.conversations.keep(caller, thread, begun.choice, ending.body)
        if kept is not None:
            await kept
    return ending


async def hand_on(rooms: Rooms, exchange: Exchange) -> Ending:
    """The stations of a request that goes to one provider as it is.

    Raises: `TidegateError`, `CallerGone`.
    """
    if not rooms.spool.healthy:
        raise Unavailable("Requests cannot be recorded now, so none is served.", retry_after_s=5)
    record, doors = exchange.record, rooms.doors
    caller = rooms.keys.identify(exchange.headers)
    record.key, record.team = caller.key, caller.team
    body = await exchange.body(rooms.body_limit_bytes, rooms.read_timeout_s)
    total_s = min(doors.timeouts.total_s, patience_s(exchange.headers))
    exchange.deadline = rooms.loop_time() + total_s
    ending, facts = await pass_through(doors, exchange, caller, body)
    note_facts(exchange, facts)
    return ending


async def relay(exchange: Exchange, call: Call, begun: Begun) -> Ending:
    """Pass the answer on to the caller, all but its end, which is returned.

    Raises: `UpstreamError` when the upstream breaks.
    """
    upstream = begun.upstream
    headers = told(exchange, call, begun)
    if not call.stream:
        return Ending(200, [*headers, JSON], begun.first)
    exchange.start(200, [*headers, EVENTS, NO_CACHE])
    data, last, longest_gap_s = begun.first, perf_counter(), 0.0
    try:
        while data:
            await exchange.write(data)
            data = await upstream.read()
            now = perf_counter()
            longest_gap_s = max(longest_gap_s, now - last)
            last = now
    finally:
        exchange.record.max_gap_ms = longest_gap_s * 1000.0
    return Ending(200, [], upstream.last)


def only(plan: Plan, fits: Callable[[Choice], bool]) -> Plan:
    """`plan` with the targets that can do what is asked."""
    return structs.replace(plan, choices=tuple(filter(fits, plan.choices)), terms=Terms())


def patience_s(headers: list[Header]) -> float:
    """How long the caller wants to wait at most, in seconds. Raises: `BadRequest`."""
    for name, value in headers:
        if name == TIMEOUT_HEADER:
            if not value.isdigit() or len(value) > TIMEOUT_DIGITS or int(value) == 0:
                raise BadRequest(
                    "x-tidegate-timeout-ms must be a whole number of milliseconds above 0.",
                    param="x-tidegate-timeout-ms",
                )
            return int(value) / 1000.0
    return math.inf


def told(exchange: Exchange, call: Call, begun: Begun) -> list[Header]:
    """What the caller is told of where its answer comes from."""
    choice, facts = begun.choice, begun.upstream.facts
    headers = [*facts.headers, (b"x-tidegate-target", choice.header)]
    if call.wire in ANTHROPIC:
        headers.append((b"request-id", exchange.record.request_id.encode()))
    attempts = len(exchange.record.attempts)
    if attempts > 1:
        headers.append((b"x-tidegate-attempts", b"%d" % attempts))
        headers.append((b"x-tidegate-reason", choice.why))
    if exchange.record.adapted:
        adapted = ", ".join(exchange.record.adapted)
        headers.append((b"x-tidegate-adapted", adapted.encode()))
    if facts.dropped:
        headers.append((b"x-tidegate-dropped", header_text(", ".join(facts.dropped))))
    return headers


def failed(wire: Wire | None, exchange: Exchange, error: TidegateError) -> Ending:
    """The end of an answer that failed: an error body, or an error event when it had begun."""
    record = exchange.record
    record.error = error.message
    heard = HEARD["chat" if wire is None else wire.name]
    if exchange.started:
        record.outcome = "failed_after_commit"
        record.error_code = error.code
        return Ending(200, [], heard.error_event(error, record.request_id))
    record.outcome = error.code
    body = heard.error_body(error, record.request_id)
    headers = [JSON]
    if wire is not None and wire.name in ANTHROPIC:
        headers.append((b"request-id", record.request_id.encode()))
    # What an upstream failed at has been tried again as often as is good: an SDK that tries once
    # more multiplies the load. Only a wait that was named may be waited for.
    spent = isinstance(error, UpstreamError) and not isinstance(error, UpstreamRateLimited)
    if spent or not error.retryable:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
        headers.append((b"retry-after-ms", b"%d" % (error.retry_after_s * 1000)))
    return Ending(error.status, headers, body)


async def settle(rooms: Rooms, exchange: Exchange, ending: Ending | None) -> None:
    """Complete the record and see it into the spool: before this returns, it is on its way out."""
    record = exchange.record
    record.duration_ms = exchange.elapsed_ms()
    record.status = ending.status if ending is not None else CALLER_GONE_STATUS
    if ending is not None:
        exchange.count(ending.body)
    elif record.error is None:
        record.outcome = "client_gone"
    if exchange.keep:
        record.response_body = exchange.kept()
    try:
        written = rooms.spool.append(encode(record))
    except Unavailable:  # its memory is full: the one record that is lost, and it is said
        log.exception("record lost", extra={"fields": {"request_id": record.request_id}})
        return
    if ending is not None:
        # A drain's time may be over just now. The record is as good as written then, and the
        # answer is whole: its end is sent rather than cut off.
        with suppress(asyncio.CancelledError):
            await written


def note_request(exchange: Exchange, call: Call, plan: Plan, body: bytes) -> None:
    """Put into the record what the request says, as far as policy allows."""
    record = exchange.record
    record.alias = plan.alias
    if plan.bodies != "none":
        record.parameters = {k: shown(v) for k, v in call.body.items() if k in PARAMETERS}
    if plan.bodies == "full":
        exchange.keep = True
        record.request_body = body


def note_answer(rooms: Rooms, exchange: Exchange, call: Call, begun: Begun) -> None:
    """Put into the record what the answer turned out to be, and what it cost."""
    record, choice, facts = exchange.record, begun.choice, begun.upstream.facts
    usage = delivered(call, facts, begun.first)
    record.usage_estimated = usage is not facts.usage
    facts.usage = usage
    record.target, record.provider = choice.name, choice.target.provider
    record.model, record.reason = facts.model or choice.model, choice.reason
    record.dropped = [name[:NAME_CHARACTERS] for name in facts.dropped[:NAMES_KEPT]]
    note_facts(exchange, facts)
    if usage is None:
        return
    record.cost_nanousd, record.price = rooms.cost(choice.target, usage)
    if record.cost_nanousd:
        begun.trial.health.hedge_budget.paid(record.cost_nanousd)
    writing_ms = exchange.elapsed_ms() - (record.ttft_ms or 0.0)
    if facts.chunks > 1 and usage.output > 1 and writing_ms > 0:
        record.tokens_per_s = (usage.output - 1) / writing_ms * 1000.0


def note_facts(exchange: Exchange, facts: Facts) -> None:
    """Put into the record what the answer says of itself."""
    record, usage = exchange.record, facts.usage
    record.model = facts.model[:NAME_CHARACTERS] if facts.model else record.model
    reason = facts.finish_reason
    record.finish_reason = reason[:NAME_CHARACTERS] if reason else reason
    record.chunks = facts.chunks
    if usage is not None:
        record.input_tokens, record.output_tokens = usage.input, usage.output
        record.cached_input_tokens = usage.cached_input
        record.cache_write_tokens = usage.cache_write
        record.reasoning_tokens = usage.reasoning


# What this file asks of each room. Rooms satisfy these by shape; only `house` names them.


class Keys(Protocol):
    """Who asks."""

    def identify(self, headers: list[Header]) -> Principal:
        """The caller. Raises: `Unauthenticated`."""
        ...


class Router(Protocol):
    """Where a request goes."""

    def plan(self, principal: Principal, model: str, draw: float) -> Plan:
        """The targets to try. Raises: `UnknownModel`."""
        ...

    def usable(self, principal: Principal) -> list[str]:
        """The names that the caller may ask for."""
        ...


class Spool(Protocol):
    """Where records go."""

    @property
    def healthy(self) -> bool:
        """Whether records can still be taken."""
        ...

    def append(self, payload: bytes) -> asyncio.Future[None]:
        """Queue one record; the future is done when it is safe. Raises: `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that one request may touch, resolved once when the configuration is loaded."""

    keys: Keys
    router: Router
    providers: Mapping[str, Provider]
    health: Callable[[Choice], Health]
    retry: Mapping[str, RetrySettings]
    doors: Doors
    conversations: Conversations
    cost: Callable[[Target, Usage], tuple[int | None, str | None]]
    spool: Spool
    loop_time: Callable[[], float]
    """The event loop's clock, in seconds: what deadlines are told in."""
    config_version: str
    body_limit_bytes: int
    read_timeout_s: float
