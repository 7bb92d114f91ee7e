"""Error budgets that are used up too fast: two windows have to agree on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.alerts.facts import Facts
from tidegate.alerts.machine import Finding
from tidegate.alerts.objectives import HOUR_S, WINDOWS_S
from tidegate.alerts.rules import Rule


def burning(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Objectives whose budget burns at the rule's rate, in its long window and its short one."""
    return None if facts.burns is None else _burning(rule, facts)


def _burning(rule: Rule, facts: Facts) -> Iterator[Finding]:
    long_s, short_s = WINDOWS_S[rule.name]
    for (alias, slo), burn in (facts.burns or {}).items():
        long, short = burn.windows[long_s], burn.windows[short_s]
        rate = long.burn(burn.objective)
        if long.requests < rule.least or min(rate, short.burn(burn.objective)) <= rule.threshold:
            continue
        yield Finding(
            {"alias": alias, "slo": slo},
            rate,
            rule.threshold,
            f"{alias}: {long.bad} of {long.requests} requests missed the objective for {slo}"
            f" ({burn.objective:.4g}) in {long_s / HOUR_S:g} h: its error budget burns"
            f" {rate:.1f} times as fast as it may, {burn.left:.0%} is left.",
        )
