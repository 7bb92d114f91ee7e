"""What a provider's outage looked like: pure arithmetic over what callers saw and records say.

All times are Unix seconds. The run is cut into phases by when a request was due:

    healthy      and over before the provider failed
    breaking     from then on, with those under way then, until the breaker opened
    open         until the provider was back
    recovering   until its first answer
    recovered    after it
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.stats import percentiles
from bench.steady import Asked
from tidegate.telemetry.record import Record

ABNORMAL = 1.5
"""A first token is slow when it takes longer than so many times the healthy 99th percentile."""
PHASES = ("healthy", "breaking", "open", "recovering", "recovered")
LOOK_BACK_S = 0.5
SLOW_SHARE = 0.01
SKIPPED = "skipped_breaker_open"
_SAYS_NOTHING = ("ok", "cancelled", SKIPPED)

Figures = dict[str, Any]


class Try(NamedTuple):
    """One attempt at a target, or that it was passed over, for a request that came at `asked_s`."""

    request_id: str
    asked_s: float
    target: str
    outcome: str
    began_s: float
    ended_s: float


class Moments(NamedTuple):
    """When the run began, when the provider failed and when it was back."""

    began_s: float
    failed_s: float
    restored_s: float


def tries(records: Iterable[Record]) -> list[Try]:
    """All attempts of `records`."""
    return [
        Try(
            record.request_id,
            record.started_ns / 1e9,
            each.target,
            each.outcome,
            record.started_ns / 1e9 + each.started_ms / 1e3,
            record.started_ns / 1e9 + (each.started_ms + each.duration_ms) / 1e3,
        )
        for record in records
        for each in record.attempts
    ]


def judged(asked: Sequence[Asked], seen: Sequence[Try], moments: Moments, dead: str) -> Figures:
    """Everything that is told of one run; NaN is what did not happen."""
    failed_s, restored_s = moments.failed_s, moments.restored_s
    there = [each for each in seen if each.target == dead and each.ended_s >= failed_s]
    failure_s = _first(each.ended_s for each in there if each.outcome not in _SAYS_NOTHING)
    opened_s = _first(each.began_s for each in there if each.outcome == SKIPPED)
    back_s = _first(
        each.ended_s for each in there if each.outcome == "ok" and each.began_s >= restored_s
    )
    phases = _phases(asked, moments, opened_s, back_s)
    told = {name: _told(phase) for name, phase in phases.items()}
    outage = _told([*phases["breaking"], *phases["open"]])
    return {
        "phases": told,
        "outage": outage,
        "requests": sum(phase["requests"] for phase in told.values()),
        "errors": sum(phase["errors"] for phase in told.values()),
        "outage_p99_over_healthy_ms": outage["p99_ms"] - told["healthy"]["p99_ms"],
        "failure_after_s": failure_s - failed_s,
        "opened_after_failure_s": opened_s - failure_s,
        "normal_after_s": normal_after_s(asked, ABNORMAL * told["healthy"]["p99_ms"], opened_s),
        "recovered_after_s": back_s - restored_s,
        **_calls(there, moments),
        "sent_late_p99_ms": percentiles([_late_ms(each) for each in asked if _sent(each)], (99,))[
            0
        ],
        "first_error": next((each.failure for each in asked if each.failure), None),
    }


def normal_after_s(asked: Sequence[Asked], slow_ms: float, opened_s: float) -> float:
    """Seconds from the breaker's opening until the 99th percentile was normal again.

    It is not normal at the moment of a slow first token before which, within half a second, more
    than one in a hundred was slow: the last such moment counts.
    """
    firsts = sorted((each.first_s, each.first_ms > slow_ms) for each in asked if _came(each))
    last_s, start, slow = opened_s, 0, 0
    for number, (at_s, is_slow) in enumerate(firsts):
        slow += is_slow
        while firsts[start][0] <= at_s - LOOK_BACK_S:
            slow -= firsts[start][1]
            start += 1
        if is_slow and slow > SLOW_SHARE * (number + 1 - start):
            last_s = max(last_s, at_s)
    return last_s - opened_s


def _phases(
    asked: Sequence[Asked], moments: Moments, opened_s: float, back_s: float
) -> dict[str, list[Asked]]:
    """The requests of each phase; those due before the run began are in none."""
    began_s, failed_s, restored_s = moments
    # What did not happen lies behind everything.
    opened_s = restored_s if math.isnan(opened_s) else opened_s
    back_s = math.inf if math.isnan(back_s) else back_s
    phases: dict[str, list[Asked]] = {name: [] for name in PHASES}
    for each in asked:
        if each.due_s < began_s:
            continue
        if each.ended_s <= failed_s:
            phases["healthy"].append(each)
        elif each.due_s < opened_s:
            phases["breaking"].append(each)
        elif each.due_s < restored_s:
            phases["open"].append(each)
        elif each.due_s < back_s:
            phases["recovering"].append(each)
        else:
            phases["recovered"].append(each)
    return phases


def _told(phase: Sequence[Asked]) -> Figures:
    p50, p99, most = percentiles([each.first_ms for each in phase if _came(each)], (50, 99, 100))
    errors = [(each.ended_s - each.due_s) * 1e3 for each in phase if each.failure is not None]
    return {
        "requests": len(phase),
        "errors": len(errors),
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": most,
        "error_p99_ms": percentiles(errors, (99,))[0],
    }


def _calls(there: Sequence[Try], moments: Moments) -> Figures:
    """How often the dead target was called for the requests that came during the outage."""
    during = [each for each in there if moments.failed_s <= each.asked_s < moments.restored_s]
    requests = {each.request_id for each in during}
    called = [each.request_id for each in during if each.outcome != SKIPPED]
    return {
        "calls": len(called),
        "calls_per_request": len(called) / len(requests) if requests else math.nan,
        "calls_per_caller_of_it": len(called) / len(set(called)) if called else 0.0,
    }


def _sent(asked: Asked) -> bool:
    return not math.isnan(asked.sent_s)


def _late_ms(asked: Asked) -> float:
    """By how much our own caller missed the clock."""
    return (asked.sent_s - asked.due_s) * 1e3


def _came(asked: Asked) -> bool:
    return not math.isnan(asked.first_s)


def _first(moments: Iterable[float]) -> float:
    return min(moments, default=math.nan)
