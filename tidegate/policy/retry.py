"""What follows a failed try: once more here, on to the next target, or the end.

`next_step` decides and `RetryBudget` bounds: whatever happens to a target, the calls it gets stay
within `1 + share` times the requests meant for it. Nothing beneath this retries, so tries never
multiply. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from msgspec import Struct

from tidegate.errors import ConnectTimeout, UpstreamError, UpstreamTimeout

SAVED = 10.0
"""Most tries that quiet times may save up: an outage begins with no more than these."""
_DOUBLINGS = 63


class RetrySettings(Struct, frozen=True):
    """How often and how patiently one target is tried for one request."""

    attempts: int = 3
    """Tries at one target, the first one included."""
    base_s: float = 0.2
    """Longest pause before the second try; the longest one doubles from try to try."""
    cap_s: float = 5.0
    """Where the doubling ends; also the longest `Retry-After` obeyed while others are left."""
    patience_s: float = 30.0
    """The longest `Retry-After` obeyed when nobody else is left to ask."""


class Again(Struct, frozen=True):
    """Try the same target once more, `pause_s` from now."""

    pause_s: float


class Elsewhere(Struct, frozen=True):
    """Go on to the next target; `reason` says why this one is not tried again."""

    reason: str


class Stop(Struct, frozen=True):
    """Nothing is left to be done: the error is the answer."""

    reason: str


Step = Again | Elsewhere | Stop


def pause_s(settings: RetrySettings, tries: int, draw: float) -> float:
    """The pause after the `tries`-th try: `draw · min(cap, base · 2^(tries - 1))`.

    Exponential backoff with full jitter; `draw` in [0, 1) spreads those that failed together.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter":
    `sleep = random_between(0, min(cap, base * 2 ** attempt))`, where the first attempt is 0.
    """
    return draw * min(settings.cap_s, settings.base_s * 2.0 ** min(tries - 1, _DOUBLINGS))


def next_step(
    error: UpstreamError,
    tries: int,
    settings: RetrySettings,
    *,
    others_left: bool,
    now_s: float,
    deadline_s: float,
    draw: float,
    budget_allows: bool,
) -> Step:
    """What to do after the `tries`-th try at a target ended in `error`.

    | the error                                        | what follows                         |
    | ------------------------------------------------ | ------------------------------------ |
    | any, once the deadline has passed                | Stop                                 |
    | not retryable, not elsewhere (caller's mistake)  | Stop                                 |
    | not retryable, elsewhere                         | not again                            |
    | ... `spare`: another account or replica is free  | Again at once                        |
    | timeout, others left                             | not again: no second wait            |
    | ... connecting, `spare`                          | Again at once: it was one replica    |
    | retryable, `spare`                               | Again at once                        |
    | retryable, `retry_after_s` within bounds         | Again after it, and a little jitter  |
    | retryable, `retry_after_s` beyond bounds         | not again                            |
    | retryable otherwise                              | Again after backoff                  |
    | any Again when `attempts` or the budget is spent | not again                            |
    | any Again whose pause would reach the deadline   | not again                            |

    "Not again" is Elsewhere if the error allows it and others are left, and Stop otherwise. The
    bound of `retry_after_s` is `cap_s` while others are left, and `patience_s` for the last one.
    Who acts on Again takes one try from the budget, `spare` or not.
    """
    if now_s >= deadline_s:
        return Stop("the deadline has passed")
    others_left = others_left and error.elsewhere
    reason = _against(error, tries, settings, others_left, budget_allows)
    if reason is None:
        wait_s = 0.0
        if not error.spare:
            bound_s = settings.cap_s if others_left else settings.patience_s
            if error.retry_after_s is None:
                wait_s = pause_s(settings, tries, draw)
            elif error.retry_after_s <= bound_s:
                wait_s = max(0.0, error.retry_after_s) + draw * settings.base_s
            else:
                reason = "it asks for a longer pause than is waited for"
        if reason is None and now_s + wait_s < deadline_s:
            return Again(wait_s)
        reason = reason or "the pause would outlive the deadline"
    return Elsewhere(reason) if others_left else Stop(reason)


def _against(
    error: UpstreamError,
    tries: int,
    settings: RetrySettings,
    others_left: bool,
    budget_allows: bool,
) -> str | None:
    """Why the same target is not tried again, whatever the pause; None when it may be."""
    spare = error.spare and error.elsewhere
    if not error.retryable and not spare:
        return "the same target would fail again"
    one_replica = spare and isinstance(error, ConnectTimeout)
    if others_left and isinstance(error, UpstreamTimeout) and not one_replica:
        return "it was too slow"
    if tries >= settings.attempts:
        return "it was tried often enough"
    if not budget_allows:
        return "the target's retry budget is spent"
    return None


class RetryBudget:
    """How many retries one target may still get: a bucket that its first tries fill.

    Each first try adds `share`, each retry takes 1, so retries stay within `share` of the requests.
    `reserve` is there from the start and `per_s` comes with time, so that a target with few
    requests can be retried too. Over any stretch of time:

        retries <= saved before (at most `SAVED`) + share · first tries + per_s · seconds

    Source: Finagle's `RetryBudget`, `percentCanRetry` and `minRetriesPerSec`; there what is saved
    expires after ten seconds, here it is bounded, which needs no clock on the happy path.
    """

    __slots__ = ("_at_s", "_per_s", "_saved", "share")

    def __init__(self, share: float, *, reserve: float = 3.0, per_s: float = 0.1) -> None:
        self.share = share
        self._saved = min(reserve, SAVED)
        self._per_s = per_s
        self._at_s: float | None = None

    def deposit(self) -> None:
        """A first try is made."""
        if self._saved < SAVED:
            self._saved += self.share

    def allows(self, now_s: float) -> bool:
        """Whether a retry may be made now."""
        return self._grown(now_s) >= 1.0

    def withdraw(self, now_s: float) -> None:
        """A retry is made, which `allows` has just allowed."""
        self._saved = self._grown(now_s) - 1.0
        self._at_s = now_s

    def _grown(self, now_s: float) -> float:
        if self._at_s is None:
            self._at_s = now_s
        return min(SAVED, self._saved + self._per_s * max(0.0, now_s - self._at_s))
