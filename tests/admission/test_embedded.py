"""The embedded engine: what is refused, in which words, and what is told of it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Left, Spent
from tidegate.errors import BudgetReached, LimitReached, LimitsUnavailable, StepsReached
from tidegate.limits import DAY_S, Budget, Limits, Rate, Rule, Scope

NOON_NS = 20_000 * DAY_S * 10**9 + DAY_S * 10**9 // 2
TEAM: Scope = ("team", "secret-name")
USD = 10**9


class Time:
    def __init__(self) -> None:
        self.now_s = 1_200.0

    def __call__(self) -> float:
        return self.now_s


def ask(*scopes: Scope, tokens: int = 10, nanousd: int = 0, expires_s: float = 60.0) -> Ask:
    return Ask("r", scopes or (TEAM,), tokens, nanousd, NOON_NS, expires_s)


def engine(*rules: Rule, time: Time | None = None) -> Embedded:
    made = Embedded(rules, monotonic=time or Time())
    made.restore(())
    return made


def test_a_refusal_says_which_limit_its_value_what_is_left_and_when() -> None:
    limited = engine(Rule("team", Limits(requests=(Rate(2, 60),))))
    limited.admit(ask())
    limited.admit(ask())
    with pytest.raises(LimitReached) as caught:
        limited.admit(ask())
    error = caught.value
    assert error.limit == "team secret-name requests_per_minute"
    assert error.message == (
        "requests_per_minute of this team is reached: the limit is 2, 0 left,"
        " the request counts 1. Try again in 91 s."
    )
    assert error.retry_after_s == pytest.approx(90, abs=0.01)
    assert "secret-name" not in error.message


def test_more_tokens_than_the_limit_are_told_that_waiting_does_not_help() -> None:
    limited = engine(Rule("team", Limits(tokens=(Rate(100, 3_600),))))
    with pytest.raises(LimitReached, match=r"tokens_per_hour.*cannot help") as caught:
        limited.admit(ask(tokens=101))
    assert caught.value.retry_after_s is None


def test_the_limit_that_takes_the_longest_is_named() -> None:
    limited = engine(Rule("team", Limits(requests=(Rate(1, 60), Rate(1, DAY_S)), concurrency=1)))
    limited.admit(ask())
    with pytest.raises(LimitReached) as caught:
        limited.admit(ask())
    assert caught.value.limit.endswith("requests_per_day")


def test_a_refusal_consumes_nothing_on_any_scope() -> None:
    user: Scope = ("user", "u")
    limited = engine(
        Rule("user", Limits((Rate(9, 60),), (Rate(99, 60),), 9, (Budget(9 * USD),), 9)),
        Rule("team", Limits(concurrency=0)),
    )
    limited.settle(limited.admit(ask(user)), ())
    before = [vars_of(limited)]
    with pytest.raises(LimitReached, match="concurrency of this team"):
        limited.admit(ask(user, TEAM, nanousd=USD))
    assert [vars_of(limited)] == before


def vars_of(limited: Embedded) -> list[object]:
    return [
        (gauge.active, gauge.steps, counter.current, counter.previous, pot.held, pot.settled)
        for gauge in limited.gauges()
        for counter in (*gauge.requests, *gauge.tokens)
        for purse in gauge.purses
        for pot in purse.pots()
    ]


def test_steps_of_a_conversation_end_for_good() -> None:
    limited = engine(Rule("conversation", Limits(steps=1)))
    talk: Scope = ("conversation", "c")
    limited.settle(limited.admit(ask(talk)), ())
    with pytest.raises(StepsReached) as caught:
        limited.admit(ask(talk))
    assert caught.value.retry_after_s is None


def test_a_spent_budget_says_what_is_left_and_when_its_next_period_begins() -> None:
    limited = engine(Rule("team", Limits(budgets=(Budget(10 * USD, "day"),))))
    limited.settle(limited.admit(ask(nanousd=9 * USD)), [Spent("p", 1, 9 * USD)])
    with pytest.raises(BudgetReached, match=r"usd_per_day.*\$10\.00, \$1\.00 left") as caught:
        limited.admit(ask(nanousd=2 * USD))
    assert caught.value.retry_after_s == DAY_S / 2


def test_request_that_no_budget_would_fit_is_told_so_and_what_may() -> None:
    limited = engine(Rule("team", Limits(budgets=(Budget(10 * USD, "day"),))))
    with pytest.raises(BudgetReached) as caught:
        limited.admit(ask(nanousd=11 * USD))
    assert caught.value.message == (
        "The request may cost up to $11.00, more than usd_per_day of this team allows at all"
        " ($10.00): trying again cannot help, a shorter answer (`max_tokens`) may."
    )
    assert caught.value.retry_after_s is None


def test_money_that_is_only_held_may_be_asked_for_again_soon() -> None:
    limited = engine(Rule("team", Limits(budgets=(Budget(10 * USD, "total"),))))
    running = limited.admit(ask(nanousd=9 * USD))
    with pytest.raises(BudgetReached, match="Running requests hold") as caught:
        limited.admit(ask(nanousd=2 * USD))
    assert caught.value.retry_after_s == 1.0
    limited.settle(running, [Spent("p", 1, USD)])
    limited.admit(ask(nanousd=9 * USD))


def test_what_costs_nothing_needs_no_money() -> None:
    limited = engine(Rule("team", Limits(budgets=(Budget(USD),))))
    limited.settle(limited.admit(ask(nanousd=USD)), [Spent("p", 1, 2 * USD)])
    limited.admit(ask(nanousd=0))


def test_nothing_that_a_budget_covers_is_admitted_before_its_balances_are_known() -> None:
    limited = Embedded([Rule("team", Limits(budgets=(Budget(USD),)))], monotonic=Time())
    with pytest.raises(LimitsUnavailable):
        limited.admit(ask())
    limited.admit(ask(("user", "u")))
    limited.restore(())
    limited.admit(ask())


def test_a_charge_above_its_hold_is_recorded_and_counted() -> None:
    limited = engine(Rule("team", Limits(budgets=(Budget(10 * USD),))))
    limited.settle(limited.admit(ask(nanousd=USD)), [Spent("p", 1, 9 * USD)])
    assert limited.exceeded == 1
    with pytest.raises(BudgetReached):
        limited.admit(ask(nanousd=2 * USD))


def test_each_provider_is_charged_with_what_was_spent_there() -> None:
    budgets = Limits(budgets=(Budget(100),))
    limited = engine(Rule("provider", budgets), Rule("team", budgets))
    ticket = limited.admit(ask(TEAM, ("provider", "p"), nanousd=10))
    limited.extend(ticket, [("provider", "q")], 0, 10)
    assert ticket.held_nanousd == 20
    limited.settle(ticket, [Spent("p", 1, 4), Spent("q", 1, 7)])
    settled = {gauge.scope[1]: gauge.purses[0].pot.settled for gauge in limited.gauges()}
    assert settled == {"secret-name": 11, "p": 4, "q": 7}
    assert all(gauge.purses[0].pot.held == 0 for gauge in limited.gauges())


def test_a_refused_extension_leaves_the_ticket_as_it_was() -> None:
    limited = engine(
        Rule("team", Limits(budgets=(Budget(100),))), Rule("provider", Limits(concurrency=0), "q")
    )
    ticket = limited.admit(ask(nanousd=10))
    with pytest.raises(LimitReached, match="concurrency"):
        limited.extend(ticket, [("provider", "q")], 0, 10)
    with pytest.raises(BudgetReached):
        limited.extend(ticket, [], 0, 91)
    assert ticket.held_nanousd == 10
    limited.settle(ticket, [Spent("p", 1, 10)])
    limited.admit(ask(nanousd=90))


def test_a_ticket_tells_what_is_left_of_the_tightest_limit() -> None:
    limited = engine(
        Rule("team", Limits((Rate(100, 60),), (Rate(1_000, 60),))),
        Rule("user", Limits((Rate(5, 3_600),))),
    )
    ticket = limited.admit(ask(TEAM, ("user", "u"), tokens=40))
    assert ticket.requests == Left(5, 4, 7_200 - 1_200)
    assert ticket.tokens == Left(1_000, 960, 120)
    assert limited.admit(ask(("feature", "f"))).requests is None


def test_a_lease_that_nobody_ended_ends_by_itself() -> None:
    time = Time()
    limited = engine(Rule("team", Limits(concurrency=1, budgets=(Budget(100),))), time=time)
    lost = limited.admit(ask(nanousd=60, expires_s=30))
    time.now_s += 29
    with pytest.raises(LimitReached, match="concurrency"):
        limited.admit(ask())
    time.now_s += 2
    limited.settle(limited.admit(ask()), ())
    with pytest.raises(BudgetReached):
        limited.admit(ask(nanousd=60))
    limited.settle(lost, [Spent("p", 1, 10)])
    limited.settle(limited.admit(ask(nanousd=90)), ())


def test_what_is_limited_and_paid_is_known_without_any_request() -> None:
    limited = engine(
        Rule("team", Limits(concurrency=1)), Rule("user", Limits(budgets=(Budget(1),)), "u")
    )
    assert limited.limited([("key", "k"), TEAM])
    assert not limited.limited([("key", "k"), ("user", "v")])
    assert limited.paid([TEAM, ("user", "u")])
    assert not limited.paid([TEAM, ("user", "v")])


def test_a_budget_whose_soft_share_is_spent_names_its_downgrade() -> None:
    budget = Budget(100, "day", downgrade="cheap")
    limited = engine(Rule("team", Limits(budgets=(budget,))))
    ticket = limited.admit(ask(nanousd=80))
    assert limited.soft([TEAM], NOON_NS) is None
    limited.settle(ticket, [Spent("p", 1, 80)])
    assert limited.soft([TEAM], NOON_NS) == budget
    assert limited.soft([TEAM], NOON_NS + DAY_S * 10**9) is None


def test_a_budget_that_came_while_a_request_ran_is_charged_for_it() -> None:
    limited = engine(Rule("team", Limits(concurrency=5)))
    running = limited.admit(ask(nanousd=70))
    limited.replace([Rule("team", Limits(budgets=(Budget(100),)))])
    limited.restore(())
    limited.settle(running, [Spent("p", 1, 70)])
    with pytest.raises(BudgetReached):
        limited.admit(ask(nanousd=31))


def test_a_clock_that_goes_back_frees_nothing() -> None:
    time = Time()
    limited = engine(Rule("team", Limits((Rate(1, 60),))), time=time)
    limited.settle(limited.admit(ask()), ())
    for back_s in (30, 60, 900):
        time.now_s = 1_200.0 - back_s
        with pytest.raises(LimitReached):
            limited.admit(ask())
    time.now_s = 1_320.0
    limited.admit(ask())


def test_a_snapshot_tells_what_is_left_and_is_bounded() -> None:
    limited = engine(
        Rule("team", Limits((Rate(5, 60),), (), 3, (Budget(100, "day"),))),
        Rule("conversation", Limits(steps=4)),
    )
    limited.admit(ask(TEAM, ("conversation", "c"), nanousd=30))
    told = {one.limit: one for one in limited.snapshot(NOON_NS)}
    assert {name: (one.most, one.left) for name, one in told.items()} == {
        "requests_per_minute": (5, 4),
        "concurrency": (3, 2),
        "usd_per_day": (100, 70),
        "steps": (4, 3),
    }
    assert told["usd_per_day"].held == 30
    assert told["usd_per_day"].reset_s == DAY_S / 2
    assert len(limited.snapshot(NOON_NS, 2)) == 2


def test_a_ticket_of_another_engine_is_a_mistake() -> None:
    class Other:
        requests: Left | None = None
        tokens: Left | None = None
        held_nanousd = 0

    with pytest.raises(TypeError):
        engine().settle(Other(), ())


async def test_many_tasks_together_never_exceed_a_limit() -> None:
    limited = engine(Rule("team", Limits(concurrency=7, budgets=(Budget(1_000),))))
    draw = random.Random(4)
    running = spent = most = 0

    async def one() -> None:
        nonlocal running, spent, most
        held = draw.randint(1, 20)
        for _ in range(draw.randint(0, 20)):
            await asyncio.sleep(0)
        try:
            ticket = limited.admit(ask(nanousd=held))
        except LimitReached:
            return
        running += 1
        most = max(most, running)
        try:
            for _ in range(draw.randint(0, 5)):
                await asyncio.sleep(0)
        finally:
            cost = draw.randint(0, held)
            spent += cost
            running -= 1
            limited.settle(ticket, [Spent("p", 1, cost)])
            limited.settle(ticket, [Spent("p", 1, cost)])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(2_000)]
        for task in draw.sample(tasks, 200):
            task.cancel()
    (gauge,) = limited.gauges()
    assert most == 7
    assert (gauge.active, gauge.purses[0].pot.held) == (0, 0)
    assert gauge.purses[0].pot.settled == spent <= 1_000
    assert limited.running == 0
