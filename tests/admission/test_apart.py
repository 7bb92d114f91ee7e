"""One process of several that share nothing."""

from __future__ import annotations

from itertools import count

import pytest

from tidegate.admission.apart import Apart
from tidegate.admission.engine import Ask, Spent
from tidegate.errors import LimitsUnavailable
from tidegate.limits import Budget, Limits, Rate, Rule, Scope

TEAM: Scope = ("team", "product")
AZURE: Scope = ("provider", "azure")
NUMBERS = count()


def engine(*rules: Rule) -> Apart:
    made = Apart((), monotonic=lambda: 1.0)
    made.replace(rules)
    return made


def asked(*scopes: Scope) -> Ask:
    return Ask(f"r{next(NUMBERS)}", scopes, 1, 1, 1_800_000_000 * 10**9, 60.0)


@pytest.mark.parametrize(
    "limits", [Limits(requests=(Rate(100, 60),)), Limits(budgets=(Budget(10**12),))]
)
def test_what_a_limit_covers_is_refused(limits: Limits) -> None:
    apart = engine(Rule("team", limits, "product"))
    with pytest.raises(LimitsUnavailable, match="Redis"):
        apart.admit(asked(TEAM))
    assert not apart.incomplete
    assert apart.running == 0


def test_what_no_limit_covers_goes_on() -> None:
    apart = engine(Rule("team", Limits(concurrency=1), "other"), Rule("provider", Limits(steps=1)))
    ticket = apart.admit(asked(TEAM))
    with pytest.raises(LimitsUnavailable):
        apart.extend(ticket, (AZURE,), 1, 1)
    apart.settle(ticket, [Spent("openai", 1, 1)])
    apart.replace(())
    apart.extend(apart.admit(asked(TEAM)), (AZURE,), 1, 1)
