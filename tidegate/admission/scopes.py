"""Every scope that is limited and has been seen: its gauges, made at first sight, and bounded.

Rules may be replaced at any time. What has been counted stays where a limit only changes its
number: a rate is the same if its window is, a budget if its period and time zone are.

The bound holds for each kind apart, so that callers who make up conversations take no user's place.
Each new gauge looks at two old ones, and lets go of what no longer matters: nothing runs, its
windows are empty, and no period that is not over has seen money. What still matters is not given
up: in a full table a new scope is refused, because what nobody counts nobody bounds. Conversations
alone are forgotten after a day without a request, or earlier in a full table, the longest idle one
first, whatever they have spent: who may begin a new one at will gains nothing by it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from tidegate.admission.budgets import Calendar, Purse
from tidegate.admission.engine import Awaited
from tidegate.admission.rates import Counter
from tidegate.errors import LimitsUnavailable
from tidegate.limits import DAY_S, Balance, Budget, Kind, Limits, Period, Rate, Rule, Scope

LOOKS, LOOKS_WHEN_FULL = 2, 256
STEP: Final = 50
"""Balances that are taken in at once: a millisecond."""
OVER_S: Final = 600.0
"""How long a period must be seen to be over before its money is forgotten: clocks jump."""
NONE: Final = Limits()
Span = tuple[Period, str]
"""What makes two budgets of a scope the same one: the period and its time zone."""
Waiting = tuple[Kind, str | None, Span]
"""A budget that stands, of a scope or of a kind, whose balances have not been told."""


class Gauge:
    """Everything that is counted of one scope. What is not limited is limited to infinity."""

    __slots__ = (
        "active", "limits", "most", "most_steps", "over_s", "purses", "requests", "scope", "seen_s",
        "steps", "tokens",
    )  # fmt: skip

    def __init__(self, scope: Scope, now_s: float) -> None:
        self.scope = scope
        self.limits = NONE
        self.requests: tuple[Counter, ...] = ()
        self.tokens: tuple[Counter, ...] = ()
        self.purses: tuple[Purse, ...] = ()
        self.active = 0
        self.most = math.inf
        self.steps = 0
        self.most_steps = math.inf
        self.seen_s = now_s
        self.over_s = math.inf
        """Since when its periods are seen to be over."""

    def resting(self) -> bool:
        """Whether nothing runs and nothing is held."""
        return not self.active and not any(p.held for purse in self.purses for p in purse.pots())


class Scopes:
    """The table of gauges, and the rules they are made by.

    `table` holds those that fit the rules in force; older ones are fitted when they are asked for.
    """

    def __init__(self, rules: Iterable[Rule], most: int) -> None:
        self.table: dict[Scope, Gauge] = {}
        self.kinds: frozenset[Kind] = frozenset()
        """Of which there is any rule."""
        self._most = most
        self._stale: dict[Scope, Gauge] = {}
        self._rows: dict[Kind, deque[Gauge]] = {}
        self._calendar = Calendar()
        self._changes = 0
        """Of the rules."""
        self._unknown: set[Waiting] = set()
        self._named: dict[Scope, Limits] = {}
        self._unnamed: dict[Kind, Limits] = {}
        self.replace(rules)

    @property
    def awaited(self) -> Awaited:
        """The budgets that stand and whose balances have not been told."""
        return frozenset(self._unknown)

    def limits(self, scope: Scope) -> Limits:
        """What stands on `scope`."""
        limits = self._named.get(scope)
        return self._unnamed.get(scope[0], NONE) if limits is None else limits

    def gauges(self) -> Iterator[Gauge]:
        """All that have been seen."""
        return chain(self.table.values(), self._stale.values())

    def seen(self, scope: Scope, now_s: float, unix_ns: int) -> Gauge | None:
        """The gauge of `scope` if it has been seen, fitted to the rules."""
        gauge = self.table.get(scope)
        return self.find(scope, now_s, unix_ns) if gauge is None and scope in self._stale else gauge

    def replace(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on.

        A budget that did not stand before waits for its balances; what had been counted of one
        that stands no longer is dropped, since from now on nobody counts it.
        """
        self._changes += 1
        before, before_of_kind = self._named, self._unnamed
        named: dict[Scope, Limits] = {}
        unnamed: dict[Kind, Limits] = {}
        for rule in rules:
            if rule.name is None:
                unnamed[rule.kind] = rule.limits
            else:
                named[rule.kind, rule.name] = rule.limits
        self._named, self._unnamed = named, unnamed
        self.kinds = frozenset({*unnamed, *(kind for kind, _ in named)})

        waiting: set[Waiting] = {
            (kind, name, span)
            for kind, name, span in self._unknown
            if span in _spans(self.limits((kind, name)) if name else unnamed.get(kind, NONE))
        }
        poorer: set[Kind] = set()
        for kind in before_of_kind | unnamed:
            old, new = _spans(before_of_kind.get(kind, NONE)), _spans(unnamed.get(kind, NONE))
            waiting |= {(kind, None, span) for span in new - old}
            if old - new:
                poorer.add(kind)
        for scope in before | named:
            old = _spans(before.get(scope) or before_of_kind.get(scope[0], NONE))
            new = _spans(self.limits(scope))
            waiting |= {(*scope, span) for span in new - old}
            if old - new:
                poorer.add(scope[0])
        self._unknown = waiting

        self._stale.update(self.table)
        self.table = {}
        for gauge in self._stale.values() if poorer else ():
            if gauge.scope[0] not in poorer:
                continue
            standing = _spans(self.limits(gauge.scope))
            if any(_span(purse.budget) not in standing for purse in gauge.purses):
                gauge.limits = NONE  # so that it is fitted even if the old rules come back
                gauge.purses = tuple(p for p in gauge.purses if _span(p.budget) in standing)

    def find(self, scope: Scope, now_s: float, unix_ns: int) -> Gauge | None:
        """The gauge of `scope`, fitted to the rules or new; None if nothing stands on it.

        Raises: `LimitsUnavailable` when there is no room for another one.
        """
        gauge = self.table.get(scope) or self._stale.pop(scope, None)
        limits = self.limits(scope)
        if gauge is None:
            if limits == NONE:
                return None
            gauge = Gauge(scope, now_s)
            self._seat(gauge, now_s, unix_ns)
        self._fit(gauge, limits, now_s, unix_ns)
        gauge.seen_s = now_s
        self.table[scope] = gauge
        return gauge

    def restoring(
        self, balances: Sequence[Balance], now_s: float, awaited: Awaited | None = None
    ) -> Iterator[None]:
        """Add what was spent before to the budgets of which that is not known yet, step by step.

        Those that were not `awaited` when the balances were asked for wait on. However many there
        are, each gets its gauge: the bound is for what callers make up. All of them wait until
        the last one is in; if the rules change before, what is in is passed over, and what was
        dropped with its rule comes in again.
        """
        awaited = frozenset(self._unknown) if awaited is None else awaited
        changes = -1
        while changes != self._changes:
            changes = self._changes
            for at in range(0, len(balances), STEP):
                if at:
                    yield
                later = self._unknown - awaited
                for balance in balances[at : at + STEP]:
                    self._restore(balance, later, now_s)
        self._unknown -= awaited
        gauges = list(self.gauges())
        for at in range(0, len(gauges), STEP):
            if at:
                yield
            for gauge in gauges[at : at + STEP]:
                for purse in gauge.purses:
                    if not _among(self._unknown, gauge.scope, _span(purse.budget)):
                        purse.fit(purse.budget, known=True)

    def _restore(self, balance: Balance, later: set[Waiting], now_s: float) -> None:
        scope: Scope = (balance.kind, balance.name)
        span = (balance.period, balance.timezone)
        limits = self.limits(scope)
        if not _has(limits, span) or _among(later, scope, span):
            return
        gauge = self.seen(scope, now_s, balance.began_ns)
        if gauge is None:
            gauge = self.table[scope] = Gauge(scope, now_s)
            self._rows.setdefault(balance.kind, deque()).append(gauge)
            self._fit(gauge, limits, now_s, balance.began_ns)
        for purse in gauge.purses:
            if not purse.known and _span(purse.budget) == span:
                purse.restore(balance.began_ns, balance.nanousd)

    def _fit(self, gauge: Gauge, limits: Limits, now_s: float, unix_ns: int) -> None:
        if limits is gauge.limits:
            return
        gauge.limits = limits
        provider = gauge.scope[1] if gauge.scope[0] == "provider" else None
        gauge.requests = _counters(gauge.requests, limits.requests, now_s, provider)
        gauge.tokens = _counters(gauge.tokens, limits.tokens, now_s, provider)
        gauge.most = math.inf if limits.concurrency is None else limits.concurrency
        gauge.most_steps = math.inf if limits.steps is None else limits.steps
        purses = {_span(purse.budget): purse for purse in gauge.purses}
        for budget in sorted(limits.budgets, key=lambda budget: -budget.nanousd):
            span = _span(budget)  # of two for the same one the lower one stands
            if span not in purses:
                purses[span] = Purse(budget, self._calendar, unix_ns, provider)
            purses[span].fit(budget, known=not _among(self._unknown, gauge.scope, span))
        gauge.purses = tuple(purses.values())

    def _seat(self, gauge: Gauge, now_s: float, unix_ns: int) -> None:
        """Put `gauge` into its row, if need be in another one's place."""
        kind = gauge.scope[0]
        row = self._rows.setdefault(kind, deque())
        full = len(row) >= self._most
        looked: list[Gauge] = []
        for _ in range(min(LOOKS_WHEN_FULL if full else LOOKS, len(row))):
            old = row.popleft()
            if _over(old, now_s, unix_ns):
                self._forget(old)
                if full:
                    break
            else:
                row.append(old)
                looked.append(old)
        idle = [old for old in looked if old.resting()]
        if len(row) >= self._most and kind == "conversation" and idle:
            oldest = min(idle, key=lambda old: old.seen_s)
            row.remove(oldest)
            self._forget(oldest)
        if len(row) >= self._most:
            raise LimitsUnavailable(
                f"More {kind} scopes are limited than can be counted.", retry_after_s=60.0
            )
        row.append(gauge)

    def _forget(self, gauge: Gauge) -> None:
        if self.table.pop(gauge.scope, None) is None:
            del self._stale[gauge.scope]


