"""The station `admit` by itself: what is held, for which tries, and that nothing stays held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Left, Spent, Ticket
from tidegate.errors import BudgetReached, LimitReached, PriceUnknown
from tidegate.gateway.admit import GRACE_S, Admitted, Desk
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.quotas import duration, quota_headers
from tidegate.gateway.serve import settle
from tidegate.ledger.price import Price
from tidegate.limits import MOST_NANOUSD, Balance, Budget, Limits, Rate, Rule, Scope
from tidegate.telemetry.record import Record, decode, encode
from tidegate.types import Call, Choice, Plan, Principal, Target, Terms, Timeouts, Usage

WEB = Principal(key="web", team="product")
CALL = Call("chat", "m", {"model": "m", "max_tokens": 84}, stream=False, wants_usage=False)
BODY = b"x" * 976
BOUND = 2_000 * 1_000 + 100 * 2_000
"""Of `CALL`: its bytes and 1,024 unseen ones in, 84 and 16 to spare out."""
CHEAP = Price(1_000 * 10**6, 2_000 * 10**6)


class Listed:
    """A price for all but the model `nobody-knows`, at any time."""

    windows: Mapping[tuple[str, str], int] = {}

    def of(self, provider: str, model: str, unix_ns: int) -> Price | None:
        return CHEAP if provider and model != "nobody-knows" and unix_ns else None

    def context_tokens(self, provider: str, model: str) -> int | None:
        return self.windows.get((provider, model))


def choice(provider: str, model: str = "m-1") -> Choice:
    target = Target(provider, model, Timeouts(1, 1, 1, 1))
    return Choice(target, model, f"{provider}/{model}", "", b"", b"")


def plan(*choices: Choice, **terms: Any) -> Plan:
    return Plan("assistant", choices or (choice("a"),), 60.0, terms=Terms(**terms))


def record() -> Record:
    return Record("r-1", 10**18, "w", "chat", "/", "v")


def money(kind: Any, name: str, nanousd: int) -> Rule:
    return Rule(kind, Limits(budgets=(Budget(nanousd, "total"),)), name)


def engine(*rules: Rule) -> Embedded:
    made = Embedded(rules, monotonic=lambda: 0.0)
    made.restore([])
    return made


def desk(made: Any, *, unpriced: bool = False) -> Desk:
    return Desk(made, Listed(), unpriced=unpriced, output_tokens=1_000)


async def admit(made: Embedded, asked: Plan, call: Call = CALL) -> tuple[Plan, Admitted]:
    here, kept = desk(made), record()
    return await here.admit(here.limited(WEB, kept, asked), kept, call, asked, BODY)


def held(made: Embedded, *scope: str) -> int:
    found = next(gauge for gauge in made.gauges() if gauge.scope == scope)
    return found.purses[0].pot.held


async def test_the_bound_of_the_dearest_try_is_held_on_every_budget() -> None:
    made = engine(money("team", "product", 10**9), money("key", "web", 10**9))
    asked, admitted = await admit(made, plan())
    assert held(made, "team", "product") == held(made, "key", "web") == BOUND
    admitted.settle()
    admitted.settle()
    assert held(made, "team", "product") == made.running == 0
    assert asked == plan()


async def test_a_hedge_holds_a_second_bound_or_is_not_made() -> None:
    made = engine(money("team", "product", 2 * BOUND))
    _, admitted = await admit(made, plan())
    await admitted.extend(choice("b"), beside=True)
    assert held(made, "team", "product") == 2 * BOUND
    with pytest.raises(BudgetReached):
        await admitted.extend(choice("b"), beside=True)
    assert held(made, "team", "product") == 2 * BOUND
    admitted.settle()
    assert held(made, "team", "product") == 0


async def test_a_try_that_cost_something_is_held_again_before_the_next() -> None:
    made = engine(money("team", "product", 2 * BOUND))
    _, admitted = await admit(made, plan())
    first = choice("a")
    assert admitted.covers(first)
    admitted.charge("a", 10, BOUND - 5, last=False)
    assert not admitted.covers(first)
    await admitted.extend(first)
    assert admitted.covers(first)
    assert held(made, "team", "product") == 2 * BOUND - 5
    admitted.charge("a", 10, BOUND, last=False)
    with pytest.raises(BudgetReached):
        await admitted.extend(first)
    admitted.settle()
    pot = next(iter(made.gauges())).purses[0].pot
    assert (pot.held, pot.settled) == (0, 2 * BOUND - 5)


async def test_what_a_try_costs_while_a_hedge_is_admitted_is_held_before_the_next() -> None:
    answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
    held: list[int] = []

    class Later(Embedded):
        def extend(self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int) -> Any:
            super().extend(ticket, scopes, tokens, nanousd)
            held.append(nanousd)
            return answers[len(held) - 1]

    made = Later([money("team", "product", 10**9)], monotonic=lambda: 0.0)
    made.restore([])
    _, admitted = await admit(made, plan())
    hedge = asyncio.ensure_future(admitted.extend(choice("a"), beside=True))
    while not held:  # noqa: ASYNC110 - its first step
        await asyncio.sleep(0)
    admitted.charge("a", 10, 7, last=False)
    for answer in answers:
        answer.set_result(None)
    await hedge
    assert not admitted.covers(choice("a"))
    await admitted.extend(choice("a"))
    assert held == [BOUND, 7]
    assert admitted.covers(choice("a"))


async def test_another_provider_that_is_limited_has_to_be_admitted() -> None:
    made = engine(money("provider", "b", BOUND), money("team", "product", 10**9))
    _, admitted = await admit(made, plan(choice("a"), choice("b")))
    assert admitted.covers(choice("c"))
    assert not admitted.covers(choice("b"))
    await admitted.extend(choice("b"))
    assert admitted.covers(choice("b"))
    assert held(made, "provider", "b") == BOUND
    admitted.charge("b", 5, 700, last=True)
    admitted.settle()
    spent = {gauge.scope: gauge.purses[0].pot.settled for gauge in made.gauges()}
    assert spent == {("provider", "b"): 700, ("team", "product"): 700}


async def test_a_budget_of_a_fallback_alone_is_held_when_its_turn_comes() -> None:
    made = engine(money("provider", "b", BOUND))
    here, kept, asked = desk(made), record(), plan(choice("a", "nobody-knows"), choice("b"))
    scopes = here.limited(WEB, kept, asked)
    assert scopes[-1] == ("provider", "a")
    asked, admitted = await here.admit(scopes, kept, CALL, asked, BODY)
    assert [each.name for each in asked.choices] == ["a/nobody-knows", "b/m-1"]  # nothing covers a
    assert kept.held_nanousd == BOUND
    await admitted.extend(choice("b"))
    assert held(made, "provider", "b") == BOUND
    admitted.settle()
    assert here.limited(WEB, kept, plan(choice("a"))) == ()


async def test_chains_for_failures_are_bounded_with_the_rest() -> None:
    made = engine(money("team", "product", 10**9))
    chain = (choice("a", "nobody-knows"), choice("b"))
    asked, admitted = await admit(made, plan(choice("a"), on_overflow=chain))
    assert [each.name for each in asked.terms.on_overflow] == ["b/m-1"]
    admitted.settle()
    with pytest.raises(PriceUnknown, match="a/nobody-knows"):
        await admit(made, plan(choice("a", "nobody-knows")))
    assert made.running == 0


async def test_targets_without_a_limit_on_their_answers_get_one_under_a_budget() -> None:
    made = engine(money("team", "product", 10**9))
    call = Call("chat", "m", {"model": "m"}, stream=False, wants_usage=False)
    asked, admitted = await admit(made, plan(choice("a"), on_filter=(choice("b"),)), call)
    assert asked.choices[0].target.output_default == 1_000
    assert asked.terms.on_filter[0].target.output_default == 1_000
    admitted.settle()


async def test_full_providers_are_passed_over_as_long_as_another_one_is_left() -> None:
    full = Limits(requests=(Rate(0, 60),))
    made = engine(Rule("provider", full, "a"), Rule("provider", full, "b"))
    asked, admitted = await admit(
        made, plan(choice("a"), choice("b"), choice("a", "m"), choice("c"))
    )
    assert [each.name for each in asked.choices] == ["c/m-1"]
    admitted.settle()
    with pytest.raises(LimitReached) as refused:
        await admit(made, plan(choice("a"), choice("b")))
    assert refused.value.limit == "provider b requests_per_minute"
    assert made.running == 0


async def test_counting_tokens_needs_neither_tokens_nor_money_nor_a_target() -> None:
    tight = Limits(tokens=(Rate(1, 60),), budgets=(Budget(1, "total"),), requests=(Rate(1, 60),))
    made = engine(Rule("team", tight, "product"))
    count = Call("count_tokens", "m", {"model": "m"}, stream=False, wants_usage=False)
    empty = Plan("assistant", (), 60.0)
    _, admitted = await admit(made, empty, count)
    admitted.settle()
    with pytest.raises(LimitReached):
        await admit(made, empty, count)


class Slow:
    """An engine that answers later, as one that asks Redis."""

    def __init__(self) -> None:
        self.within = Embedded((), monotonic=lambda: 0.0)
        self.waiting: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self.settled: list[Ticket] = []

    def limited(self, scopes: Iterable[Scope]) -> bool:
        return bool(list(scopes))

    def paid(self, scopes: Iterable[Scope]) -> bool:
        return not list(scopes)

    def admit(self, ask: Ask) -> asyncio.Future[Ticket]:
        self.ask = ask
        return self.waiting

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None:
        assert not spent
        self.settled.append(ticket)


async def test_what_is_admitted_in_the_moment_of_a_cancellation_is_let_go() -> None:
    slow = Slow()
    here, kept, asked = desk(slow), record(), plan()
    scopes = here.limited(WEB, kept, asked)
    task = asyncio.ensure_future(here.admit(scopes, kept, CALL, asked, BODY))
    while not hasattr(slow, "ask"):  # noqa: ASYNC110 - its first step
        await asyncio.sleep(0)
    ticket = slow.within.admit(slow.ask)
    slow.waiting.set_result(ticket)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.settled == [ticket]


async def test_what_is_cancelled_while_it_waits_is_left_to_the_engine() -> None:
    slow = Slow()
    here, kept, asked = desk(slow), record(), plan()
    scopes = here.limited(WEB, kept, asked)
    task = asyncio.ensure_future(here.admit(scopes, kept, CALL, asked, BODY))
    while not hasattr(slow, "ask"):  # noqa: ASYNC110 - its first step
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.waiting.cancelled()
    assert slow.settled == []


async def test_a_request_whose_body_was_slow_is_not_given_up_before_its_time() -> None:
    made, kept = engine(money("team", "product", 10**9)), record()
    kept.body_ms = 30_000.0
    here = desk(made)
    await here.admit(here.limited(WEB, kept, plan()), kept, CALL, plan(), BODY)
    assert kept.expires_ms == 30_000.0 + plan().total_s * 1000.0 + GRACE_S * 1000.0


async def test_what_is_held_is_let_go_though_the_record_cannot_be_made() -> None:
    class Broken:
        def begin(self, steps: Any) -> None:
            raise ArithmeticError(steps)

    made, nowhere = engine(money("team", "product", 10**9)), cast("Any", None)
    here = Exchange(nowhere, method=b"POST", url=b"/", headers=[], chunked=True, keep_alive=True)
    here.record = record()
    _, here.admitted = await admit(made, plan())
    here.admitted.charge("a", 10, 7, last=True)
    rooms: Any = SimpleNamespace(stepper=Broken())
    with pytest.raises(ArithmeticError):
        await settle(rooms, here, None)
    pot = next(made.gauges()).purses[0].pot
    assert (pot.settled, pot.held) == (7, 0)


def test_a_cost_beyond_all_measure_fits_into_a_record() -> None:
    class Absurd(Listed):
        def of(self, provider: str, model: str, unix_ns: int) -> Price | None:
            found = super().of(provider, model, unix_ns)
            return found and replace(found, output_nanousd=10**20)

    here, kept = Desk(engine(), Absurd(), unpriced=False, output_tokens=1), record()
    kept.cost_nanousd, _ = here.cost(choice("a"), CALL, Usage(input=1, output=1 << 40), 1)
    assert decode(encode(kept)).cost_nanousd == MOST_NANOUSD


async def test_what_an_alias_turns_out_to_be_is_learnt() -> None:
    made = engine(Rule("team", Limits(tokens=(Rate(10**6, 60),)), "product"))
    here = desk(made)

    async def taken() -> int:
        kept = record()
        _, admitted = await here.admit(here.limited(WEB, kept, plan()), kept, CALL, plan(), BODY)
        counter = next(iter(made.gauges())).tokens[0]
        tokens = counter.current
        admitted.settle()
        assert counter.current == 0
        return tokens

    assert await taken() == 976 // 4 + 1 + 84
    for _ in range(200):
        here.learn("assistant", 1_000, 500)
    assert 976 // 2 + 80 < await taken() < 976 // 2 + 90


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0121, b"13ms"),
        (1.0, b"1s"),
        (59.2, b"1m0s"),
        (360, b"6m0s"),
        (3600, b"1h0m0s"),
        (86_399.5, b"24h0m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, said: bytes) -> None:
    assert duration(seconds) == said


def test_only_what_is_limited_is_told() -> None:
    made = Embedded([Rule("key", Limits(requests=(Rate(5, 60),)), "web")], monotonic=lambda: 0.0)
    ticket = made.admit(Ask("r", (("key", "web"),), 0, 0, 10**18, 60.0))
    assert ticket.requests == Left(5, 4, 120.0)
    assert quota_headers(ticket, anthropic=False) == [
        (b"x-ratelimit-limit-requests", b"5"),
        (b"x-ratelimit-remaining-requests", b"4"),
        (b"x-ratelimit-reset-requests", b"2m0s"),
    ]


def test_balances_are_those_of_the_scope() -> None:
    made = Embedded([money("team", "product", 10)], monotonic=lambda: 0.0)
    made.restore([Balance("team", "product", "total", "UTC", 0, 10)])
    with pytest.raises(BudgetReached):
        made.admit(Ask("r", (("team", "product"),), 0, 1, 10**18, 60.0))


class Tiered(Listed):
    """Prices of the three ways of being served."""

    def of(self, provider: str, model: str, unix_ns: int) -> Price | None:
        dear, low = Price(2_000 * 10**6, 4_000 * 10**6), Price(500 * 10**6, 1_000 * 10**6)
        found = super().of(provider, model, unix_ns)
        return found and replace(found, variants={"priority": dear, "flex": low})


@pytest.mark.parametrize(
    ("asked", "times"), [(None, 2), ("auto", 2), ("priority", 2), ("default", 1), ("flex", 1)]
)
async def test_held_is_the_dearest_tier_that_a_request_may_be_served_in(
    asked: str | None, times: int
) -> None:
    made = engine(money("team", "product", 10**9))
    here, kept = Desk(made, Tiered(), unpriced=False, output_tokens=1_000), record()
    call = structs.replace(CALL, body={**CALL.body, "service_tier": asked})
    await here.admit(here.limited(WEB, kept, plan()), kept, call, plan(), BODY)
    assert held(made, "team", "product") == times * BOUND


@pytest.mark.parametrize(
    ("asked", "told", "nanousd"),
    [
        ("priority", "default", 5_000),  # there was no room, and it is billed as such
        ("auto", "priority", 10_000),  # the account's own tier
        (None, "flex", 2_500),
        ("flex", None, 2_500),  # a provider that does not tell
        ("priority", "scale", 5_000),
    ],
)
def test_charged_is_the_tier_that_the_provider_tells(
    asked: str | None, told: str | None, nanousd: int
) -> None:
    here = Desk(engine(), Tiered(), unpriced=False, output_tokens=1_000)
    call = structs.replace(CALL, body={"service_tier": asked})
    found, _ = here.cost(choice("a"), call, Usage(1, 2, tier=told), 1)
    assert found == nanousd
