"""What must be true after an outage: pure functions over what was seen, recorded and billed.

kept        requests that began in the outage and were answered well, as a share of all of them
recovery    seconds from the end of the outage to the end of the trouble
calls       calls of providers for each request, whatever became of them
records     every answered request has its record, once, and nothing else has one
charges     every good answer is charged as the provider counts it, and only once
truncations streams that ended without a good end and without an error

Whatever fails for want of time says so: a drill, or a gateway, that has no processor to run on
proves nothing, and passes nothing either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegate.drill.judge import Outcome
from tidegate.drill.load import Seen
from tidegate.drill.scenarios import Scenario
from tidegate.drill.simulators import Call
from tidegate.telemetry.record import Record
from tidegate.types import Usage

_SKIPPED: Final = "skipped"
_EXAMPLES: Final = 3
_GRACE_S: Final = 0.5
_LATE_S: Final = 0.1
_TOO_MANY: Final = 429
_FINISHED: Final = (Outcome.GOOD, Outcome.REFUSED, Outcome.FAILED, Outcome.TRUNCATED)
"""Requests whose end came: their record was written before it."""

Charge = Callable[[str, Usage], Collection[int | None]]
"""The nano-dollars that a target (`provider/model`) may ask for a usage: several where aliases give
it different prices, None where it has none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known after one scenario. Times are of the drill's event loop."""

    scenario: Scenario
    seen: Sequence[Seen]
    began_s: float
    """When the outage began."""
    ended_s: float
    calls: Sequence[Call]
    """The answers that simulated providers gave."""
    received: int
    """The requests that they received."""
    records: Sequence[Record] | None
    """None when the records cannot be read."""
    charge: Charge | None = None
    """None when prices are not known."""
    first_token_s: float = 30.0
    """The longest that any alias waits for a first token."""
    openings: int = 0
    """The failures that it takes to open the breakers of all the victim's targets."""
    lost_bills: Sequence[str] = ()
    """What the ids of a killed server's answers begin with: its last ones are on no bill."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `ok` is None when it could not be checked."""

    name: str
    ok: bool | None
    value: float | None
    shown: str
    limit: str
    reasons: tuple[str, ...] = field(default=())


def checks(evidence: Evidence) -> tuple[Check, ...]:
    """All of them, in the order of the table."""
    return tuple(each(evidence) for each in CHECKS.values())


def kept(evidence: Evidence) -> Check:
    """The share of requests that began in the outage and were answered well.

    Where nobody can hide a failure, those that it takes to open the breakers are not counted.
    """
    limit = evidence.scenario.limits.kept
    struck = _struck(evidence)
    lost = [one for one in struck if one.outcome is not Outcome.GOOD]
    excused = evidence.openings if evidence.scenario.breaks else 0
    share = 1 - max(0, len(lost) - excused) / len(struck) if struck else 0.0
    return Check(
        "kept",
        share >= limit,
        share,
        _percent(share),
        f"≥ {_percent(limit)}",
        (*_told(lost), *_lateness(evidence)) if share < limit else (),
    )


def recovery(evidence: Evidence) -> Check:
    """Seconds after the outage until the last request that began then was in trouble.

    In trouble is what is not answered well, and a stream whose first token takes half a second
    longer than twice what the slowest hundredth took before the outage.
    """
    limit_s = evidence.scenario.limits.recovery_s
    slow_s = 2 * _slowest_s(_before(evidence)) + _GRACE_S
    troubled = [
        one
        for one in evidence.seen
        if one.due_s >= evidence.ended_s
        and (one.outcome is not Outcome.GOOD or (one.stream and _wait_s(one) > slow_s))
    ]
    took_s = max((one.due_s - evidence.ended_s for one in troubled), default=0.0)
    ok = took_s <= limit_s
    return Check(
        "recovery",
        ok,
        took_s,
        f"{took_s:.1f} s",
        f"≤ {limit_s:g} s",
        () if ok else (*_told(troubled), *_lateness(evidence)),
    )


def first_token(evidence: Evidence) -> Check:
    """Seconds that the outage adds to the slowest hundredth of first tokens, in streams."""
    limit_s = evidence.scenario.limits.first_token * evidence.first_token_s
    struck = [one for one in _struck(evidence) if one.outcome is Outcome.GOOD and one.stream]
    added_s = max(0.0, _slowest_s(struck) - _slowest_s(_before(evidence)))
    ok = added_s <= limit_s
    return Check(
        "first token",
        ok,
        added_s,
        f"+{added_s:.2f} s",
        f"≤ +{limit_s:g} s",
        () if ok else tuple(_lateness(evidence)),
    )


