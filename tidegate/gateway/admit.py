"""The station admit: all that a request needs of limits and budgets, held at once and let go once.

`Desk` asks the engine before a provider is asked; `Admitted` is what one request holds from then
on. What must hold: nothing is asked of a provider that has not been held, and on every way out the
rest is let go, exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Protocol

from msgspec import structs

from tidegate import limits
from tidegate.admission.engine import Ask, Engine, Spent, Ticket
from tidegate.errors import LimitReached, PriceUnknown
from tidegate.gateway import bounds
from tidegate.ledger.price import Price, bound, cost
from tidegate.limits import Rule, Scope
from tidegate.telemetry.record import Record
from tidegate.types import Call, Choice, Plan, Principal, Usage

GRACE_S = 5.0
"""How much longer than its deadline a request may take to end."""
MOST_NANOUSD = 1 << 53
"""More than any budget has; what engines count exactly."""


class Prices(Protocol):
    """What tokens cost: `ledger.prices.Prices`."""

    def of(self, provider: str, model: str, unix_ns: int) -> Price | None:
        """The price in force at `unix_ns`; None if it is not known."""
        ...

    def context_tokens(self, provider: str, model: str) -> int | None:
        """How much input `model` takes at most, if that is known."""
        ...


class Desk:
    """Where requests are admitted: one for each configuration, at the engine of the process."""

    def __init__(
        self, engine: Engine, prices: Prices, *, unpriced: bool, output_tokens: int
    ) -> None:
        """Admit by `engine`.

        Args:
            engine: Counts.
            prices: The prices in force.
            unpriced: Whether what a budget covers may be asked of a target without a price.
            output_tokens: Limit on an answer that a budget covers, where nobody names one.
        """
        self.prices = prices
        self.limits = False
        """Whether there are any limits at all."""
        self._downgrades = False
        """Whether any budget names an alias to ask instead."""
        self._engine = engine
        self._unpriced = unpriced
        self._output_tokens = output_tokens
        self._token_bytes: dict[str, float] = {}
        self._bounded: dict[str, tuple[Plan, Plan]] = {}
        """The last plan of each alias, as it came and bounded: most aliases have one plan only."""

    def go_by(self, rules: Sequence[Rule]) -> None:
        """Go by `rules`, as the engine does."""
        self.limits = bool(rules)
        self._downgrades = any(each.downgrade for rule in rules for each in rule.limits.budgets)

    def limited(self, caller: Principal, record: Record, plan: Plan) -> tuple[Scope, ...]:
        """The scopes that the request is counted on; none where nothing limits any of them.

        Nor any provider that it may come to.
        """
        provider = plan.choices[0].target.provider if plan.choices else ""  # nobody counts tokens
        scopes = _scopes(caller, record, plan.alias, provider)
        limited = self._engine.limited
        if limited(scopes) or limited([("provider", name) for name in _providers(plan)]):
            return scopes
        return ()

    def downgrade(
        self, scopes: tuple[Scope, ...], record: Record, call: Call, plan: Plan
    ) -> str | None:
        """The alias to ask instead because a soft cap is passed; None for the one asked for.

        Only who writes can be stood in for: another model's embeddings are of no use.
        """
        if not self._downgrades or not bounds.writes(call):
            return None
        budget = self._engine.soft(scopes, record.started_ns)
        if budget is None or budget.downgrade == plan.alias:
            return None
        return budget.downgrade

    async def admit(
        self, scopes: tuple[Scope, ...], record: Record, call: Call, plan: Plan, body: bytes
    ) -> tuple[Plan, Admitted]:
        """Hold all that the request may use; the plan without what must not be asked.

        Targets at a provider whose own limit is reached are passed over, if others are left.
        Raises: `LimitReached` and its kinds, `LimitsUnavailable`, `PriceUnknown`.
        """
        asked, counts = bounds.output_asked(call), call.wire == "count_tokens"
        read = int(len(body) / self._token_bytes.get(plan.alias, bounds.TOKEN_BYTES)) + 1
        while True:
            tokens = 0 if counts else read + _expected(plan, call, asked)
            paying = None if counts else self._paying(scopes, plan)
            nanousd = 0
            if paying is not None:
                plan, nanousd = self._bound(record, call, plan, body, asked, read, paying)
                scopes = _beginning(scopes, plan)
            ask = Ask(
                request_id=record.request_id,
                scopes=scopes,
                tokens=tokens,
                nanousd=nanousd,
                unix_ns=record.started_ns,
                expires_s=plan.total_s + GRACE_S,
            )
            try:
                ticket = await self._ticket(record, ask)
            except LimitReached as error:
                rest = _elsewhere(plan, error)
                if rest is None:
                    raise
                _leave_out(record, plan, rest, error.message)
                plan = rest
                scopes = _beginning(scopes, plan)
            else:
                break
        if nanousd:  # though it may be for a fallback only
            record.held_nanousd = nanousd
            record.expires_ms = (
                ask.expires_s * 1000.0 + record.body_ms
            )  # its time begins after that
        return plan, Admitted(self._engine, ticket, scopes[-1][1], tokens, nanousd)

    async def admit_unread(
        self, caller: Principal, record: Record, total_s: float
    ) -> Admitted | None:
        """Hold what can be held of a request that is handed on as it is; None if nothing limits it.

        Nobody has read what it asks, so no bound of its cost is known: a budget that covers it is
        asked for the least there is, so that a used-up one lets nothing through.
        Raises: `LimitReached` and its kinds, `LimitsUnavailable`, `PriceUnknown`.
        """
        provider = record.provider or ""
        scopes = _scopes(caller, record, record.alias or "", provider)
        if not self._engine.limited(scopes):
            return None
        paid = self._engine.paid(scopes)
        if paid and not self._unpriced:
            raise PriceUnknown(
                "A budget covers this key, and what is handed on has no known price."
            )
        tokens = record.request_bytes // 4 + bounds.EXPECTED_OUTPUT_TOKENS
        ask = Ask(
            record.request_id, scopes, tokens, int(paid), record.started_ns, total_s + GRACE_S
        )
        return Admitted(self._engine, await self._ticket(record, ask), provider, tokens, 0)

    def cost(
        self, choice: Choice, call: Call, usage: Usage, unix_ns: int
    ) -> tuple[int | None, str | None]:
        """What `call` costs at `choice` when asked at `unix_ns`, and by which price; if known.

        No more than the highest budget: what is beyond that is a price or a count gone wrong, and
        more than a record or a script of Redis can hold.
        """
        price = self.prices.of(choice.target.provider, choice.model, unix_ns)
        if price is None:
            return None, None
        price = price.served(*_ways(call, usage.tier))
        return min(cost(price, usage), limits.MOST_NANOUSD), price.label

    def learn(self, alias: str, body_bytes: int, input_tokens: int) -> None:
        """Note how many tokens a body of `alias` turned out to be."""
        if input_tokens > 0 and body_bytes > 0:
            known = self._token_bytes.get(alias, bounds.TOKEN_BYTES)
            self._token_bytes[alias] = known + (body_bytes / input_tokens - known) * 0.05

    async def _ticket(self, record: Record, ask: Ask) -> Ticket:
        ticket = self._engine.admit(ask)
        if not isinstance(ticket, asyncio.Future):
            return ticket
        began_s = perf_counter()
        try:
            return await ticket
        except asyncio.CancelledError:
            # It may have been admitted within this very turn of the loop.
            if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                self._engine.settle(ticket.result(), ())
            raise
        finally:
            record.admit_ms += (perf_counter() - began_s) * 1000.0

    def _paying(self, scopes: tuple[Scope, ...], plan: Plan) -> frozenset[str] | None:
        """The providers at which a budget covers the request; None if there is no budget at all."""
        engine = self._engine
        providers = _providers(plan)
        if engine.paid(scopes[:-1]):
            return providers
        return frozenset(name for name in providers if engine.paid((("provider", name),))) or None

    def _bound(  # noqa: PLR0917 all that the price of a request hangs on
        self,
        record: Record,
        call: Call,
        plan: Plan,
        body: bytes,
        asked: int | None,
        read: int,
        paying: frozenset[str],
    ) -> tuple[Plan, int]:
        """The plan with what has a price, every answer bounded; the most that a try may cost.

        Raises: `PriceUnknown`.
        """
        if call.body.get("background") and not self._unpriced:
            raise PriceUnknown(
                "A budget covers this request, and what an answer in the background costs is"
                " never told.",
                param="background",
            )
        priced, unpriced = self._priced(plan, paying, call, record.started_ns)
        most, at_input, output, count, beside = 0, 0, bounds.writes(call), 1, 0
        heard = bounds.heard(call, body)
        if output:
            count, beside = bounds.answers(call), bounds.beside(call, asked)
        for choice, price, window_tokens in priced:
            reads, says = bounds.input_bound(heard, window_tokens), 0
            if output:
                says = bounds.output_bound(asked, choice.target, self._output_tokens) + beside
                says = min(says * count, bounds.MOST_TOKENS)
                if plan.terms.repairs:
                    reads += bounds.repairs(call, plan.terms, says)
            most = max(most, bound(price, reads, says))
            at_input = max(at_input, bound(price, read, 0))
        if unpriced:
            if self._unpriced:
                most = max(most, 1)  # nobody knows how much, but nothing once a budget is used up
            else:
                whole, plan = plan, _without(plan, unpriced)
                _leave_out(record, whole, plan, "nobody knows its price, and a budget pays")
        self._refuse_fees(heard, most)
        if not plan.choices:
            raise PriceUnknown(
                f"A budget covers this request, and nobody knows what {unpriced[0].name} costs."
            )
        record.held_input_nanousd = at_input
        if output and asked is None:
            plan = self._with_bounds(plan)
        return plan, min(most, MOST_NANOUSD)

    def _refuse_fees(self, heard: bounds.Heard, most: int) -> None:
        if heard.fees and most and not self._unpriced:
            raise PriceUnknown(
                "A budget covers this request, and nobody knows what the tools that the provider"
                " runs will cost beside the tokens. Leave them out, or let your own code run them.",
                param="tools",
            )

    def _with_bounds(self, plan: Plan) -> Plan:
        """`plan` with a limit on the answers of targets that have none."""
        kept = self._bounded.get(plan.alias)
        if kept is None or kept[0] is not plan:
            kept = self._bounded[plan.alias] = plan, _bounded(plan, self._output_tokens)
        return kept[1]

    def _priced(
        self, plan: Plan, paying: frozenset[str], call: Call, unix_ns: int
    ) -> tuple[list[tuple[Choice, Price, int | None]], list[Choice]]:
        """Those of `plan` that a budget pays, with price and window, and those without a price."""
        prices = self.prices
        priced, unpriced = list[tuple[Choice, Price, int | None]](), list[Choice]()
        for choice in _everything(plan):
            provider, model = choice.target.provider, choice.model
            if provider in paying:
                price = prices.of(provider, model, unix_ns)
                if price is None:
                    unpriced.append(choice)
                else:
                    if price.variants:
                        served = price.served(*_ways(call, bounding=True))
                        price = max(price, served, key=lambda each: bound(each, 1, 1))
                    priced.append((choice, price, prices.context_tokens(provider, model)))
        return priced, unpriced


class Admitted:
    """What one request holds, and what it has spent so far."""

    __slots__ = ("_bound", "_engine", "_entered", "_owed", "_spent", "_ticket", "_tokens", "tell")

    def __init__(
        self, engine: Engine, ticket: Ticket, provider: str, tokens: int, bound_nanousd: int
    ) -> None:
        self._engine = engine
        self._ticket = ticket
        self._entered = {provider}
        self._tokens = tokens
        self._bound = bound_nanousd
        self._owed = 0
        self.tell: Callable[[int], Awaitable[None]] | None = None
        """Is told how much more is held, in nano-dollars, before that may be spent."""
        self._spent: dict[str, tuple[int, int]] = {}

    @property
    def ticket(self) -> Ticket:
        """As the engine gave it."""
        return self._ticket

    def charge(self, provider: str, tokens: int, nanousd: int, *, last: bool) -> None:
        """Note what a try has used; one that is not the `last` is held again before the next."""
        spent = self._spent.get(provider, (0, 0))
        self._spent[provider] = spent[0] + tokens, spent[1] + nanousd
        if not last:
            self._owed += nanousd

    def covers(self, choice: Choice) -> bool:
        """Whether a try at `choice` needs nothing more to be held."""
        provider = choice.target.provider
        return self._owed == 0 and (
            provider in self._entered or not self._engine.limited((("provider", provider),))
        )

    async def extend(self, choice: Choice, *, beside: bool = False) -> None:
        """Hold what a further try at `choice` needs; `beside` another one that goes on.

        Raises: `LimitReached` and its kinds, `LimitsUnavailable`; what is held stays as it is. And
        what `tell` raises; then it is held.
        """
        scope: Scope = ("provider", choice.target.provider)
        new = scope[1] not in self._entered and self._engine.limited((scope,))
        owed = self._owed
        more = owed + (self._bound if beside else 0)
        held = self._engine.extend(
            self._ticket, (scope,) if new else (), self._tokens if new else 0, more
        )
        if held is not None:
            await held
        self._entered.add(scope[1])
        self._owed -= owed  # the other one may have cost something meanwhile
        if more and self.tell is not None:
            await self.tell(more)

    def settle(self) -> None:
        """Charge what was spent and let go of the rest."""
        self._engine.settle(
            self._ticket, [Spent(name, *spent) for name, spent in self._spent.items()]
        )


def _scopes(caller: Principal, record: Record, alias: str, provider: str) -> tuple[Scope, ...]:
    """Everything that a request is counted on, the provider that is asked first last."""
    scopes: list[Scope] = [("alias", alias)]
    if caller.key is not None:
        scopes.append(("key", caller.key))
    if caller.team is not None:
        scopes.append(("team", caller.team))
    if caller.organisation is not None:
        scopes.append(("organisation", caller.organisation))
    if record.user is not None:
        scopes.append(("user", record.user))
    if record.feature is not None:
        scopes.append(("feature", record.feature))
    if record.conversation is not None:
        scopes.append(("conversation", record.conversation))
    scopes.append(("provider", provider))
    return tuple(scopes)


def _beginning(scopes: tuple[Scope, ...], plan: Plan) -> tuple[Scope, ...]:
    """`scopes` with the provider that `plan` asks first."""
    provider = plan.choices[0].target.provider
    return scopes if scopes[-1][1] == provider else (*scopes[:-1], ("provider", provider))


def _expected(plan: Plan, call: Call, asked: int | None) -> int:
    """About how many tokens are written; what the caller allows counts, until more is known."""
    if not bounds.writes(call):
        return 0
    target = plan.choices[0].target
    said = bounds.output_bound(asked, target, bounds.EXPECTED_OUTPUT_TOKENS)
    return min(said * bounds.answers(call), bounds.MOST_TOKENS)


def _ways(call: Call, told: str | None = None, *, bounding: bool = False) -> tuple[object, object]:
    """How a request is served, which may have a price of its own.

    That is what the provider has `told`; until it does, what the caller wants. Providers serve in
    a lower tier what they have no room for in a higher one, and in the account's own tier what asks
    for none or `auto`: the dearest there may be, when `bounding`.
    """
    tier: object = call.body.get("service_tier") if told is None else told
    if bounding and (tier is None or tier == "auto"):
        tier = "priority"
    return call.body.get("speed"), tier


def _everything(plan: Plan) -> Sequence[Choice]:
    terms = plan.terms
    return (*plan.choices, *terms.on_overflow, *terms.on_filter, *terms.on_malformed)


def _providers(plan: Plan) -> frozenset[str]:
    return frozenset([choice.target.provider for choice in _everything(plan)])


def _changed(plan: Plan, change: Callable[[tuple[Choice, ...]], tuple[Choice, ...]]) -> Plan:
    terms = plan.terms
    if terms.on_overflow or terms.on_filter or terms.on_malformed:
        terms = structs.replace(
            terms,
            on_overflow=change(terms.on_overflow),
            on_filter=change(terms.on_filter),
            on_malformed=change(terms.on_malformed),
        )
    return structs.replace(plan, choices=change(plan.choices), terms=terms)


def _without(plan: Plan, choices: Sequence[Choice]) -> Plan:
    return _changed(plan, lambda chain: tuple(each for each in chain if each not in choices))


def _elsewhere(plan: Plan, error: LimitReached) -> Plan | None:
    """`plan` without the provider whose own limit is reached; None if that leaves nothing."""
    provider = plan.choices[0].target.provider if plan.choices else ""
    if not error.limit.startswith(f"provider {provider} "):
        return None
    rest = tuple(each for each in plan.choices if each.target.provider != provider)
    return structs.replace(plan, choices=rest) if rest else None


def _leave_out(record: Record, plan: Plan, rest: Plan, why: str) -> None:
    left = {choice.name for choice in rest.choices}
    gone = {choice.name: why for choice in plan.choices if choice.name not in left}
    record.left_out = {**record.left_out, **gone}


def _bounded(plan: Plan, output_tokens: int) -> Plan:
    """`plan` with a limit on the answers of targets that have none."""

    def bounded(chain: tuple[Choice, ...]) -> tuple[Choice, ...]:
        return tuple(
            each
            if each.target.output_default is not None or each.target.output_max is not None
            else structs.replace(
                each, target=structs.replace(each.target, output_default=output_tokens)
            )
            for each in chain
        )

    return _changed(plan, bounded)
