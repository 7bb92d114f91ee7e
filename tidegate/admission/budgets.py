"""Money of one scope: what is settled and what is held, in each period of a budget.

`free = limit - settled - held`; a hold that is larger is refused, so settled plus held never
exceeds the limit as long as nobody spends more than was held. The time of a request's beginning
decides which period pays, now and when it is settled: a request from before midnight settles where
it was held. A clock that is set back finds its old periods again, because some are kept.
"""

from __future__ import annotations

from typing import Final

from tidegate.limits import Budget, Period, Span, span_of

FOREVER_NS: Final = 1 << 63
UNKNOWN: Final = -1
"""The limit of a purse until what was spent before is known: nothing at all goes through."""
PERIODS_KEPT: Final = 4
"""Also the current one. More than one old one, for a clock that jumps ahead twice and then back."""


class Pot:
    """The money of one budget in one period."""

    __slots__ = ("began_ns", "brought", "ends_ns", "held", "provider", "settled")

    def __init__(self, began_ns: int, ends_ns: int | None, provider: str | None = None) -> None:
        self.began_ns = began_ns
        self.ends_ns = FOREVER_NS if ends_ns is None else ends_ns
        self.settled = 0
        self.brought = 0
        """Of that, what was spent before it was counted here."""
        self.held = 0
        self.provider = provider
        """Whose charges alone it pays, if it is one provider's."""


class Calendar:
    """The periods of budgets; computed once for each period, because time zones are slow."""

    def __init__(self) -> None:
        self._last: dict[tuple[Period, str], Span] = {}

    def span(self, budget: Budget, unix_ns: int) -> Span:
        """The period of `budget` that `unix_ns` falls in."""
        key = (budget.period, budget.timezone)
        span = self._last.get(key)
        if (
            span is None
            or unix_ns < span.began_ns
            or (span.ends_ns is not None and unix_ns >= span.ends_ns)
        ):
            span = self._last[key] = span_of(budget, unix_ns)
        return span


class Purse:
    """One budget of one scope, over its periods.

    `pot` is the latest period that was seen; `admit` looks at it itself and calls `at` for others.
    """

    __slots__ = ("_calendar", "_older", "budget", "known", "limit", "pot", "provider")

    def __init__(
        self, budget: Budget, calendar: Calendar, unix_ns: int, provider: str | None = None
    ) -> None:
        self._calendar = calendar
        self._older: tuple[Pot, ...] = ()
        self.budget = budget
        self.limit = UNKNOWN
        self.known = False
        """Whether what was spent before it was counted here is in it."""
        self.provider = provider
        span = calendar.span(budget, unix_ns)
        self.pot = Pot(span.began_ns, span.ends_ns, provider)

    def at(self, unix_ns: int) -> Pot:
        """The pot that pays at `unix_ns`: one of the past if that is kept, else a new one.

        A time before all that is kept, once that is as much as is ever kept, is paid by the
        oldest: what was spent is never forgotten for a clock that went back.
        """
        if unix_ns >= self.pot.ends_ns:
            span = self._calendar.span(self.budget, unix_ns)
            self._older = self.pots()[: PERIODS_KEPT - 1]
            self.pot = Pot(span.began_ns, span.ends_ns, self.provider)
            return self.pot
        for pot in self.pots():
            if pot.began_ns <= unix_ns < pot.ends_ns:
                return pot
        if len(self._older) == PERIODS_KEPT - 1:
            return self._older[-1]
        span = self._calendar.span(self.budget, unix_ns)
        pot = Pot(span.began_ns, span.ends_ns, self.provider)
        self._older = tuple(sorted((*self._older, pot), key=lambda pot: -pot.began_ns))
        return pot

    def fit(self, budget: Budget, *, known: bool) -> None:
        """Go by `budget` from now on, a later setting of the same period and time zone."""
        self.budget = budget
        self.known = self.known or known
        self.limit = budget.nanousd if self.known else UNKNOWN

    def restore(self, began_ns: int, nanousd: int) -> None:
        """Add what was spent before, in the period that began at `began_ns`: once, told twice."""
        pot = self.at(began_ns)
        pot.settled += nanousd - pot.brought
        pot.brought = nanousd

    def counts(self, unix_ns: int) -> bool:
        """Whether it holds anything, or has spent something in a period that is not over."""
        return any(
            pot.held > 0 or (pot.settled > 0 and unix_ns < pot.ends_ns) for pot in self.pots()
        )

    def pots(self) -> tuple[Pot, ...]:
        """All periods that are kept, the latest one first."""
        return (self.pot, *self._older)
