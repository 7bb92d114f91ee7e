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
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from msgspec import Struct

from tidegate.errors import (
    DeadlineExceeded,
    Draining,
    FirstTokenTimeout,
    IdleTimeout,
    InternalError,
    TidegateError,
    Unavailable,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.gateway.exchange import JSON, CallerGone, CallerStuck, Exchange, Header
from tidegate.gateway.openai import DONE, PARAMETERS, Wire, error_body, error_event, shown
from tidegate.telemetry.record import Attempt, encode
from tidegate.types import Answer, Call, Choice, Facts, Plan, Principal, Target, Usage

log = logging.getLogger("tidegate.gateway")

STOP = "The gateway is stopping and could not finish the answer; ask again."
EVENTS: Header = (b"content-type", b"text/event-stream")
NO_CACHE: Header = (b"cache-control", b"no-cache")
CALLER_GONE_STATUS = 499
"""Never sent: what nginx's log made customary for a caller who left."""

HELD_BYTES = 256 << 10
"""How much an answer may send before its first content."""


async def serve(rooms: Rooms, wire: Wire, exchange: Exchange) -> None:
    """Answer the request of `exchange`, and leave its record."""
    ending: Ending | None = None
    try:
        ending = await answer(rooms, wire, exchange)
    except TidegateError as error:
        ending = failed(exchange, error)
    except CallerStuck:
        failed(exchange, DeadlineExceeded("The answer was read too slowly."))
        exchange.abort()
    except (asyncio.CancelledError, CallerGone):
        if not exchange.gone:  # so it is a drain that ran out of time
            ending = failed(exchange, Draining(STOP))
    except Exception:
        log.exception("bug", extra={"fields": {"request_id": exchange.record.request_id}})
        ending = failed(exchange, InternalError("Something went wrong in the gateway."))
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
    call = wire.understand(body)
    record.alias, record.stream = call.model, call.stream

    plan = rooms.router.plan(caller, call.model, random.random())  # noqa: S311 - load balance
    note_request(exchange, call, plan, body)

    exchange.deadline = rooms.loop_time() + plan.total_s
    exchange.watched = True
    if exchange.gone:
        raise CallerGone
    choice, upstream, first = await attempt(rooms, exchange, call, plan)
    try:
        return await relay(exchange, call, choice, upstream, first)
    finally:
        upstream.close()
        note_answer(rooms, exchange, choice, upstream.facts)


async def attempt(
    rooms: Rooms, exchange: Exchange, call: Call, plan: Plan
) -> tuple[Choice, Answer, bytes]:
    """Try the plan's targets in turn until one has sent its first content.

    Returns the choice that answers, its answer, and what it has sent so far.
    Raises: the last tried target's `UpstreamError`.
    """
    record = exchange.record
    record.gateway_ms = now_ms = exchange.elapsed_ms()
    failure: UpstreamError | None = None
    for choice in plan.choices:
        tried = Attempt(choice.name, "cancelled", now_ms, 0.0)
        record.attempts.append(tried)
        try:
            upstream, first = await begin(rooms, exchange, call, choice)
        except UpstreamError as error:
            tried.outcome, tried.detail = error.code, error.message
            failure = error
            if not error.elsewhere:
                break
        else:
            tried.outcome = "ok"
            return choice, upstream, first
        finally:
            now_ms = exchange.elapsed_ms()
            tried.duration_ms = now_ms - tried.started_ms
    assert failure is not None  # noqa: S101 - a plan has at least one target
    raise failure


async def begin(
    rooms: Rooms, exchange: Exchange, call: Call, choice: Choice
) -> tuple[Answer, bytes]:
    """Ask one target and wait for its first content: the commit point.

    Raises: `UpstreamError`; the upstream is closed then.
    """
    time, timeouts = rooms.loop_time, choice.target.timeouts
    first_token_by = time() + timeouts.first_token_s
    provider = rooms.providers[choice.target.provider]
    upstream = await provider.open(choice, call, exchange.deadline)
    facts, held = upstream.facts, b""
    try:
        while not facts.content:
            if call.stream:
                upstream.set_idle(max(0.0, first_token_by - time()))
            data = await upstream.read()
            held += data
            if not facts.content and (not data or len(held) > HELD_BYTES):
                raise UpstreamMalformed("The provider's answer holds no content.")  # noqa: TRY301
    except IdleTimeout as error:
        upstream.close()
        raise FirstTokenTimeout("The provider sent no first token in time.") from error
    except BaseException:
        upstream.close()
        raise
    upstream.set_idle(timeouts.idle_s)
    exchange.record.ttft_ms = exchange.elapsed_ms()
    return upstream, held


async def relay(
    exchange: Exchange, call: Call, choice: Choice, upstream: Answer, first: bytes
) -> Ending:
    """Pass the answer on to the caller, all but its end, which is returned.

    Raises: `UpstreamError` when the upstream breaks.
    """
    headers = [*upstream.facts.headers, (b"x-tidegate-target", choice.header)]
    if not call.stream:
        return Ending(200, [*headers, JSON], first)
    exchange.start(200, [*headers, EVENTS, NO_CACHE])
    data, last, longest_gap_s = first, perf_counter(), 0.0
    try:
        while data:
            await exchange.write(data)
            data = await upstream.read()
            now = perf_counter()
            longest_gap_s = max(longest_gap_s, now - last)
            last = now
    finally:
        exchange.record.max_gap_ms = longest_gap_s * 1000.0
    return Ending(200, [], DONE)


def failed(exchange: Exchange, error: TidegateError) -> Ending:
    """The end of an answer that failed: an error body, or an error event when it had begun."""
    record = exchange.record
    record.error = error.message
    if exchange.started:
        record.outcome = "failed_after_commit"
        record.error_code = error.code
        return Ending(200, [], error_event(error))
    record.outcome = error.code
    body = error_body(error)
    headers = [JSON]
    if not error.retryable:
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


def note_answer(rooms: Rooms, exchange: Exchange, choice: Choice, facts: Facts) -> None:
    """Put into the record what the answer turned out to be, and what it cost."""
    record, usage = exchange.record, facts.usage
    record.target, record.provider = choice.name, choice.target.provider
    record.model, record.reason = facts.model or choice.model, choice.reason
    record.finish_reason, record.chunks = facts.finish_reason, facts.chunks
    if usage is None:
        return
    record.input_tokens, record.output_tokens = usage.input, usage.output
    record.cached_input_tokens, record.cache_write_tokens = usage.cached_input, usage.cache_write
    record.reasoning_tokens = usage.reasoning
    record.cost_nanousd, record.price = rooms.cost(choice.target, usage)
    writing_ms = exchange.elapsed_ms() - (record.ttft_ms or 0.0)
    if facts.chunks > 1 and usage.output > 1 and writing_ms > 0:
        record.tokens_per_s = (usage.output - 1) / writing_ms * 1000.0


class Ending(Struct, frozen=True):
    """What remains to be sent: all of an answer, or the end of one that has begun."""

    status: int
    headers: list[Header]
    body: bytes


# What this file asks of each room. Rooms satisfy these by shape; only `house.py` names them.


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


class Provider(Protocol):
    """Who answers."""

    async def open(self, choice: Choice, call: Call, deadline: float) -> Answer:
        """An answer that has begun. Raises: `UpstreamError`."""
        ...

    async def close(self) -> None:
        """Close every connection."""
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
    cost: Callable[[Target, Usage], tuple[int | None, str | None]]
    spool: Spool
    loop_time: Callable[[], float]
    """The event loop's clock, in seconds: what deadlines are told in."""
    config_version: str
    body_limit_bytes: int
    read_timeout_s: float