def _lateness(evidence: Evidence) -> Iterable[str]:
    """That the drill or its gateway could not keep up, if so: what they show says little then."""
    late_s = max((one.sent_s - one.due_s for one in evidence.seen), default=0.0)
    if late_s > _LATE_S:
        yield f"the drill sent requests up to {late_s:.1f} s late: the rate is too high for here"
    if shed := sum(map(_was_shed, evidence.seen)):
        yield f"the gateway had no time for {shed} of the requests: the rate is too high for here"


def _was_shed(one: Seen) -> bool:
    """Whether a gateway that was late itself refused it unread: such a request has no record."""
    return one.status == _TOO_MANY and not one.request_id


def _before(evidence: Evidence) -> list[Seen]:
    """The good streams that were complete before the outage."""
    return [
        one
        for one in evidence.seen
        if one.stream and one.ended_s < evidence.began_s and one.outcome is Outcome.GOOD
    ]


def _struck(evidence: Evidence) -> list[Seen]:
    """The requests that began in the outage."""
    return [one for one in evidence.seen if evidence.began_s <= one.due_s < evidence.ended_s]


def _slowest_s(seen: Sequence[Seen]) -> float:
    """The wait for a first token that a hundredth of the requests was above."""
    waits = sorted(map(_wait_s, seen))
    return waits[min(len(waits) - 1, math.ceil(0.99 * len(waits)) - 1)] if waits else 0.0


def _wait_s(one: Seen) -> float:
    return (one.first_s or one.ended_s) - one.sent_s


def calls(evidence: Evidence) -> Check:
    """Calls of providers for each request, the first failures of each breaker not counted.

    Counted by whoever knows of more: a server that is gone counts nothing, and a gateway that was
    killed leaves no record of what it had begun.
    """
    limit = evidence.scenario.limits.calls
    tried = sum(
        not attempt.outcome.startswith(_SKIPPED)
        for record in evidence.records or ()
        for attempt in record.attempts
    )
    requests = len(evidence.seen)
    called = max(tried, evidence.received)
    share = max(requests, called - evidence.openings) / requests if requests else 0.0
    ok = share <= limit
    reasons = () if ok else tuple(_lateness(evidence))
    return Check("calls", ok, share, f"{share:.2f}", f"≤ {limit:g}", reasons)


def records(evidence: Evidence) -> Check:
    """Every request that was let in and ended has one record; no record is of nobody's request."""
    if evidence.records is None:
        return _unchecked("records")
    found = Counter(record.request_id for record in evidence.records)
    let_in = [one for one in evidence.seen if not _was_shed(one)]
    finished = [one for one in let_in if one.outcome in _FINISHED]
    missing = [one.request_id or "(no id)" for one in finished if not found[one.request_id]]
    double = [name for name, number in found.items() if number > 1]
    unfinished = len(let_in) - len(finished)
    strange = max(0, len(found) - len({one.request_id for one in finished}) - unfinished)
    wrong = len(missing) + len(double) + strange
    reasons = (
        *_examples("no record of", missing),
        *_examples("recorded more than once:", double),
        *([f"{strange} records of requests that nobody made"] if strange else []),
    )
    return Check("records", not wrong, wrong, _exact(wrong), "each once", reasons)


def charges(evidence: Evidence) -> Check:
    """Every good answer is charged what its provider says, once; errors are not charged.

    What tries have cost that did not become the answer stands in the record by itself, and is no
    part of this: a provider's bill does not tell which of its answers were of use.

    An answer that broke after it had begun has to be charged for what was delivered; how much that
    was, only an estimate can say.
    """
    if evidence.records is None:
        return _unchecked("charges")
    by_id = {record.request_id: record for record in evidence.records}
    answered = [(one, by_id[one.request_id]) for one in evidence.seen if one.request_id in by_id]
    good = [(one, record) for one, record in answered if _is_charged(one, record)]
    wrong = [
        f"{record.request_id}: charged for an error"
        for one, record in answered
        if one.outcome is Outcome.REFUSED and _cost_nanousd(record)
    ]
    wrong += [
        f"{record.request_id}: nothing is recorded of what was delivered before it broke"
        for one, record in answered
        if one.outcome is Outcome.FAILED and one.stream and record.output_tokens is None
    ]
    wrong += _against_bills(good, evidence)
    number = len(wrong)
    return Check(
        "charges",
        not wrong,
        number,
        _exact(number),
        "as billed",
        tuple(wrong[:_EXAMPLES]),
    )


