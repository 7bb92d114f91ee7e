"""What an engine of admission promises, whether it counts in this process or in Redis.

One request asks once for everything that it needs on all its scopes, gets all of it or nothing, and
gives it back once. The hard cap: of each budget, settled plus held never exceeds the limit, as long
as nobody spends more than was held for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tidegate.limits import Balance, Budget, Rule, Scope

Awaited = frozenset[object]
"""Budgets, each by what its engine knows it by."""


class Ask(Struct, frozen=True):
    """What a request needs: at most so many tokens and nano-dollars, on each of `scopes`."""

    request_id: str
    scopes: tuple[Scope, ...]
    """At most one of each kind."""
    tokens: int
    nanousd: int
    """An upper bound of what the request may cost; 0 holds nothing."""
    unix_ns: int
    """When it began: decides which period of a budget pays, now and when it is settled."""
    expires_s: float
    """Seconds after which it is over at the latest: until then its lease and its hold last."""


class Left(Struct, frozen=True):
    """What is left of the tightest limit of a kind, after this request."""

    limit: int
    remaining: int
    reset_s: float
    """Seconds until all of it is there again if nobody asks."""


class Spent(Struct, frozen=True):
    """What was used at one provider: all tries there together."""

    provider: str
    tokens: int
    nanousd: int


class Ticket(Protocol):
    """An admitted request: what it holds until it is settled."""

    requests: Left | None
    """Of the tightest limit on requests; None without one."""
    tokens: Left | None
    held_nanousd: int
    """0 where no budget covers the request."""


class Engine(Protocol):
    """Admits, extends, settles. Raises: `LimitReached` and its kinds, `LimitsUnavailable`."""

    def limited(self, scopes: Iterable[Scope]) -> bool:
        """Whether any limit at all stands on one of `scopes`."""
        ...

    def paid(self, scopes: Iterable[Scope]) -> bool:
        """Whether a budget stands on one of `scopes`: then a price and a bound are needed."""
        ...

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None:
        """A budget on one of `scopes` that names a downgrade and whose soft share is spent.

        As far as is known here and now: it is a soft cap.
        """
        ...

    def admit(self, ask: Ask) -> Ticket | asyncio.Future[Any]:
        """Hold everything of `ask` or nothing: a ticket, now or later."""
        ...

    def extend(
        self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int
    ) -> Awaitable[None] | None:
        """Hold more money on what `ticket` holds already, and its all on further `scopes`.

        For a try whose predecessor has cost something, and for one at another provider. What is
        refused leaves the ticket as it was.
        """
        ...

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None:
        """Charge what was spent and let go of the rest; a second time changes nothing.

        The scope of a provider is charged with what was spent there, every other one with the sum.
        Never waits and raises nothing: what cannot be told at once is told later.
        """
        ...

    @property
    def awaited(self) -> Awaited:
        """The budgets that stand and whose balances are not known: for these `restore` is due."""
        ...

    def replace(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on; what has been counted stays."""
        ...

    def restore(self, balances: Iterable[Balance], *, awaited: Awaited | None = None) -> None:
        """Begin with these balances; until then nothing that a budget covers is admitted.

        `awaited` is what was when they were asked for: a budget that came to stand since then is
        not in them, and waits on. None is everything that is awaited now.
        """
        ...