def _span(budget: Budget) -> Span:
    return budget.period, budget.timezone


def _spans(limits: Limits) -> set[Span]:
    return {_span(budget) for budget in limits.budgets}


def _has(limits: Limits, span: Span) -> bool:
    return any(_span(budget) == span for budget in limits.budgets)


def _among(unknown: set[Waiting], scope: Scope, span: Span) -> bool:
    """Whether the balance of a scope's budget is `unknown`."""
    return bool(unknown) and ((*scope, span) in unknown or (scope[0], None, span) in unknown)


def _over(gauge: Gauge, now_s: float, unix_ns: int) -> bool:
    """Whether `gauge` may be forgotten."""
    if now_s <= gauge.seen_s or not gauge.resting():
        return False
    if gauge.scope[0] == "conversation" and now_s - gauge.seen_s >= DAY_S:
        return True
    if (gauge.steps and gauge.limits.steps is not None) or not all(
        counter.idle(now_s) for counter in chain(gauge.requests, gauge.tokens)
    ):
        return False
    if any(purse.counts(unix_ns) for purse in gauge.purses):
        gauge.over_s = math.inf
        return False
    if not any(pot.settled for purse in gauge.purses for pot in purse.pots()):
        return True
    gauge.over_s = min(gauge.over_s, now_s)
    return now_s - gauge.over_s >= OVER_S


def _counters(
    old: tuple[Counter, ...], rates: tuple[Rate, ...], now_s: float, provider: str | None
) -> tuple[Counter, ...]:
    """A counter for each of `rates`: the one of the same window if there was one."""
    kept = {counter.window_s: counter for counter in old}
    lowest: dict[int, int] = {}
    for rate in rates:
        lowest[rate.window_s] = min(rate.limit, lowest.get(rate.window_s, rate.limit))
    for window_s, limit in lowest.items():
        counter = kept.get(window_s)
        if counter is None:
            kept[window_s] = Counter(limit, window_s, now_s, provider)
        else:
            counter.limit = limit
    return tuple(kept[window_s] for window_s in lowest)
