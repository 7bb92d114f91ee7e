"""Serve one request, top to bottom: read this file and you have read the gateway.

`answer` enters the stations in their order:

    identify, receive, plan, admit, attempt, relay, settle

and `serve` sees to the end, whatever it is. Four promises are kept here and nowhere else:

* Record. Every request leaves exactly one record, refused ones included, and it is in the spool
  before the last byte leaves.
* Commit. Until an answer's first content has come, a failed target may be replaced by the next
  one, and the caller sees nothing of it. After it, never: the caller sees the failure as an
  explicit error event, not as a silent cut and not as a clean end.
* Money. What a budget covers is held, and stands in the spool, before a provider is asked; on every
  way out it is charged with what was used and let go, once.
* Leaving. A caller who leaves takes its upstream with it, unless its alias says `drain`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter

from msgspec import structs

from tidegate.conversations.thread import Thread
from tidegate.errors import (
    BadRequest,
    DeadlineExceeded,
    Draining,
    InternalError,
    LimitReached,
    NoTarget,
    TidegateError,
    Unavailable,
    UnknownModel,
    UpstreamError,
)
from tidegate.formats.heard import HEARD
from tidegate.gateway.attempt import Begun, attempt
from tidegate.gateway.degrade import degraded
from tidegate.gateway.exchange import (
    JSON,
    NOBODY,
    CallerGone,
    CallerStuck,
    Ending,
    Exchange,
    Header,
    header_text,
)
from tidegate.gateway.keeping import keep_bodies, leave_out, strictest
from tidegate.gateway.noting import (
    attributed,
    note_answer,
    note_facts,
    note_progress,
    note_request,
    note_tries,
    note_unread,
)
from tidegate.gateway.passthrough import PREFIX, pass_through
from tidegate.gateway.quotas import quota_headers, refused_headers, retry_headers
from tidegate.gateway.rooms import Rooms
from tidegate.gateway.wires import Wire
from tidegate.guard.redaction import TooHard
from tidegate.net import trace_context
from tidegate.telemetry.record import Record, decode, encode
from tidegate.types import NO_CALL, Call, Choice, Facts, Keeping, Plan, Principal, Terms

log = logging.getLogger("tidegate.gateway")

PROGRESS_S = 1.0
"""How often a stream that holds money tells how far it has got, in case it is never told again."""
STOP = "The gateway is stopping and could not finish the answer; ask again."
EVENTS: Header = (b"content-type", b"text/event-stream")
NO_CACHE: Header = (b"cache-control", b"no-cache")
TIMEOUT_HEADER, TIMEOUT_DIGITS = b"x-tidegate-timeout-ms", 9
"""What a caller may say to wait less than its alias would; never more."""
ANTHROPIC = ("messages", "count_tokens")
"""The formats whose SDK looks for the request's id in a header of its own."""
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
    record, caller = exchange.record, identified(rooms, exchange)
    body = await exchange.body(rooms.body_limit_bytes, rooms.read_timeout_s)
    call, thread = wire.understand(body, exchange.headers), None
    record.alias, record.stream = call.model, call.stream
    wait_s = patience_s(exchange.headers)
    call = said = attributed(exchange, caller, call)
    if call.wire == "responses":
        thread = await rooms.conversations.thread(caller, call)
        call = thread.call

    plan = rooms.router.plan(caller, call.model, random.random())  # noqa: S311 - load balance
    if call.wire == "count_tokens":
        plan = only(plan, lambda choice: rooms.providers[choice.target.provider].counts)
    named = plan
    if rooms.desk.limits:
        plan = await admitted(rooms, exchange, caller, call, plan, body=body)
    keeping = strictest(named.keeping, plan.keeping, rooms.teams.keeping.get(caller.team))
    note_request(exchange, said, plan, body, keeping)

    exchange.deadline = rooms.loop_time() + min(plan.total_s, wait_s)
    exchange.drains, exchange.watched = plan.terms.drain, True
    if exchange.gone:
        raise CallerGone
    try:
        begun = await attempt(rooms, exchange, call, plan, thread)
    except (UpstreamError, NoTarget) as error:
        return degraded(exchange, call, plan, error)
    failure: UpstreamError | None = None
    try:
        ending = await relay(rooms, exchange, call, begun)
        begun.turn.succeeded(rooms.loop_time())
    except UpstreamError as error:
        failure = error
        begun.turn.failed(error, rooms.loop_time())
        raise
    except BaseException:
        begun.turn.cancelled(rooms.loop_time())
        raise
    finally:
        begun.upstream.close(failure)
        note_answer(rooms, exchange, call, begun)
    if thread is not None:
        await keep_turn(rooms, exchange, thread, begun.choice, ending=ending, keeping=keeping)
    return ending


