"""What the rule on drifting quality finds: each signal of an alias once, where it is farthest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate.alerts.facts import Drifted, Facts
from tidegate.alerts.machine import Finding
from tidegate.alerts.rules import Rule

_WORDS: Final = {
    "format_compliance": "answers with the form that was asked for",
    "refusal_rate": "refused or filtered answers",
    "truncation_rate": "answers that end for want of tokens",
    "refusal_wording": "answers worded as refusals",
    "feedback": "judged answers that were liked",
    "language": "answers in the usual language",
}


def drifted(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """What has moved by `threshold` times what begins to matter, or more."""
    if facts.drifted is None:
        return None
    worst: dict[tuple[str, str], Drifted] = {}
    for each in facts.drifted:
        at = each.alias, each.signal
        if each.effect >= rule.threshold and (at not in worst or each.effect > worst[at].effect):
            worst[at] = each
    return [
        Finding({"alias": alias, "signal": signal}, each.effect, rule.threshold, _summary(each))
        for (alias, signal), each in worst.items()
    ]


def _summary(each: Drifted) -> str:
    of = f"{each.alias} ({each.of})" if each.of else each.alias
    if each.signal == "output_length":
        what = f"answers have {each.now:,.0f} tokens on the median, {each.then:,.0f}"
    elif each.signal == "similarity":
        what = f"answers are worded unlike before: {each.now:.3f} bits from usual, {each.then:.3f}"
    else:
        what = f"{each.now:.1%} {_WORDS.get(each.signal, each.signal)}, {each.then:.1%}"
    return f"{of}: {what} in the week before."
