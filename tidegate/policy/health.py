"""What is known of each target, for as long as the process lives: reloads change only settings.

`Wards` is the register; `Health` is one target in it; a `Trial` is one attempt at a target, whose
outcome reaches the breaker, the latencies and the counters exactly once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from msgspec import Struct

from tidegate.errors import (
    DeadlineExceeded,
    TidegateError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamModelGone,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.policy.breaker import Breaker, BreakerSettings, Change, State
from tidegate.policy.hedge import HedgeBudget, HedgeSettings, Latencies, hedge_after_s
from tidegate.policy.retry import RetryBudget

LIMIT = 1000
"""Most targets that are remembered."""
_DAMNING = (
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
    UpstreamProtocol,
    UpstreamMalformed,
    UpstreamDenied,
    UpstreamModelGone,
    UpstreamRateLimited,
)
_NO_HEDGE = HedgeSettings(max_share=0.0, max_cost_share=0.0)
_SAID = {"open": "a target rests", "half_open": "a target is probed", "closed": "a target is back"}

log = logging.getLogger("tidegate.policy")


class HealthSettings(Struct, frozen=True):
    """How one target is watched; None switches a part off."""

    retry_share: float = 0.1
    """Retries, as a share of the target's requests."""
    breaker: BreakerSettings | None = BreakerSettings()
    hedge: HedgeSettings | None = None


class TargetState(Struct, frozen=True):
    """A target as the status board shows it. Times ending in `_s` without `_in_` are monotonic."""

    name: str
    state: State
    since_s: float | None
    """When it got into that state; None if it never left the first one."""
    until_s: float | None
    """When a probe may be made, if it is open."""
    reason: str
    heard: bool
    """Whether it is open only because another gateway said so."""
    failures: int
    """Failures in a row."""
    openings: int
    outstanding: int
    """Attempts under way."""
    calls: int
    """Attempts ever begun."""
    failed: int
    """Attempts that ended in an error which speaks of the target."""
    retries: int
    hedges: int
    first_token_p50_s: float | None
    first_token_p95_s: float | None

    def retry_in_s(self, now_s: float) -> float:
        """Seconds from `now_s` until a probe may be made; 0.0 when it is not open."""
        return 0.0 if self.until_s is None else max(0.0, self.until_s - now_s)


def _worth(health: Health) -> tuple[bool, float]:
    """What is forgotten last is worth most: what rests or is in use, then what was used lately."""
    return health.outstanding > 0 or math.isfinite(health.breaker.until_s), health.began_s


def counts(error: TidegateError) -> bool:
    """Whether `error` speaks of the target, rather than of one request, account or replica.

    A caller's mistake does not, however often it is made. Nor does the request's own deadline,
    which a caller may have set, or an error while another account or replica of it is `spare`.
    """
    if not isinstance(error, _DAMNING) or isinstance(error, DeadlineExceeded):
        return False
    return not error.spare


