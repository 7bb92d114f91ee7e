"""What goes into the record of a request: who asked for what, what came of it, what it cost."""

from __future__ import annotations

from contextlib import suppress

from msgspec import structs

from tidegate.errors import Unavailable
from tidegate.gateway.attempt import Begun
from tidegate.gateway.delivered import asked, delivered
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.keeping import note_keeping
from tidegate.gateway.rooms import Rooms
from tidegate.gateway.wires import PARAMETERS, shown
from tidegate.guard.attribution import attribute
from tidegate.ledger.progress import Progress
from tidegate.ledger.progress import encode as encode_progress
from tidegate.telemetry.record import Record
from tidegate.types import NO_CALL, Call, Choice, Facts, Keeping, Plan, Principal, Target, Usage

NAME_CHARACTERS, NAMES_KEPT = 200, 100
"""What a record keeps of names that others make up."""


def attributed(exchange: Exchange, caller: Principal, call: Call) -> Call:
    """Note whom and what the request is counted for. Raises: `BadRequest`, `Forbidden`."""
    record = exchange.record
    who = attribute(caller, exchange.headers, call.wire, call.body)
    record.user, record.trace_parent = who.user, who.trace
    if who.feature is not None or who.conversation is not None or who.tags:
        record.feature, record.conversation, record.tags = who.feature, who.conversation, who.tags
        if who.conversation is not None:
            return structs.replace(call, conversation=who.conversation)
    return call


def note_request(exchange: Exchange, call: Call, plan: Plan, body: bytes, keeping: Keeping) -> None:
    """Put into the record what the request says, as far as policy allows."""
    record = exchange.record
    record.alias = plan.alias
    if keeping.bodies != "none":
        record.parameters = {k: shown(v) for k, v in call.body.items() if k in PARAMETERS}
    note_keeping(exchange, keeping, call, body)


def note_answer(rooms: Rooms, exchange: Exchange, call: Call, begun: Begun) -> None:
    """Put into the record what the answer turned out to be, and what it cost."""
    record, choice, facts = exchange.record, begun.choice, begun.upstream.facts
    usage = delivered(call, choice, facts, begun.first)
    record.usage_estimated = usage is not facts.usage
    facts.usage = usage
    record.target, record.provider = choice.name, choice.target.provider
    record.model, record.reason = facts.model or choice.model, choice.reason
    if facts.dropped:
        record.dropped = [name[:NAME_CHARACTERS] for name in facts.dropped[:NAMES_KEPT]]
    note_facts(exchange, facts)
    if usage is None:
        return
    begun.turn.slot.lane.used(usage.input + usage.output)
    cost_nanousd, record.price = rooms.cost(choice, call, usage, record.started_ns)
    record.cost_nanousd = cost_nanousd
    if cost_nanousd:
        begun.turn.trial.health.hedge_budget.paid(cost_nanousd)
    if exchange.admitted is not None:
        tokens = usage.input + usage.output
        exchange.admitted.charge(record.provider, tokens, cost_nanousd or 0, last=True)
        rooms.desk.learn(record.alias or "", record.request_bytes, usage.input)
    if facts.chunks > 1 and usage.output > 1:
        writing_ms = exchange.elapsed_ms() - (record.ttft_ms or 0.0)
        if writing_ms > 0:
            record.tokens_per_s = (usage.output - 1) / writing_ms * 1000.0


def note_tries(record: Record) -> None:
    """Add what the tries have cost that did not become the answer."""
    for tried in record.attempts:
        if tried.cost_nanousd:
            record.cost_nanousd = (record.cost_nanousd or 0) + tried.cost_nanousd


def note_progress(rooms: Rooms, exchange: Exchange, call: Call, begun: Begun) -> None:
    """Leave in the spool how far a stream has got."""
    record, choice = exchange.record, begun.choice
    usage = Usage(input=asked(call), output=begun.upstream.facts.said_tokens)
    cost_nanousd, _ = rooms.cost(choice, call, usage, record.started_ns)
    before = sum(tried.cost_nanousd or 0 for tried in record.attempts)
    progress = Progress(record.request_id, usage.output, before + (cost_nanousd or 0))
    with suppress(Unavailable):  # it is a help only
        rooms.spool.append(encode_progress(progress))


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
        record.audio_input_tokens = usage.audio_input
        record.audio_output_tokens = usage.audio_output


def note_unread(rooms: Rooms, exchange: Exchange, facts: Facts) -> None:
    """Put into the record what a request cost that was handed on, as far as its answer tells."""
    record, usage = exchange.record, facts.usage
    if usage is None or facts.model is None or record.provider is None:
        return
    target = Target(record.provider, facts.model, rooms.doors.timeouts)
    choice = Choice(target, facts.model, "", "", b"", b"")
    record.cost_nanousd, record.price = rooms.cost(choice, NO_CALL, usage, record.started_ns)
    if exchange.admitted is not None:
        tokens, cost_nanousd = usage.input + usage.output, record.cost_nanousd or 0
        exchange.admitted.charge(record.provider, tokens, cost_nanousd, last=True)
