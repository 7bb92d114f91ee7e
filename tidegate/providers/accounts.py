"""Which of a provider's accounts pays for the next request.

One account has no state and costs nothing. Of several, each request takes the one that is furthest
behind its part of what is left in all of them, as told by the provider's own headers; so they run
dry together. An account that is told to wait rests until then, and a later verdict never shortens
an earlier one. One whose credentials are refused is retired until the next reload.

Nobody is refused here: when all rest, the one that is free soonest is tried, and when all are
retired they are tried all the same, because then only the breaker may say no.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from tidegate.errors import UpstreamDenied, UpstreamError, UpstreamRateLimited
from tidegate.providers.quota import Window

log = logging.getLogger("tidegate.providers.accounts")

FIRST_REST_S: Final = 1.0
"""The rest after a 429 that does not say how long; each further one in a row doubles it."""
LONGEST_REST_S: Final = 60.0
_DOUBLINGS: Final = 6


class Account:
    """Credentials at a provider, and how they fare. Changed by its `Accounts` alone.

    `credential` is whatever the provider's dialect takes: encoded header lines for most.
    """

    __slots__ = (
        "_filled_s",
        "_limits",
        "_refusals",
        "_remaining",
        "behind",
        "credential",
        "free_s",
        "name",
        "retired",
        "times_limited",
        "times_retired",
    )

    def __init__(self, name: str, credential: Any) -> None:
        self.name = name
        self.credential = credential
        self.retired = False
        self.free_s = 0.0
        """When its rest ends, in the time of `pick`."""
        self.behind = 0.0
        """How far it is behind its part of the requests."""
        self.times_limited = 0
        self.times_retired = 0
        self._refusals = 0
        # By kind of allowance: what is left, what it is when full, when it is full again.
        self._remaining: dict[str, float] = {}
        self._limits: dict[str, float] = {}
        self._filled_s: dict[str, float] = {}

    def left(self, kind: str, now_s: float) -> float | None:
        """How many of `kind` are left, None if that is not known (any more)."""
        remaining = self._remaining.get(kind)
        if remaining is not None and now_s >= self._filled_s.get(kind, float("inf")):
            return self._limits.get(kind)
        return remaining

    def learn(self, windows: Sequence[Window], now_s: float) -> None:
        """Take over what the provider says is left; one that is used up rests until it is not."""
        for window in windows:
            self._remaining[window.kind] = window.remaining
            if window.limit is not None:
                self._limits[window.kind] = window.limit
            if window.reset_s is None:
                self._filled_s.pop(window.kind, None)
                continue
            self._filled_s[window.kind] = now_s + window.reset_s
            if window.remaining < 1:
                self.rest(now_s + window.reset_s)

    def rest(self, until_s: float) -> None:
        """Be left alone until then, or for longer if that was said before."""
        self.free_s = max(self.free_s, until_s)

    def limited(self, now_s: float, retry_after_s: float | None) -> float:
        """Rest, as a 429 asks; for how long."""
        wait_s = retry_after_s
        if wait_s is None:
            wait_s = min(FIRST_REST_S * 2.0 ** min(self._refusals, _DOUBLINGS), LONGEST_REST_S)
        self._refusals += 1
        self.times_limited += 1
        self.rest(now_s + wait_s)
        return wait_s

    def answered(self) -> None:
        """It was accepted, so whatever was said of its credentials does not hold any more."""
        self._refusals = 0
        self.retired = False

    def kinds(self) -> set[str]:
        """The allowances it has been told of."""
        return set(self._remaining)


class AccountState(Struct, frozen=True):
    """An account for the status board; never its secret."""

    name: str
    state: Literal["usable", "resting", "retired"]
    rests_s: float
    """Seconds until it is used again."""
    left: dict[str, float]
    """What is left, by kind of allowance."""
    times_limited: int
    times_retired: int


class Accounts:
    """The accounts of one provider."""

    def __init__(self, provider: str, accounts: Sequence[Account]) -> None:
        """Make them; `accounts` has at least one."""
        self._provider = provider
        self._accounts = tuple(accounts)
        self._only = self._accounts[0] if len(self._accounts) == 1 else None
        self.several = self._only is None
        """Whether headers are worth reading: with one account there is nothing to choose."""

    def pick(self, now_s: float) -> Account:
        """The account for a request that is sent now."""
        if self._only is not None:
            return self._only
        serving = [each for each in self._accounts if not each.retired] or self._accounts
        usable = [each for each in serving if each.free_s <= now_s]
        if not usable:
            return min(serving, key=lambda each: each.free_s)
        if len(usable) == 1:
            return usable[0]
        # Smooth weighted round robin, as nginx has it: each gains its part, the leader pays one.
        parts = _parts(usable, now_s)
        for account, part in zip(usable, parts, strict=True):
            account.behind += part
        chosen = max(usable, key=lambda each: each.behind)
        chosen.behind -= 1.0
        return chosen

    def spare(self, now_s: float) -> bool:
        """Whether some account could take a request at once."""
        return self._only is None and any(
            not each.retired and each.free_s <= now_s for each in self._accounts
        )

    def heard(self, account: Account, windows: Sequence[Window], now_s: float) -> None:
        """Learn from the head of any answer, good or bad: what `quota.read_quota` found in it."""
        if self._only is None:
            account.learn(windows, now_s)

    def ended(self, account: Account, error: UpstreamError | None, now_s: float) -> None:
        """Judge `account` by how its request ended; None is an answer that was begun.

        Only denials and rate limits are an account's own; all else is the server's or the caller's.
        """
        if error is None:
            if account.retired:
                log.warning(
                    "a retired account is accepted again and back in use",
                    extra={"fields": {"provider": self._provider, "account": account.name}},
                )
            account.answered()
        elif isinstance(error, UpstreamDenied):
            self._retire(account)
        elif isinstance(error, UpstreamRateLimited) and self.several:
            wait_s = account.limited(now_s, error.retry_after_s)
            log.info(
                "an account is rate-limited and rests",
                extra={
                    "fields": {
                        "provider": self._provider,
                        "account": account.name,
                        "rests_s": round(wait_s, 3),
                    }
                },
            )

    def snapshot(self, now_s: float) -> tuple[AccountState, ...]:
        """How every account fares."""
        return tuple(
            AccountState(
                name=each.name,
                state=(
                    "retired" if each.retired else "resting" if each.free_s > now_s else "usable"
                ),
                rests_s=max(0.0, each.free_s - now_s),
                left={
                    kind: left
                    for kind in sorted(each.kinds())
                    if (left := each.left(kind, now_s)) is not None
                },
                times_limited=each.times_limited,
                times_retired=each.times_retired,
            )
            for each in self._accounts
        )

    def _retire(self, account: Account) -> None:
        account.times_retired += 1
        if account.retired:
            return
        account.retired = True
        rest = sum(not each.retired for each in self._accounts)
        log.error(
            "the provider does not accept an account; it is retired until the next reload",
            extra={
                "fields": {
                    "provider": self._provider,
                    "account": account.name,
                    "accounts_left": rest,
                }
            },
        )


def _parts(usable: Sequence[Account], now_s: float) -> list[float]:
    """Each account's part of the next requests; together they are 1.

    It is the smallest of its shares of what is left in all of them, kind by kind; kinds that are
    not known of every account say nothing. So the allowance that runs out first decides.
    """
    equal = [1.0 / len(usable)] * len(usable)
    parts: list[float] | None = None
    for kind in set[str].intersection(*(each.kinds() for each in usable)):
        left = [each.left(kind, now_s) for each in usable]
        known = [each for each in left if each is not None]
        total = sum(known)
        if len(known) == len(left) and total > 0:
            shares = [each / total for each in known]
            parts = [min(pair) for pair in zip(parts or shares, shares, strict=True)]
    total = sum(parts) if parts else 0.0
    return [part / total for part in parts] if parts and total > 0 else equal
