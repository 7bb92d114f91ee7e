"""What is still allowed here while Redis is lost and `on_loss` is `fail_open`: a share of it all.

Rates and concurrency are counted by an engine of this process, whose limits are `shares` of the
real ones. Of money, this process may spend its share of what was left when Redis was heard last;
of a budget that was never heard of, nothing. That bounds what all together overspend: by what was
spent elsewhere since each last heard of it, and never by more than the sum of their shares.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence

from msgspec import Struct, structs

from tidegate.admission.engine import Ask, Engine, Spent, Ticket
from tidegate.admission.refusals import budget_reached, unknown_spending
from tidegate.admission.shared_parts import Part, Purse
from tidegate.limits import Limits, Rate, Rule

Heard = Mapping[bytes, tuple[int, int]]
"""Spent and held, by the key of what is spent."""


def shares(rules: Iterable[Rule], share: float) -> list[Rule]:
    """The rules for the engine of this process: `share` of each limit, at least one, no money."""
    return [structs.replace(rule, limits=_share(rule.limits, share)) for rule in rules]


def _share(limits: Limits, share: float) -> Limits:
    return Limits(
        requests=tuple(Rate(_least(r.limit, share), r.window_s) for r in limits.requests),
        tokens=tuple(Rate(_least(r.limit, share), r.window_s) for r in limits.tokens),
        concurrency=None if limits.concurrency is None else _least(limits.concurrency, share),
        steps=limits.steps,
    )


def _least(limit: int, share: float) -> int:
    return max(int(limit * share), min(limit, 1))


class Admitted(Struct):
    """What a ticket holds here: of the engine, and of the allowances of `purses`."""

    ticket: Ticket
    purses: list[tuple[Purse, int]]


class Spare:
    """Admission on this process's own share, with `engine` for everything but money."""

    def __init__(self, engine: Engine, share: float, heard: Heard) -> None:
        self.engine = engine
        self._share = share
        self._heard = heard
        self._left: dict[bytes, int] = {}
        """What may be spent of each budget until Redis is back, what is held included."""
        self._held: dict[bytes, int] = {}
        """By requests that run, whichever loss they began in."""

    def begin(self) -> None:
        """Redis has been lost (again): what was heard last is what is left."""
        self._left = {}

    def admit(
        self, ask: Ask, parts: Sequence[Part], known: Sequence[Purse] = (), more_nanousd: int = 0
    ) -> Admitted:
        """Hold everything of `ask` here, and so much more of `known`.

        Raises: `LimitReached`, `LimitsUnavailable`; then nothing is held.
        """
        taken = self.take(known, more_nanousd)
        try:
            taken += self.take([p for part in parts for p in part.purses.values()], ask.nanousd)
            ticket = self.engine.admit(ask)
        except BaseException:
            self._give(taken)
            raise
        if isinstance(ticket, Awaitable):
            raise TypeError("the spare engine must answer at once")
        return Admitted(ticket, taken)

    def extend(
        self, held: Admitted, parts: Sequence[Part], *, tokens: int, nanousd: tuple[int, int]
    ) -> None:
        """Hold more, and all of it on `parts`; `nanousd` is what more and what in all.

        Raises: as `admit`; then nothing has changed.
        """
        more, all_of_it = nanousd
        known = [purse for purse, _ in held.purses]
        further = [p for part in parts for p in part.purses.values() if p not in known]
        taken = self.take(known, more)
        try:
            taken += self.take(further, all_of_it)
            self.engine.extend(held.ticket, [part.scope for part in parts], tokens, 0)
        except BaseException:
            self._give(taken)
            raise
        held.purses += taken

    def settle(self, held: Admitted, spent: Sequence[Spent]) -> None:
        """Let go of what was held, and take what was spent."""
        self._give(held.purses)
        for purse in dict.fromkeys(purse for purse, _ in held.purses):
            if purse.held_key in self._left:
                self._left[purse.held_key] -= charge(purse, spent)
        self.engine.settle(held.ticket, spent)

    def take(self, purses: Sequence[Purse], nanousd: int) -> list[tuple[Purse, int]]:
        """Hold `nanousd` of each, or of none. Raises: `BudgetReached`, `LimitsUnavailable`."""
        for purse in purses:
            left, held = self._allowance(purse), self._held.get(purse.held_key, 0)
            if nanousd and held + nanousd > left:
                spent = max(0, purse.budget.nanousd - left)
                raise budget_reached(purse.scope, purse.budget, spent, held, nanousd, ends_s=None)
        for purse in purses if nanousd else ():
            self._held[purse.held_key] = self._held.get(purse.held_key, 0) + nanousd
        return [(purse, nanousd) for purse in purses]

    def _allowance(self, purse: Purse) -> int:
        left = self._left.get(purse.held_key)
        if left is None:
            heard = self._heard.get(purse.spent_key)
            if heard is None:
                raise unknown_spending(purse.scope)
            left = int(max(0, purse.budget.nanousd - sum(heard)) * self._share)
            self._left[purse.held_key] = left
        return left

    def _give(self, taken: Iterable[tuple[Purse, int]]) -> None:
        for purse, nanousd in taken:
            held = self._held.pop(purse.held_key, 0) - nanousd
            if held > 0:
                self._held[purse.held_key] = held


def charge(purse: Purse, spent: Sequence[Spent]) -> int:
    """What `purse` pays of `spent`."""
    kind, name = purse.scope
    paid = 0
    for part in spent:
        if kind != "provider" or part.provider == name:
            paid += part.nanousd
    return paid