async def keep_turn(
    rooms: Rooms,
    exchange: Exchange,
    thread: Thread,
    choice: Choice,
    *,
    ending: Ending,
    keeping: Keeping,
) -> None:
    """Keep a good answer to go on from, if that is wanted: not where nothing may be kept."""
    if keeping.bodies == "none":
        return
    caller, user = exchange.caller, exchange.record.user
    kept = rooms.conversations.keep(caller, thread, choice, ending.body, user=user)
    if kept is not None:
        await kept


async def hand_on(rooms: Rooms, exchange: Exchange) -> Ending:
    """The stations of a request that goes to one provider as it is.

    Raises: `TidegateError`, `CallerGone`.
    """
    record, doors = exchange.record, rooms.doors
    caller = identified(rooms, exchange)
    body = await exchange.body(rooms.body_limit_bytes, rooms.read_timeout_s)
    attributed(exchange, caller, NO_CALL)
    total_s = min(doors.timeouts.total_s, patience_s(exchange.headers))
    name, door = doors.find(caller, exchange.target)
    record.alias, record.provider, record.target = PREFIX[1:] + name, name, name
    if rooms.desk.limits:
        exchange.admitted = await rooms.desk.admit_unread(caller, record, total_s)
    exchange.deadline = rooms.loop_time() + total_s
    facts, trace = Facts(), b""
    if name in rooms.tracing.providers:
        trace = rooms.tracing.lines(exchange.headers, record, 1)
    try:
        return await pass_through(door, doors.timeouts, exchange, body, facts, trace=trace)
    finally:
        note_facts(exchange, facts)
        note_unread(rooms, exchange, facts)


def identified(rooms: Rooms, exchange: Exchange) -> Principal:
    """Who asks. Raises: `Unauthenticated` and the like, `Unavailable`."""
    if not rooms.spool.healthy:
        raise Unavailable("Requests cannot be recorded now, so none is served.", retry_after_s=5)
    record = exchange.record
    exchange.caller = caller = rooms.keys.identify(exchange.headers, record.started_ns)
    record.key, record.team = caller.key, caller.team
    record.organisation, record.environment = caller.organisation, caller.environment
    return caller


async def admitted(
    rooms: Rooms, exchange: Exchange, caller: Principal, call: Call, plan: Plan, *, body: bytes
) -> Plan:
    """Hold what the request may use of limits and budgets; the plan that it may go by.

    Raises: `LimitReached` and its kinds, `LimitsUnavailable`, `PriceUnknown`.
    """
    record, desk = exchange.record, rooms.desk
    scopes = desk.limited(caller, record, plan)
    cheaper = desk.downgrade(scopes, record, call, plan) if scopes else None
    if cheaper is not None:
        with suppress(UnknownModel):  # the alias may be gone since the budget was set
            other = rooms.router.plan(NOBODY, cheaper, random.random())  # noqa: S311 - load balance
            record.downgraded, plan = plan.alias, other
            scopes = desk.limited(caller, record, plan)
    if not scopes:
        return plan
    record.alias = plan.alias
    plan, exchange.admitted = await desk.admit(scopes, record, call, plan, body)
    if record.held_nanousd is not None:
        payload = await hold(rooms, record, plan.choices[0])
        exchange.admitted.tell = partial(hold_more, rooms, record, payload)
    return plan


async def hold(rooms: Rooms, record: Record, first: Choice) -> bytes:
    """See to it that no crash forgets what is held, nor where it was to be spent at first.

    What was written. Raises: `Unavailable`.
    """
    record.outcome, record.provider, record.target = "held", first.target.provider, first.name
    payload = encode(record)
    record.outcome, record.provider, record.target = "ok", None, None
    began_s = perf_counter()
    await rooms.spool.append(payload)
    record.admit_ms += (perf_counter() - began_s) * 1000.0
    return payload


