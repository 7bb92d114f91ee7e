"""What became of each target of the plan, and why: tried, passed over, never reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.telemetry.explanation.shape import Around, Candidate, Role, TargetSaid
from tidegate.telemetry.explanation.way import is_running
from tidegate.telemetry.record import Attempt, Record
from tidegate.types import wildcard

MOST_ATTEMPTS: Final = 64
SKIPPED: Final = "skipped_breaker_open"
_CHAINS: Final = {
    "overflow": "only after a conversation that was too long",
    "filter": "only after a content filter",
    "malformed": "only after a malformed answer",
}


def targets(record: Record, around: Around) -> Iterator[TargetSaid]:
    """Every target that was tried, or might have been, and why it was or was not."""
    seen: set[str] = set()
    tries: dict[str, list[tuple[int, Attempt]]] = {}
    for number, each in enumerate(record.attempts[:MOST_ATTEMPTS], 1):
        tries.setdefault(each.target, []).append((number, each))
    listed = {name: _listed(name, around.candidates or ()) for name in tries}
    for name, mine in tries.items():
        seen.add(name)
        role, why = _became(record, mine)
        said = record.reason if role == "answered" else None
        yield TargetSaid(name, role, said or _why(listed[name]), why)
    for name, why in record.left_out.items():
        if name not in seen:
            seen.add(name)
            yield TargetSaid(name, "left out", _why(_listed(name, around.candidates or ())), why)
    done = {id(each) for each in listed.values() if each is not None}
    for each in around.candidates or ():
        if id(each) not in done and each.name not in seen:
            seen.add(each.name)
            yield TargetSaid(each.name, "not asked", each.why, _not_asked(record, each, around))


def _listed(name: str, candidates: Sequence[Candidate]) -> Candidate | None:
    for each in candidates:
        if each.name == name or ("*" in each.name and wildcard(each.name, name) is not None):
            return each
    return None


def _why(listed: Candidate | None) -> str | None:
    return None if listed is None else listed.why


def _became(record: Record, mine: Sequence[tuple[int, Attempt]]) -> tuple[Role, str]:
    told = "; ".join(_happened(number, each) for number, each in mine)
    outcomes = [each.outcome for _, each in mine]
    if "ok" in outcomes:
        if record.outcome == "failed_after_commit":
            return "failed", f"{told}; then it broke off: {record.error_code}"
        return "answered", told
    if all(each.outcome == SKIPPED for _, each in mine):
        return "passed over", "it rested after failures: its breaker was open"
    if not any(was_asked(each) for _, each in mine):
        return "passed over", told
    if outcomes[-1] == "cancelled":
        gone = "the caller left" if record.outcome == "client_gone" else "another one was faster"
        return "cancelled", f"{told}; {gone}"
    return "failed", told


def _happened(number: int, each: Attempt) -> str:
    said = f"attempt {number}"
    if each.outcome == SKIPPED:
        return f"{said}: its breaker was open"
    if each.hedge:
        said += " (hedge, as the first was slow)"
    if each.outcome == "ok":
        return f"{said} had content after {each.duration_ms:,.0f} ms"
    said += f": {each.outcome}"
    if each.status is not None:
        said += f", status {each.status}"
    if each.detail:
        said += f" ({each.detail.rstrip('.')})"
    return f"{said}; {each.then}" if each.then else said


def _not_asked(record: Record, each: Candidate, around: Around) -> str:
    if is_running(record):
        return "not yet, as far as is known"
    if record.limit is not None or not (record.attempts or record.target or record.degraded):
        return f"the request was refused before: {record.outcome}"
    if record.wire == "count_tokens":
        return "it cannot count tokens, or an earlier one did"
    if each.kind in _CHAINS:
        return _CHAINS[each.kind]
    if record.target is not None:
        return _drawn(record, each, around.candidates or ())
    return _never_reached(record)


def _never_reached(record: Record) -> str:
    if record.outcome == "client_gone":
        return "the caller left before"
    last = next((tried for tried in reversed(record.attempts) if tried.then), None)
    if last is not None:
        return f"never reached, after {last.target}: {last.then}"
    return f"never reached: {record.outcome}"


def _drawn(record: Record, each: Candidate, candidates: Sequence[Candidate]) -> str:
    first = next((tried for tried in record.attempts if not tried.hedge), None)
    drawn = None if first is None else _listed(first.target, candidates)
    if each.kind == "own" and each.weight == 0:
        return "its weight is 0: only in the place of others"
    if drawn is not None and drawn.kind == "own" and each.kind == "own":
        if first is not None and record.target == first.target:
            return f"the draw fell on {record.target}, which answered"
        return f"the draw fell on {drawn.name}; {record.target} answered before its turn"
    return f"not needed: {record.target} answered"


def was_asked(tried: Attempt) -> bool:
    """Whether a target was asked, and not only passed over."""
    return tried.duration_ms != 0.0 or tried.outcome == "ok"
