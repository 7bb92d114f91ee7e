"""The engine of admission for one process: every gauge in a dictionary, and nothing ever waits.

It is atomic because nothing in it awaits. `admit` looks at all limits first and takes afterwards,
so a refusal has consumed nothing.

The two loops of `admit` read and write the gauges' fields themselves. Methods would read better,
and make it twice as slow; what the fields mean is told, and tested, where they are declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from tidegate.admission.budgets import Pot
from tidegate.admission.engine import Ask, Awaited, Left, Spent, Ticket
from tidegate.admission.held import Held, More, gravity, reached
from tidegate.admission.rates import Counter
from tidegate.admission.scopes import NONE, Gauge, Scopes
from tidegate.admission.standing import MOST, Standing, standings
from tidegate.errors import LimitsUnavailable
from tidegate.limits import Balance, Budget, Rule, Scope

MOST_SCOPES = 100_000
"""Of each kind."""
LAPSES_EVERY_S = 1.0


class Embedded:
    """Admission within one process. `exceeded` counts charges above what was held for them."""

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        monotonic: Callable[[], float],
        most_scopes: int = MOST_SCOPES,
    ) -> None:
        self.exceeded = 0
        self._monotonic = monotonic
        self._latest_s = -math.inf
        self._scopes = Scopes(rules, most_scopes)
        self._rules = 0
        self._live: dict[Held, None] = {}
        self._lapsed_s = -math.inf

    @property
    def awaited(self) -> Awaited:
        """The budgets that stand and whose balances are not known: for these `restore` is due."""
        return self._scopes.awaited

    @property
    def incomplete(self) -> bool:
        """Whether there are any."""
        return bool(self._scopes.awaited)

    @property
    def running(self) -> int:
        """Requests that have been admitted and not settled."""
        return len(self._live)

    @property
    def held_nanousd(self) -> int:
        """What these may still cost at most, as far as budgets cover them."""
        return sum(held.held_nanousd for held in self._live)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on; what has been counted stays.

        A budget that did not stand before waits for the next `restore`.
        """
        self._rules += 1
        self._scopes.replace(rules)

    def restore(self, balances: Iterable[Balance], *, awaited: Awaited | None = None) -> None:
        """Begin with `balances`; whatever is known already is not changed by them."""
        for _ in self.restoring(balances, awaited=awaited):
            pass

    def restoring(
        self, balances: Iterable[Balance], *, awaited: Awaited | None = None
    ) -> Iterator[None]:
        """As `restore`, in steps of a few milliseconds; requests may go on between them.

        What waits for balances is let in when all of them are there, and no sooner.
        """
        return self._scopes.restoring(list(balances), self._now_s(), awaited)

    def limited(self, scopes: Iterable[Scope]) -> bool:
        """Whether any limit at all stands on one of `scopes`."""
        kinds, limits = self._scopes.kinds, self._scopes.limits
        return any(scope[0] in kinds and limits(scope) != NONE for scope in scopes)

    def paid(self, scopes: Iterable[Scope]) -> bool:
        """Whether a budget stands on one of `scopes`."""
        kinds, limits = self._scopes.kinds, self._scopes.limits
        return any(scope[0] in kinds and limits(scope).budgets for scope in scopes)

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None:
        """A budget that names a downgrade and of which the soft share is settled."""
        for scope in scopes:
            gauge = self._scopes.seen(scope, self._latest_s, unix_ns)
            for purse in gauge.purses if gauge else ():
                budget = purse.budget
                if budget.downgrade is None or not purse.known:
                    continue
                if purse.at(unix_ns).settled >= budget.soft * budget.nanousd:
                    return budget
        return None

    def admit(self, ask: Ask) -> Held:  # noqa: C901, PLR0912, PLR0915 see above
        """Hold everything of `ask`, or nothing.

        Raises: `LimitReached` and its kinds, `LimitsUnavailable`.
        """
        scopes = self._scopes
        table, kinds = scopes.table, scopes.kinds
        tokens, nanousd, unix_ns = ask.tokens, ask.nanousd, ask.unix_ns
        now_s = self._monotonic()
        if now_s < self._latest_s:
            now_s = self._latest_s
        else:
            self._latest_s = now_s
        gauges: list[Gauge] = []
        asked: list[Counter] = []
        counters: list[Counter] = []
        pots: list[Pot] = []
        full = False
        fewest = least = math.inf
        of_requests = of_tokens = None
        for scope in ask.scopes:
            gauge = table.get(scope)
            if gauge is None:
                if scope[0] not in kinds:
                    continue
                gauge = scopes.find(scope, now_s, unix_ns)
                if gauge is None:
                    continue
            for counter in gauge.requests:
                if now_s >= counter.ends_s:
                    counter.roll(now_s)
                left = counter.limit - counter.current
                if counter.previous:
                    left -= counter.previous * (counter.ends_s - now_s) / counter.window_s
                if left < fewest:
                    fewest = left
                    of_requests = counter
                asked.append(counter)
            for counter in gauge.tokens:
                if now_s >= counter.ends_s:
                    counter.roll(now_s)
                left = counter.limit - counter.current
                if counter.previous:
                    left -= counter.previous * (counter.ends_s - now_s) / counter.window_s
                if left < least:
                    least = left
                    of_tokens = counter
                counters.append(counter)
            if gauge.active >= gauge.most or gauge.steps >= gauge.most_steps:
                full = True
            for purse in gauge.purses:
                pot = purse.pot
                if not pot.began_ns <= unix_ns < pot.ends_ns:
                    pot = purse.at(unix_ns)
                if pot.settled + pot.held + nanousd > purse.limit:
                    full = True
                pots.append(pot)
            gauges.append(gauge)
        if full or fewest < 1 or least < tokens:
            self._refuse(gauges, tokens, nanousd, unix_ns, now_s)

        for gauge in gauges:
            gauge.active += 1
            gauge.steps += 1
            gauge.seen_s = now_s
        for counter in asked:
            counter.current += 1
        for counter in counters:
            counter.current += tokens
        for pot in pots:
            pot.held += nanousd
        held = Held(
            None if of_requests is None else _left(of_requests, fewest - 1, now_s),
            None if of_tokens is None else _left(of_tokens, least - tokens, now_s),
            nanousd if pots else 0,
            ask,
            now_s,
            gauges,
            counters,
            pots,
            nanousd,
            self._rules,
            tokens,
        )
        self._live[held] = None
        return held

    def extend(self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int) -> None:
        """Hold `tokens` and `nanousd` more on what `ticket` holds, and all of it on `scopes`.

        Those of `scopes` that it holds already are passed over.
        Raises: as `admit`; then the ticket is as it was.
        """
        held = _ours(ticket)
        if held.settled:
            return
        now_s = self._now_s()
        ask = held.ask
        seats = {gauge.scope for gauge in held.gauges}
        found = [
            self._scopes.find(scope, now_s, ask.unix_ns) for scope in scopes if scope not in seats
        ]
        further = [gauge for gauge in found if gauge is not None]
        all_tokens, all_nanousd = held.taken_tokens + tokens, held.nanousd + nanousd
        for gauge in held.gauges:
            self._scopes.seen(gauge.scope, now_s, ask.unix_ns)  # fits it to the rules
        self._refuse(held.gauges, tokens, nanousd, ask.unix_ns, now_s, holder=held)
        self._refuse(further, all_tokens, all_nanousd, ask.unix_ns, now_s)

        taken = held.more = held.more or []
        if tokens:
            counted = dict.fromkeys(chain(held.counters, (more.counter for more in taken)))
            taken += [More(counter, now_s, tokens, first=False) for counter in counted]
            for counter in counted:
                counter.roll(now_s)
                counter.current += tokens
        for pot in held.pots:
            pot.held += nanousd
        for gauge in further:
            gauge.active += not held.lapsed
            gauge.steps += 1
            gauge.seen_s = now_s
            for counter in gauge.requests:
                counter.current += 1
            for counter in gauge.tokens:
                counter.current += all_tokens
                taken.append(More(counter, now_s, all_tokens, first=True))
            for purse in gauge.purses:
                pot = purse.at(ask.unix_ns)
                pot.held += all_nanousd
                held.pots.append(pot)
            held.gauges.append(gauge)
        held.further += tuple(gauge.scope for gauge in further)
        held.taken_tokens, held.nanousd = all_tokens, all_nanousd
        held.held_nanousd = all_nanousd if held.pots else 0

    def settle(  # noqa: C901, PLR0912 see above
        self, ticket: Ticket, spent: Sequence[Spent]
    ) -> None:
        """Charge what was spent and let go of the rest; a second time changes nothing."""
        held = _ours(ticket)
        if held.settled:
            return
        held.settled = True
        self._live.pop(held, None)
        tokens = nanousd = 0
        for part in spent:
            tokens += part.tokens
            nanousd += part.nanousd
        asked, taken_s, reserved = held.ask.tokens, held.taken_s, held.nanousd
        if not held.lapsed:
            for gauge in held.gauges:
                gauge.active -= 1
        for counter in held.counters:
            provider = counter.provider
            used = tokens if provider is None else _at(spent, provider).tokens
            if taken_s >= counter.begins_s:
                counter.current += used - asked
            else:
                counter.correct(used - asked, taken_s)
        for pot in held.pots:
            provider = pot.provider
            pot.held -= reserved
            pot.settled += nanousd if provider is None else _at(spent, provider).nanousd
        if nanousd > reserved and held.pots:
            self.exceeded += 1
        if held.more:
            for more in held.more:
                provider = more.counter.provider
                used = 0
                if more.first:
                    used = tokens if provider is None else _at(spent, provider).tokens
                more.counter.correct(used - more.tokens, more.taken_s)
        if held.rules != self._rules:
            self._charge_new(held, spent, nanousd)

    def lapse(self) -> None:
        """End the leases of requests that should be over long since.

        A slot is given back; money stays held, because what was spent with it is not known.
        """
        now_s = self._lapsed_s = self._now_s()
        late = [held for held in self._live if now_s >= held.taken_s + held.ask.expires_s]
        for held in late:
            del self._live[held]
            held.lapsed = True
            for gauge in held.gauges:
                gauge.active -= 1

    def gauges(self) -> Iterator[Gauge]:
        """All scopes that are limited and have been seen."""
        return self._scopes.gauges()

    def snapshot(self, unix_ns: int, most: int = MOST) -> list[Standing]:
        """What is left of each limit of the scopes that have been seen; `most` of them."""
        self.lapse()
        return standings(self._scopes.gauges(), self._now_s(), unix_ns, most)

    def _now_s(self) -> float:
        self._latest_s = max(self._latest_s, self._monotonic())
        return self._latest_s

    def _charge_new(self, held: Held, spent: Sequence[Spent], nanousd: int) -> None:
        """Charge budgets that came to stand while the request ran.

        If their balances are told later and have this charge in them, it counts twice until the
        period ends: rather that than not at all.
        """
        for scope in (*held.ask.scopes, *held.further):
            if scope[0] not in self._scopes.kinds:
                continue
            try:
                gauge = self._scopes.find(scope, self._now_s(), held.ask.unix_ns)
            except LimitsUnavailable:
                continue
            for purse in gauge.purses if gauge else ():
                pot = purse.at(held.ask.unix_ns)
                if pot not in held.pots:
                    provider = pot.provider
                    pot.settled += nanousd if provider is None else _at(spent, provider).nanousd

    def _refuse(
        self,
        gauges: Sequence[Gauge],
        tokens: int,
        nanousd: int,
        unix_ns: int,
        now_s: float,
        *,
        holder: Held | None = None,
    ) -> None:
        """Raise for the limit that takes the longest to let it through; nothing if none is reached.

        With a `holder` its request is counted already, and only its own pots hold more.
        """
        if holder is None and now_s >= self._lapsed_s + LAPSES_EVERY_S:
            self.lapse()
        errors = [
            error
            for gauge in gauges
            for error in reached(gauge, tokens, nanousd, unix_ns, now_s, holder)
        ]
        if errors:
            raise max(errors, key=gravity)


def _left(counter: Counter, left: float, now_s: float) -> Left:
    reset_s = counter.ends_s - now_s
    if counter.current:
        reset_s += counter.window_s
    return Left(counter.limit, int(left), reset_s)


def _at(spent: Sequence[Spent], provider: str) -> Spent:
    """What was spent at `provider`."""
    for part in spent:
        if part.provider == provider:
            return part
    return Spent(provider, 0, 0)


def _ours(ticket: Ticket) -> Held:
    if not isinstance(ticket, Held):
        raise TypeError(f"{type(ticket).__name__} was not made by this engine")
    return ticket
