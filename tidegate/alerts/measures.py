"""What each rule finds in the facts: pure functions, one for each rule.

A summary is one sentence for whoever is woken by it: what, how much, against what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from tidegate.alerts import nearby
from tidegate.alerts.burning import burning
from tidegate.alerts.costs import dollars, feature_costs, spend_rate, user_costs
from tidegate.alerts.facts import BudgetFact, Facts, Heard, Traffic
from tidegate.alerts.machine import Finding, Found
from tidegate.alerts.quality import drifted
from tidegate.alerts.rules import Rule, Severity

__all__ = ["MEASURES", "find"]

Measure = Callable[[Rule, Facts], "Iterable[Finding] | None"]

_USUALLY_REFUSED: Final = 0.01
"""A share below which nobody would notice that it has tripled."""
_USUALLY_FOUND: Final = 0.05
"""So much personal data in a request that nobody would notice that it has tripled."""
_USUALLY_LEAKED: Final = 0.01
"""The same of credentials."""
_USUALLY_CACHED: Final = 0.1
"""A share below which nobody relies on a cache."""
_NEARLY: Final = 0.8
_NOTICED_S: Final = 1.0
"""The same of a wait."""


def find(rules: Iterable[Rule], facts: Facts) -> Found:
    """What every rule finds, the worst first; None where it could not look."""
    found: dict[str, list[Finding] | None] = {}
    for rule in rules:
        findings = MEASURES[rule.name](rule, facts)
        if findings is None:
            found[rule.name] = None
            continue
        found[rule.name] = sorted(findings, key=lambda each: -each.value)
    return found


def _budgets(rule: Rule, facts: Facts) -> list[Finding] | None:
    if facts.budgets is None:
        return None
    return [each for budget in facts.budgets for each in _steps(rule, budget)]


def _steps(rule: Rule, budget: BudgetFact) -> Iterator[Finding]:
    limit, spent = budget.limit_nanousd, budget.spent_nanousd
    # Of a budget of nothing, nothing is left.
    share = spent / limit if limit else 1.0
    steps = sorted(rule.steps)
    # What is left may be too little for any request, and is never spent then: a budget that refuses
    # is as good as spent, unless it was a request of unusual size.
    below = max((step for step in steps if step < 1.0), default=_NEARLY)
    spent_up = budget.refusing and share >= below
    reached = [step for step in steps if share >= step or (spent_up and step <= 1.0)]
    period = "in all" if budget.period == "total" else f"this {budget.period}"
    for step in reversed(reached):
        # A step that is passed together with a higher one is not worth a word of its own.
        highest = step == reached[-1]
        summary = (
            f"The {budget.kind} {budget.name} has spent {share:.0%} of its budget:"
            f" {dollars(spent)} of {dollars(limit)} {period}."
        )
        if step >= 1.0:
            summary += " Further requests are refused."
        severity: Severity = "page" if step >= 1.0 else rule.severity
        place = (budget.kind, budget.name, budget.period, budget.timezone, str(budget.began_ns))
        yield Finding(
            labels={"kind": budget.kind, "name": budget.name, "period": budget.period},
            value=share,
            threshold=step,
            summary=summary if highest else "",
            severity="info" if step == steps[0] and step < below else severity,
            once="/".join((*place, f"{step:g}", str(limit))),
        )


def _errors(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    return _shares(rule, facts.traffic, lambda each: each.failed, "of requests failed", rule.least)


def _limited(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    return _shares(rule, facts.traffic, lambda each: each.limited, "of requests met a limit", 1)


def _shares(
    rule: Rule,
    traffic: Mapping[str, Traffic] | None,
    count: Callable[[Traffic], int],
    words: str,
    few: float,
) -> Iterable[Finding] | None:
    if traffic is None:
        return None
    return (
        Finding(
            {"alias": alias},
            count(each) / each.requests,
            rule.threshold,
            f"{alias}: {count(each) / each.requests:.1%} {words} in the last 5 minutes"
            f" ({count(each)} of {each.requests}; limit {rule.threshold * 100:.3g}%).",
        )
        for alias, each in traffic.items()
        if each.requests >= rule.least
        and count(each) >= few
        and count(each) / each.requests > rule.threshold
    )


def _drop(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    if facts.traffic is None:
        return None
    return (
        Finding(
            {"alias": alias},
            each.lately / each.usual,
            rule.threshold,
            f"{alias}: {each.lately} requests in 5 minutes, where {each.usual:.0f} were usual"
            " in the hour before.",
            severity=None if each.lately else "page",
        )
        for alias, each in facts.traffic.items()
        if each.usual is not None
        and each.usual >= max(rule.least, 1)
        and each.lately / each.usual < rule.threshold
    )


def _unpriced(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    if facts.traffic is None:
        return None
    return (
        Finding(
            {"alias": alias},
            each.unpriced,
            rule.threshold,
            f"{alias}: {each.unpriced} requests in the last 5 minutes have no known price; they"
            " count as nothing in every sum and budget.",
        )
        for alias, each in facts.traffic.items()
        if each.unpriced >= rule.threshold
    )


def _heard(value: Callable[[Heard], float], words: Callable[[Heard], str]) -> Measure:
    def measure(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
        if facts.heard is None:
            return None
        return (
            Finding({"alias": alias}, value(each), rule.threshold, f"{alias}: {words(each)}.")
            for alias, each in facts.heard.items()
            if each.answers >= rule.least and value(each) > rule.threshold
        )

    return measure


def _compared(
    value: Callable[[Heard], float], least: float, words: Callable[[Heard, Heard], str]
) -> Measure:
    # Against the hour before; what is below `least` now is not worth comparing.
    def measure(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
        if facts.heard is None:
            return None
        return (
            Finding(
                {"alias": alias},
                value(each) / max(value(each.usual), least / rule.threshold),
                rule.threshold,
                f"{alias}: {words(each, each.usual)}.",
            )
            for alias, each in facts.heard.items()
            if each.usual is not None
            and min(each.answers, each.usual.answers) >= rule.least
            and value(each) > least
            and value(each) > rule.threshold * value(each.usual)
        )

    return measure


def _cached_less(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    if facts.caching is None:
        return None
    return (
        Finding(
            {"alias": alias},
            each.share / each.share_before,
            rule.threshold,
            f"{alias}: {each.share:.0%} of the input came from providers' caches in the last hour,"
            f" {each.share_before:.0%} in the day before.",
        )
        for alias, each in facts.caching.items()
        if min(each.requests, each.requests_before) >= rule.least
        and each.share_before >= _USUALLY_CACHED
        and each.share / each.share_before < rule.threshold
    )


def _retiring(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    if facts.retiring is None:
        return None
    return (
        Finding(
            {"model": model},
            -days,  # the one that goes first is the worst
            -rule.threshold,
            f"{model} goes in {days:.0f} days, and is in use."
            if days > 0
            else f"{model} should be gone by now, and is in use.",
            severity="page" if days <= rule.threshold / 10 else None,
        )
        for model, days in facts.retiring.items()
        if days <= rule.threshold
    )


MEASURES: Final[Mapping[str, Measure]] = {
    "budget": _budgets,
    "errors": _errors,
    "latency-p99": _heard(
        lambda each: each.p99_s,
        lambda each: f"the slowest hundredth waits {each.p99_s:.1f} s for content",
    ),
    "latency-p50": _heard(
        lambda each: each.p50_s, lambda each: f"half of the requests wait {each.p50_s:.1f} s"
    ),
    "latency-jump": _compared(
        lambda each: each.p99_s,
        _NOTICED_S,
        lambda each, usual: (
            f"the slowest hundredth waits {each.p99_s:.1f} s for content,"
            f" {usual.p99_s:.1f} s in the hour before"
        ),
    ),
    "throughput-drop": _drop,
    "queue-wait": _heard(
        lambda each: each.queue_p95_s,
        lambda each: f"one request in twenty waits {each.queue_p95_s:.1f} s for its turn",
    ),
    "overloaded": _heard(
        lambda each: each.overloaded,
        lambda each: f"{each.overloaded:.1%} of requests are refused because the queue is full",
    ),
    "limited": _limited,
    "truncation": _heard(
        lambda each: each.truncated,
        lambda each: f"{each.truncated:.0%} of answers end for want of tokens",
    ),
    "refusals": _compared(
        lambda each: each.refused,
        _USUALLY_REFUSED,
        lambda each, usual: (
            f"{each.refused:.1%} of answers are refused or filtered,"
            f" {usual.refused:.1%} in the hour before"
        ),
    ),
    "personal-data": _compared(
        lambda each: each.personal,
        _USUALLY_FOUND,
        lambda each, usual: (
            f"{100 * each.personal:.0f} pieces of personal data in 100 requests,"
            f" {100 * usual.personal:.0f} in the hour before; they were masked"
        ),
    ),
    "leaked-credentials": _compared(
        lambda each: each.credentials,
        _USUALLY_LEAKED,
        lambda each, usual: (
            f"{100 * each.credentials:.0f} credentials in 100 requests,"
            f" {100 * usual.credentials:.0f} in the hour before; they were masked here,"
            " and sent to the provider"
        ),
    ),
    "cache-drop": _cached_less,
    "slo-fast-burn": burning,
    "slo-burn": burning,
    "slo-slow-burn": burning,
    "quality-drift": drifted,
    "breaker-open": nearby.breakers,
    "account-retired": nearby.retired,
    "redis-lost": nearby.redis,
    "records-not-loaded": nearby.loading,
    "records-waiting": nearby.waiting,
    "store-lost": nearby.store,
    "spool-not-written": nearby.pending,
    "disk-filling": nearby.disks,
    "sink-stuck": nearby.sinks,
    "queue-depth": nearby.queues,
    "loop-lag": nearby.lag,
    "shedding": nearby.shedding,
    "process-restarting": nearby.restarts,
    "gateways-missing": nearby.gateways,
    "price-missing": _unpriced,
    "spend-rate": spend_rate,
    "user-cost": user_costs,
    "feature-cost": feature_costs,
    "model-retires": _retiring,
}
