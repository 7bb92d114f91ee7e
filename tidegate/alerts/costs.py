"""Costs that are not usual: of all, of one user, of a feature's calls."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

from tidegate.alerts.facts import Facts, FeatureCost
from tidegate.alerts.machine import Finding
from tidegate.alerts.rules import Rule

_NANO: Final = 10**9
_CENT: Final = 10**7
_FEW: Final = 5
"""With fewer users than this, a median says nothing."""


def dollars(nanousd: float) -> str:
    """An amount for people."""
    amount = nanousd / _NANO
    return f"${amount:,.2f}" if nanousd >= _CENT or not nanousd else f"${amount:.6f}"


def spend_rate(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """The last hour against the usual one; `least` is what an hour must cost."""
    spending = facts.spending
    if spending is None:
        return None
    hour, usual = spending.hour_nanousd, spending.usual_nanousd
    if not usual or hour < rule.least * _NANO or hour < rule.threshold * usual:
        return ()
    summary = (
        f"The last hour cost {dollars(hour)}, {hour / usual:.0f} times the usual {dollars(usual)}."
    )
    return (Finding({}, hour / usual, rule.threshold, summary),)


def user_costs(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Each user against the median of all; `least` is what one must have spent."""
    if facts.spending is None:
        return None
    users = {name: spent for name, spent in facts.spending.users.items() if spent > 0}
    if len(users) < _FEW:
        return ()
    middle = median(users.values())
    return (
        Finding(
            {"user": name},
            spent / middle,
            rule.threshold,
            f"The user {name} spent {dollars(spent)} in an hour, {spent / middle:.0f} times as"
            f" much as the median of {len(users)} users ({dollars(middle)}).",
        )
        for name, spent in users.items()
        if spent >= rule.least * _NANO and spent > rule.threshold * middle
    )


def feature_costs(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """A week's cost per call against that of the week before; `least` are calls in each."""
    if facts.spending is None:
        return None
    return (
        Finding(
            {"feature": name},
            _per_call(each)[0] / _per_call(each)[1],
            rule.threshold,
            f"A call of the feature {name} costs {dollars(_per_call(each)[0])},"
            f" {dollars(_per_call(each)[1])} the week before.",
        )
        for name, each in facts.spending.features.items()
        if min(each.calls, each.calls_before) >= max(rule.least, 1)
        and each.nanousd_before > 0
        and _per_call(each)[0] >= rule.threshold * _per_call(each)[1]
    )


def _per_call(each: FeatureCost) -> tuple[float, float]:
    return each.nanousd / each.calls, each.nanousd_before / each.calls_before
