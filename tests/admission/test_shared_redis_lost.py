"""What goes on without Redis: a share of each limit, told to it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis_gateways import BUDGET, CAP, MONEY, TEAM, Gateways, ask, balance, money
from redis_server import Gate, client, gate, redis_server, until

from tidegate.admission.engine import Spent
from tidegate.admission.shared import Shared
from tidegate.admission.shared_spare import shares
from tidegate.admission.shared_ticket import Held
from tidegate.errors import BudgetReached, LimitReached, LimitsUnavailable
from tidegate.limits import Limits, OpenHold, Rate, Rule


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def asking(server: int) -> Iterator[redis.Redis]:
    with client(server) as asking:
        asking.flushall()
        yield asking


@pytest.fixture
async def gateways() -> AsyncIterator[Gateways]:
    gateways = Gateways()
    yield gateways
    await gateways.end()


@pytest.fixture
async def before(server: int, asking: redis.Redis) -> AsyncIterator[Gate]:
    del asking
    async with gate(server) as before:
        yield before


async def lose(one: Shared, before: Gate) -> None:
    before.stall()
    before.cut()
    await until(lambda: not one.link.is_up)


async def find(one: Shared, before: Gate) -> None:
    before.open()
    await until(lambda: one.link.is_up and len(one.untold) == 0)


def test_shares_are_whole_and_at_least_one() -> None:
    limits = Limits(
        requests=(Rate(25, 60), Rate(3, 60), Rate(0, 60)), tokens=(Rate(1_000, 60),),
        concurrency=19, budgets=(BUDGET,), steps=7,
    )  # fmt: skip
    (rule,) = shares([Rule("team", limits)], 0.1)
    assert rule.limits == Limits(
        requests=(Rate(2, 60), Rate(1, 60), Rate(0, 60)), tokens=(Rate(100, 60),),
        concurrency=1, steps=7,
    )  # fmt: skip


async def test_rates_and_concurrency_go_on_with_their_share(
    before: Gate, gateways: Gateways
) -> None:
    rules = [Rule("team", Limits(requests=(Rate(20, 86_400),), concurrency=4))]
    one = await gateways.begin(before.port, rules, fail_open=True)
    await lose(one, before)
    tickets = [await one.admit(ask()) for _ in range(2)]
    with pytest.raises(LimitReached):
        await one.admit(ask())
    one.settle(tickets[0], [])
    assert (await one.admit(ask())).requests is not None


async def test_money_goes_on_with_the_share_of_what_was_left_and_is_told_afterwards(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, fail_open=True, balances=[balance(200)])
    held = await one.admit(ask(300))
    await lose(one, before)  # 500 are left, and half of that is ours
    first = await one.admit(ask(200))
    with pytest.raises(BudgetReached):
        await one.admit(ask(51))
    one.settle(first, [Spent("p", 5, 150)])
    one.settle(first, [Spent("p", 5, 150)])
    second = await one.admit(ask(100))
    with pytest.raises(BudgetReached):
        await one.admit(ask(1))
    one.settle(held, [Spent("p", 5, 30)])
    await find(one, before)
    await until(lambda: money(asking) == (380, 0))
    await one.extend(second, [], 0, 0)
    one.settle(second, [Spent("p", 5, 100)])  # admitted here, and over when Redis was back
    await until(lambda: money(asking) == (480, 0))


async def test_redis_that_comes_and_goes_gives_no_share_twice(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, fail_open=True, balances=[balance(200)])
    await lose(one, before)
    ticket = await one.admit(ask(400))
    one.settle(ticket, [Spent("p", 5, 400)])
    await find(one, before)
    await lose(one, before)  # nobody has asked for anything since
    with pytest.raises(BudgetReached):
        await one.admit(ask(201))
    running = await one.admit(ask(200))
    for _ in range(2):
        await find(one, before)
        await lose(one, before)
        with pytest.raises(BudgetReached):
            await one.admit(ask(1))
    one.settle(running, [Spent("p", 5, 100)])
    with pytest.raises(BudgetReached):
        await one.admit(ask(101))
    await one.admit(ask(100))
    await find(one, before)
    await until(lambda: money(asking) == (700, 0))


async def test_no_more_is_spent_alone_than_can_be_told_afterwards(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    rules = [*MONEY, Rule("user", Limits(requests=(Rate(20, 86_400),)))]
    one = await gateways.begin(before.port, rules, fail_open=True, balances=[balance(0)])
    one.untold.most = 20
    await lose(one, before)
    for _ in range(10):
        one.settle(await one.admit(ask(1)), [Spent("p", 5, 1)])
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))
    await one.admit(ask(scopes=[("user", "a")]))
    await find(one, before)
    await until(lambda: money(asking) == (10, 0))
    await one.admit(ask(1))
    assert one.untold.lost == 0


async def test_nothing_is_spent_of_a_budget_never_heard_of(
    before: Gate, gateways: Gateways
) -> None:
    one = await gateways.begin(before.port, fail_open=True)
    await lose(one, before)
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))


async def test_what_was_told_but_not_answered_is_charged_once(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, fail_open=True, balances=[balance(0)])
    await lose(one, before)
    ticket = await one.admit(ask(100))
    await find(one, before)
    before.stall_answers()
    one.settle(ticket, [Spent("p", 5, 60)])
    await until(lambda: money(asking) == (60, 0))
    before.cut()
    await until(lambda: not one.link.is_up)
    await find(one, before)
    assert money(asking) == (60, 0)


async def test_settlement_told_again_after_a_look_at_redis_is_charged_once(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, balances=[balance(0)])
    ticket = await one.admit(ask(100))
    one.replace([*MONEY, Rule("user", Limits(budgets=(BUDGET,)))])
    await until(lambda: not one.incomplete)  # Redis has been looked at while it was held
    before.stall_answers()
    one.settle(ticket, [Spent("p", 5, 60)])
    await until(lambda: money(asking) == (60, 0))
    before.cut()
    await until(lambda: not one.link.is_up)
    await find(one, before)
    assert money(asking) == (60, 0)


async def test_what_was_admitted_without_redis_is_charged_once_though_redis_was_told_of_it(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, fail_open=True, balances=None)
    one.restore([balance(0)])
    await until(lambda: not one.incomplete)
    await lose(one, before)
    ticket = await one.admit(ask(100))
    asking.flushall()
    before.open()
    await until(lambda: one.incomplete)
    one.restore([balance(7)], holds=[OpenHold(ticket.ask.request_id, 2e9, (balance(100),))])
    await until(lambda: not one.incomplete)
    assert money(asking) == (7, 100)
    one.settle(ticket, [Spent("p", 5, 60)])
    await until(lambda: money(asking) == (67, 0))
    assert not asking.keys("*:hold:*")


async def test_further_provider_of_a_shared_request_is_paid_without_redis(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    rules = [*MONEY, Rule("provider", Limits(budgets=(BUDGET,)))]
    known = [balance(0), *(balance(0, scope=("provider", name)) for name in "pq")]
    one = await gateways.begin(before.port, rules, fail_open=True, balances=known)
    ticket = await one.admit(ask(200, scopes=[TEAM, ("provider", "p")]))
    await lose(one, before)
    await one.extend(ticket, [("provider", "q")], 0, 100)
    assert ticket.held_nanousd == 300
    with pytest.raises(BudgetReached):
        await one.extend(ticket, [], 0, CAP)
    one.settle(ticket, [Spent("p", 5, 150), Spent("q", 5, 90)])
    await find(one, before)
    await until(lambda: money(asking) == (240 + 150 + 90, 0))


async def test_full_queue_lets_go_of_the_oldest(before: Gate, gateways: Gateways) -> None:
    one = await gateways.begin(before.port, fail_open=True, balances=[balance(0)])
    one.untold.most = 100
    await lose(one, before)
    for _ in range(103):
        one.settle(await one.admit(ask(1)), [Spent("p", 1, 0)])
    assert len(one.untold) == 0  # what cost nothing needs no telling
    nobody = Held(ask(1), [], 0, 1, 0)
    for _ in range(103):
        one.orphaned(nobody)
    assert (len(one.untold), one.untold.lost) == (100, 3)
