"""What a refused request is told: which limit, its value, what is left, and when it is there again.

A message names the kind of scope and not the scope: who asks knows which one is theirs. The name
stands in `limit`, for the record. Both engines use these words.
"""

from __future__ import annotations

import math

from tidegate.errors import BudgetReached, LimitReached, LimitsUnavailable, StepsReached
from tidegate.limits import DAY_S, HOUR_S, MINUTE_S, Budget, Kind, Scope
from tidegate.money import show_usd

SOON_S = 1.0
"""When to ask again for what running requests hold: nobody can know when they end."""
_WINDOWS = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}


def rate_name(what: str, window_s: int) -> str:
    """`requests_per_minute`, as settings have it; `what` is `requests` or `tokens`."""
    return f"{what}_per_{_WINDOWS.get(window_s, f'{window_s}s')}"


def budget_name(budget: Budget) -> str:
    """`usd_per_month`, as settings have it."""
    return "usd_total" if budget.period == "total" else f"usd_per_{budget.period}"


def rate_reached(
    scope: Scope,
    name: str,
    limit: int,
    left: int,
    asked: int,
    *,
    retry_after_s: float | None,
) -> LimitReached:
    """`retry_after_s` is None where the request is larger than the limit and never fits."""
    if retry_after_s is None:
        return LimitReached(
            f"The request counts {asked}, more than {name} of {_whose(scope[0])} allows at all"
            f" ({limit}): trying again cannot help.",
            limit=_named(scope, name),
        )
    error = LimitReached(
        f"{name} of {_whose(scope[0])} is reached: the limit is {limit}, {left} left,"
        f" the request counts {asked}. Try again in {_duration(retry_after_s)}.",
        limit=_named(scope, name),
        retry_after_s=retry_after_s,
    )
    error.rate = name.partition("_")[0], limit, left, retry_after_s
    return error


def concurrency_reached(scope: Scope, limit: int) -> LimitReached:
    """As many requests run as may."""
    return LimitReached(
        f"concurrency of {_whose(scope[0])} is reached: {limit} requests may run at once, and do."
        " Try again when one of them is over.",
        limit=_named(scope, "concurrency"),
        retry_after_s=SOON_S,
    )


def steps_reached(scope: Scope, limit: int) -> StepsReached:
    """No waiting helps."""
    return StepsReached(
        f"steps of {_whose(scope[0])} is reached: it may make {limit} requests in all, and has.",
        limit=_named(scope, "steps"),
    )


def budget_reached(
    scope: Scope,
    budget: Budget,
    settled: int,
    held: int,
    asked: int,
    *,
    ends_s: float | None,
) -> BudgetReached:
    """`ends_s` is the time until the budget's period ends; None if it never does.

    If only what running requests hold is in the way, trying again soon may help.
    """
    name = budget_name(budget)
    free = max(budget.nanousd - settled - held, 0)
    wait_s = ends_s
    when = "" if ends_s is None else f" Its next period begins in {_duration(ends_s)}."
    if asked > budget.nanousd:
        return BudgetReached(
            f"The request may cost up to {show_usd(asked)}, more than {name} of"
            f" {_whose(scope[0])} allows at all ({show_usd(budget.nanousd)}): trying again cannot"
            " help, a shorter answer (`max_tokens`) may.",
            limit=_named(scope, name),
        )
    if settled + asked <= budget.nanousd:
        wait_s, when = SOON_S, " Running requests hold some of it: try again when they are over."
    return BudgetReached(
        f"{name} of {_whose(scope[0])} is reached: the limit is {show_usd(budget.nanousd)},"
        f" {show_usd(free)} left, and the request may cost up to {show_usd(asked)}.{when}",
        limit=_named(scope, name),
        retry_after_s=wait_s,
    )


def unknown_spending(scope: Scope) -> LimitsUnavailable:
    """The balances have not come yet."""
    return LimitsUnavailable(
        f"What {_whose(scope[0])} has spent is not known yet. Try again in a moment.",
        retry_after_s=SOON_S,
    )


def _named(scope: Scope, name: str) -> str:
    return f"{scope[0]} {scope[1]} {name}"


def _whose(kind: Kind) -> str:
    return f"this {kind}"


def _duration(duration_s: float) -> str:
    """`90 s`, `3 h`, `12 days`: rounded up, so that it is not too early."""
    if duration_s < 2 * HOUR_S:
        return f"{math.ceil(duration_s)} s"
    if duration_s < 2 * DAY_S:
        return f"{math.ceil(duration_s / HOUR_S)} h"
    return f"{math.ceil(duration_s / DAY_S)} days"