class Health:
    """What is known of one target."""

    __slots__ = (
        "_hedge_after_s",
        "_hedge_anew",
        "_settings",
        "began_s",
        "breaker",
        "calls",
        "failed",
        "hedge_budget",
        "hedges",
        "latencies",
        "name",
        "outstanding",
        "retries",
        "retry_budget",
    )

    def __init__(
        self, name: str, settings: HealthSettings, on_change: Callable[[Change], None]
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, settings.breaker or BreakerSettings(), on_change)
        self.retry_budget = RetryBudget(settings.retry_share)
        self.latencies = Latencies()
        hedge = settings.hedge or _NO_HEDGE
        self.hedge_budget = HedgeBudget(hedge.max_share, hedge.max_cost_share)
        self.outstanding = 0
        self.calls = 0
        self.failed = 0
        self.retries = 0
        self.hedges = 0
        self.began_s = 0.0
        """When the last attempt began."""
        self._settings = settings
        self._hedge_after_s: float | None = None
        self._hedge_anew = 0
        """The count of latencies from which on the wait is taken anew."""

    @property
    def settings(self) -> HealthSettings:
        """The settings in force; new ones leave what is known as it is."""
        return self._settings

    @settings.setter
    def settings(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._hedge_anew = 0
        self.retry_budget.share = settings.retry_share
        if settings.breaker is not None:
            self.breaker.settings = settings.breaker
        hedge = settings.hedge or _NO_HEDGE
        self.hedge_budget.max_share = hedge.max_share
        self.hedge_budget.max_cost_share = hedge.max_cost_share

    def admits(self, now_s: float) -> bool:
        """Whether `begin` would begin."""
        return self._settings.breaker is None or self.breaker.admits(now_s)

    def begin(self, now_s: float, *, anyway: bool = False) -> Trial | None:
        """A first try, paid into the budgets; None while the target rests.

        `anyway` begins even so, for when there is nobody better to ask.
        """
        trial = self._begin(now_s, anyway)
        if trial is not None:
            self.retry_budget.deposit()
            if self._settings.hedge is not None:
                self.hedge_budget.deposit()
        return trial

    def begin_again(self, now_s: float, *, anyway: bool = False) -> Trial | None:
        """A retry, which the budget has paid for already; None while the target rests."""
        trial = self._begin(now_s, anyway)
        if trial is not None:
            self.retries += 1
        return trial

    def begin_hedge(self, now_s: float) -> Trial | None:
        """A try beside a slow one elsewhere, whose target's budget pays; None while this rests."""
        trial = self._begin(now_s, anyway=False)
        if trial is not None:
            self.hedges += 1
        return trial

    def hedge_after_s(self, *, whole: bool = False) -> float | None:
        """Seconds without a first token after which a second target may be asked; None: never.

        An answer that comes `whole` takes longer than any first token, which says nothing.
        """
        hedge = self._settings.hedge
        if hedge is None or (whole and hedge.after_s is None):
            return None
        latencies = self.latencies
        if latencies.count >= self._hedge_anew:
            self._hedge_after_s = hedge_after_s(hedge, latencies)
            self._hedge_anew = latencies.anew
        return self._hedge_after_s

    def snapshot(self, now_s: float) -> TargetState:
        """What the status board shows."""
        breaker, latencies = self.breaker, self.latencies
        state: State = "closed" if self._settings.breaker is None else breaker.state(now_s)
        return TargetState(
            name=self.name,
            state=state,
            since_s=breaker.since_s if math.isfinite(breaker.since_s) else None,
            until_s=breaker.until_s if state == "open" else None,
            reason=breaker.reason,
            heard=breaker.heard,
            failures=breaker.failures,
            openings=breaker.openings,
            outstanding=self.outstanding,
            calls=self.calls,
            failed=self.failed,
            retries=self.retries,
            hedges=self.hedges,
            first_token_p50_s=latencies.percentile_s(0.5),
            first_token_p95_s=latencies.percentile_s(0.95),
        )

    def _begin(self, now_s: float, anyway: bool) -> Trial | None:
        ticket = 0
        if self._settings.breaker is not None:
            ticket = self.breaker.admit(now_s, anyway=anyway)
            if ticket == 0:
                return None
        self.outstanding += 1
        self.calls += 1
        self.began_s = now_s
        return Trial(self, ticket, now_s)


class Trial(Struct, gc=False):
    """One attempt at a target. The first of its endings counts, later ones change nothing.

    `answered` comes before `succeeded`, and may come before any other ending.
    """

    health: Health
    ticket: int
    """0 when the breaker is off: it is told nothing then."""
    began_s: float
    content: bool = False
    """Whether it has answered."""
    over: bool = False

    def answered(self, now_s: float, *, whole: bool = False) -> None:
        """The first content has come; `whole` when it is all of an answer that is not streamed.

        Only the first tokens of streams are compared with each other.
        """
        if self.content or self.over:
            return
        self.content = True
        if not whole:
            self.health.latencies.note(now_s - self.began_s)
        if self.ticket:
            self.health.breaker.succeeded(self.ticket, now_s)

    def succeeded(self) -> None:
        """The answer has come to its good end."""
        if self._end() and self.ticket and self.health.breaker.cuts:
            self.health.breaker.finished(self.ticket)

    def failed(self, error: TidegateError, now_s: float) -> None:
        """It ended in `error`; one that does not speak of the target is as good as cancelled."""
        if not counts(error):
            self.cancelled()
        elif self._end():
            health = self.health
            health.failed += 1
            if self.ticket:
                rest_s = error.retry_after_s if isinstance(error, UpstreamRateLimited) else None
                health.breaker.failed(self.ticket, now_s, rest_s=rest_s, answered=self.content)

    def cancelled(self) -> None:
        """It ended before it said anything of the target: the caller left, or we did."""
        if self._end() and self.ticket and not self.content:
            self.health.breaker.cancelled(self.ticket)

    def outrun(self, now_s: float, *, whole: bool = False) -> None:
        """Cancelled because another target was faster; `whole` is as in `answered`.

        The time so far is noted although the first token would have come later: without it
        hedging would hide the slow ones, and the percentile would sink below the truth.
        """
        if not (self.content or self.over or whole):
            self.health.latencies.note(now_s - self.began_s)
        self.cancelled()

    def _end(self) -> bool:
        if self.over:
            return False
        self.over = True
        self.health.outstanding -= 1
        return True


class Wards:
    """The health of every target, by name.

    Beyond `limit` one is forgotten: the longest unused of those that are fine and idle, if any.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._healths: dict[str, Health] = {}
        self._limit = limit
        self._listeners: list[Callable[[Change], None]] = []

    def of(self, name: str, settings: HealthSettings) -> Health:
        """The health of the target `name`, from now on under `settings`.

        `name` is the target's own (`Target.name`): the models behind a `*` share one health, so
        that what callers write cannot push real targets out. Of two aliases that set a target
        differently, the last one that asks decides.
        """
        health = self._healths.get(name)
        if health is None:
            if len(self._healths) >= self._limit:
                del self._healths[min(self._healths.values(), key=_worth).name]
            self._healths[name] = health = Health(name, settings, self._changed)
        elif health.settings is not settings and health.settings != settings:
            health.settings = settings
        return health

    def get(self, name: str) -> Health | None:
        """The health of the target `name`, if it is known."""
        return self._healths.get(name)

    def names(self) -> list[str]:
        """The targets that are known."""
        return list(self._healths)

    def adopt(self, name: str, until_s: float, reason: str, now_s: float) -> None:
        """Rest a target until `until_s` because another gateway does, if it is known here."""
        health = self._healths.get(name)
        if health is not None and health.settings.breaker is not None:
            health.breaker.adopt(until_s, reason, now_s)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Tell `listener` of every change of a breaker; it must return at once."""
        self._listeners.append(listener)

    def snapshot(self, now_s: float) -> tuple[TargetState, ...]:
        """Every target as the status board shows it, by name."""
        return tuple(self._healths[name].snapshot(now_s) for name in sorted(self._healths))

    def _changed(self, change: Change) -> None:
        if change.new != change.old:
            level = logging.WARNING if change.new == "open" else logging.INFO
            wait_s = round(change.until_s - change.now_s, 3) if change.new == "open" else None
            fields = {"target": change.target, "from": change.old, "to": change.new,
                      "reason": change.reason, "wait_s": wait_s}  # fmt: skip
            log.log(level, _SAID[change.new], extra={"fields": fields})
        for listener in self._listeners:
            listener(change)