async def hold_more(rooms: Rooms, record: Record, payload: bytes, nanousd: int) -> None:
    """Say again what `hold` has written, now that further tries hold more.

    Raises: `Unavailable`.
    """
    held = decode(payload)
    held.held_nanousd = record.held_nanousd = (record.held_nanousd or 0) + nanousd
    await rooms.spool.append(encode(held))


async def relay(rooms: Rooms, exchange: Exchange, call: Call, begun: Begun) -> Ending:
    """Pass the answer on to the caller, all but its end, which is returned.

    Raises: `UpstreamError` when the upstream breaks.
    """
    upstream = begun.upstream
    headers = told(exchange, call, begun)
    if not call.stream:
        return Ending(200, [*headers, JSON], begun.first)
    exchange.start(200, [*headers, EVENTS, NO_CACHE])
    data, last, longest_gap_s = begun.first, perf_counter(), 0.0
    due = math.inf if exchange.record.held_nanousd is None else last + PROGRESS_S
    try:
        while data:
            if exchange.write(data):
                await exchange.drain()
            data = await upstream.read()
            now = perf_counter()
            longest_gap_s = max(longest_gap_s, now - last)
            last = now
            if now >= due:
                due = now + PROGRESS_S
                note_progress(rooms, exchange, call, begun)
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
    if exchange.record.downgraded is not None:
        headers.append((b"x-tidegate-downgraded", header_text(exchange.record.alias or "")))
    if exchange.admitted is not None:
        headers += quota_headers(exchange.admitted.ticket, anthropic=call.wire in ANTHROPIC)
    if facts.dropped:
        headers.append((b"x-tidegate-dropped", header_text(", ".join(facts.dropped))))
    return headers


def failed(wire: Wire | None, exchange: Exchange, error: TidegateError) -> Ending:
    """The end of an answer that failed: an error body, or an error event when it had begun."""
    record = exchange.record
    record.error = error.message
    if record.trace_parent is None:  # it may have been refused before anybody looked
        record.trace_parent = trace_context.find(exchange.headers)
    if isinstance(error, LimitReached):
        record.limit = error.limit
    heard = HEARD["chat" if wire is None else wire.name]
    if exchange.started:
        record.outcome = "failed_after_commit"
        record.error_code = error.code
        return Ending(200, [], heard.error_event(error, record.request_id))
    record.outcome = error.code
    body = heard.error_body(error, record.request_id)
    headers, anthropic = [JSON, *retry_headers(error)], wire is not None and wire.name in ANTHROPIC
    if anthropic:
        headers.append((b"request-id", record.request_id.encode()))
    if isinstance(error, LimitReached):
        headers += refused_headers(error, anthropic=anthropic)
    elif exchange.admitted is not None:
        headers += quota_headers(exchange.admitted.ticket, anthropic=anthropic)
    return Ending(error.status, headers, body)


async def settle(rooms: Rooms, exchange: Exchange, ending: Ending | None) -> None:
    """Leave the record, then charge what was used and let go of the rest, whatever happens."""
    try:
        await leave_record(rooms, exchange, ending)
    finally:
        if exchange.admitted is not None:
            exchange.admitted.settle()


async def leave_record(rooms: Rooms, exchange: Exchange, ending: Ending | None) -> None:
    """Complete the record and see it into the spool: before this returns, it is on its way out."""
    record = exchange.record
    record.duration_ms = exchange.elapsed_ms()
    record.status = ending.status if ending is not None else CALLER_GONE_STATUS
    if ending is not None:
        exchange.count(ending.body)
        if exchange.gone and exchange.drains and record.outcome == "ok":
            record.outcome, record.status = "client_gone", CALLER_GONE_STATUS
    elif record.error is None:
        record.outcome = "client_gone"
    try:
        masking = rooms.stepper.begin(keep_bodies(exchange))
        if masking is not None:
            await masking
    except (TooHard, asyncio.CancelledError):  # a drain's time may be over
        leave_out(exchange)
    note_tries(record)
    try:
        written = rooms.spool.append(encode(record))
        if ending is not None:
            # A drain's time may be over just now. The record is as good as written then, and the
            # answer is whole: its end is sent rather than cut off.
            try:  # noqa: SIM105 - `suppress` costs as much as all the rest here
                await written
            except asyncio.CancelledError:
                pass
    except Unavailable:  # its memory is full: the one record that is lost, and it is said
        log.exception("record lost", extra={"fields": {"request_id": record.request_id}})