def _is_charged(one: Seen, record: Record) -> bool:
    return one.outcome is Outcome.GOOD and record.target is not None and record.degraded is None


def _against_bills(good: Sequence[tuple[Seen, Record]], evidence: Evidence) -> Iterable[str]:
    """What differs between records and the providers' bills.

    An answer is found by its id. A format that makes up ids of its own has to take an answer of
    the same model and the same length that nobody else has claimed.
    """
    billed = {call.id: call for call in evidence.calls if call.complete}
    claimed: set[str] = set()
    others: list[Record] = []
    for one, record in good:
        at = one.answer_id.find("sim-")
        name = one.answer_id[at:]
        if at < 0:
            others.append(record)
        elif name in claimed:
            yield f"{record.request_id}: {name} was charged before"
        elif name in billed:
            yield from _differences(record, billed.pop(name), evidence.charge)
        elif not name.startswith(tuple(evidence.lost_bills)):
            yield f"{record.request_id}: {name} was never billed"
        claimed.add(name)
    alike: dict[tuple[str, int | None, int | None], list[Call]] = {}
    for call in billed.values():
        name = f"{call.provider}/{call.model}"
        alike.setdefault((name, call.prompt_tokens, call.billed_tokens), []).append(call)
    for record in others:
        said = (record.target or "", record.input_tokens, record.output_tokens)
        if found := alike.get(said):
            yield from _differences(record, found.pop(), evidence.charge)
        elif not evidence.lost_bills:
            yield f"{record.request_id}: no provider billed {said[1]} + {said[2]} tokens for it"


def truncations(evidence: Evidence) -> Check:
    """Answers that ended as if they were whole, and were not; lost connections too."""
    bad = {Outcome.TRUNCATED} if evidence.scenario.cuts else {Outcome.TRUNCATED, Outcome.CUT}
    found = [one for one in evidence.seen if one.outcome in bad]
    number = len(found)
    return Check("truncations", not found, number, str(number), "none", tuple(_told(found)))


CHECKS: Final[Mapping[str, Callable[[Evidence], Check]]] = {
    "kept": kept,
    "recovery": recovery,
    "first token": first_token,
    "calls": calls,
    "records": records,
    "charges": charges,
    "truncations": truncations,
}


def _differences(record: Record, call: Call, charge: Charge | None) -> Iterable[str]:
    """What the record says otherwise than the provider."""
    said = (record.input_tokens, record.output_tokens)
    if said != (call.prompt_tokens, call.billed_tokens):
        yield (
            f"{record.request_id}: recorded {said[0]} + {said[1]} tokens, billed "
            f"{call.prompt_tokens} + {call.billed_tokens}"
        )
        return
    if charge is None or record.target is None:
        return
    usage = Usage(
        call.prompt_tokens,
        call.billed_tokens,
        call.cached_tokens,
        call.cache_write_tokens,
        call.reasoning_tokens,
    )
    wanted, charged = charge(record.target, usage), _cost_nanousd(record)
    if charged not in wanted:
        asked = " or ".join(map(str, wanted))
        yield f"{record.request_id}: charged {charged} nano-dollars, billed {asked}"


def _cost_nanousd(record: Record) -> int | None:
    """What the answer is charged, without the tries before it or beside it."""
    if record.cost_nanousd is None:
        return None
    return record.cost_nanousd - sum(tried.cost_nanousd or 0 for tried in record.attempts)


def _exact(wrong: int) -> str:
    return f"{wrong} wrong" if wrong else "exact"


def _unchecked(name: str) -> Check:
    return Check(name, None, None, "-", "", ("the records cannot be read from here",))


def _told(seen: Sequence[Seen]) -> Iterable[str]:
    """What became of these requests, the most frequent first, with an example of each."""
    kinds = Counter((one.outcome, one.alias, one.status) for one in seen)
    for (outcome, alias, status), number in kinds.most_common(_EXAMPLES):
        example = next(
            one.detail
            for one in seen
            if (one.outcome, one.alias, one.status) == (outcome, alias, status)
        )
        told = f"{number} x {alias} {outcome.value}" + (f" {status}" if status else "")
        yield f"{told}: {example}" if example else told


def _examples(what: str, names: Sequence[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
        yield f"{what} {', '.join(names[:_EXAMPLES])}{more}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")
