"""Admission through a real Redis: also one that is slow, gone, new, full, or was told late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from redis_gateways import (
    BUDGET,
    CAP,
    HASTY_S,
    MONEY,
    RATES,
    RUNNING,
    TEAM,
    Gateways,
    ask,
    balance,
    money,
)
from redis_server import Gate, client, gate, redis_server, until, url

from tidegate.admission import shared_link
from tidegate.admission.engine import Spent
from tidegate.admission.shared_reaper import Reaper
from tidegate.errors import BudgetReached, LimitReached, LimitsUnavailable
from tidegate.limits import Budget, Limits, OpenHold, Rule, Scope


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def asking(server: int) -> Iterator[redis.Redis]:
    with client(server) as asking:
        yield asking


@pytest.fixture
def port(server: int, asking: redis.Redis) -> int:
    """Of a Redis that holds nothing."""
    asking.flushall()
    return server


@pytest.fixture
async def gateways() -> AsyncIterator[Gateways]:
    gateways = Gateways()
    yield gateways
    await gateways.end()


@pytest.fixture
async def before(port: int) -> AsyncIterator[Gate]:
    async with gate(port) as before:
        yield before


async def test_what_one_holds_the_other_cannot_have(port: int, gateways: Gateways) -> None:
    one, two = await gateways.begin(port), await gateways.begin(port)
    ticket = await one.admit(ask(700))
    with pytest.raises(BudgetReached) as refused:
        await two.admit(ask(301))
    assert refused.value.limit == "team product usd_per_month"
    one.settle(ticket, [Spent("p", 5, 100)])
    assert await one.finish()  # Redis has been told, which nobody waits for
    assert (await two.admit(ask(900))).held_nanousd == 900


async def test_refusal_consumes_nothing(port: int, gateways: Gateways, asking: redis.Redis) -> None:
    both = [Rule("team", Limits(requests=RATES[0].limits.requests, budgets=(BUDGET,)))]
    one = await gateways.begin(port, both)
    ticket = await one.admit(ask(CAP))
    for _ in range(30):
        with pytest.raises(BudgetReached):
            await one.admit(ask(1))
    one.settle(ticket, [])
    await one.admit(ask(CAP))
    left = (await one.admit(ask(0))).requests
    assert left is not None
    assert left.remaining == 20 - 3
    assert money(asking) == (0, CAP)


async def test_second_settlement_changes_nothing(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port)
    ticket = await one.admit(ask(500))
    one.settle(ticket, [Spent("p", 5, 123)])
    ticket.settled = False
    one.settle(ticket, [Spent("p", 5, 123)])
    await one.admit(ask(0))
    assert money(asking) == (123, 0)


async def test_unlimited_scope_asks_nobody(port: int, gateways: Gateways) -> None:
    one = gateways.make(port, MONEY)
    ticket = one.admit(ask(5, scopes=[("user", "x")]))
    assert ticket.done()
    one.settle(ticket.result(), [Spent("p", 5, 5)])


async def test_scripts_that_were_flushed_are_told_again(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port)
    asking.script_flush()
    tickets = await asyncio.gather(*(one.admit(ask(10)) for _ in range(20)))
    asking.script_flush()
    for ticket in tickets:
        one.settle(ticket, [Spent("p", 5, 1)])
    await until(lambda: money(asking) == (20, 0))
    assert one.state().state == "up"


async def test_wrong_password_is_told_without_telling_it(
    port: int, gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    one = gateways.make(port, at=f"redis://:not-the-word@127.0.0.1:{port}/0")
    with caplog.at_level(logging.DEBUG, "tidegate"):
        await until(lambda: one.state().state == "down")
    assert "WRONGPASS" in one.state().reason
    assert not any("not-the-word" in str(vars(record)) for record in caplog.records)
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))


async def test_slow_redis_costs_no_more_than_the_timeout_and_then_nothing(
    before: Gate, gateways: Gateways
) -> None:
    one = await gateways.begin(before.port, timeout_s=HASTY_S)
    before.stall()
    while one.link.is_up:
        with pytest.raises(LimitsUnavailable):
            await one.admit(ask(1))
    refused = one.admit(ask(1))
    assert refused.done()
    assert isinstance(refused.exception(), LimitsUnavailable)
    before.open()
    await until(lambda: one.link.is_up)
    assert (await one.admit(ask(1))).held_nanousd == 1


async def test_pause_of_redis_itself_is_survived(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, timeout_s=HASTY_S)
    asking.execute_command("CLIENT", "PAUSE", "600", "ALL")
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(7))
    await until(lambda: one.link.is_up and money(asking) == (0, 0))


async def test_admission_that_is_answered_too_late_leaves_no_hold(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port, timeout_s=HASTY_S)
    before.stall_answers()
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(400))
    await until(lambda: money(asking) == (0, 400))
    before.open()
    await until(lambda: money(asking) == (0, 0))
    assert not asking.keys("*:hold:*")
    assert not asking.exists("{tidegate}:holds")


async def test_admission_whose_line_broke_leaves_no_hold(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port)
    before.stall_answers()
    admission = one.admit(ask(400))
    await until(lambda: money(asking) == (0, 400))
    before.cut()
    with pytest.raises(LimitsUnavailable):
        await admission
    before.open()
    await until(lambda: money(asking) == (0, 0))


async def test_caller_who_leaves_while_asking_leaves_no_hold(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port)
    before.stall_answers()
    admission = asyncio.create_task(_awaited(one.admit(ask(400))))
    await until(lambda: money(asking) == (0, 400))
    admission.cancel()
    await asyncio.wait([admission])
    before.open()
    await until(lambda: money(asking) == (0, 0))


async def _awaited(future: Awaitable[object]) -> object:
    return await future


async def test_settlement_that_could_not_be_told_is_told_later(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port)
    ticket = await one.admit(ask(400))
    before.stall()
    one.settle(ticket, [Spent("p", 5, 77)])
    await asyncio.sleep(0)
    before.cut()
    await until(lambda: not one.link.is_up)
    before.open()
    await until(lambda: money(asking) == (77, 0))
    await until(lambda: len(one.untold) == 0)


async def test_settlement_that_was_heard_but_not_answered_counts_once(
    before: Gate, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(before.port)
    ticket = await one.admit(ask(400))
    before.stall_answers()
    one.settle(ticket, [Spent("p", 5, 77)])
    await until(lambda: money(asking) == (77, 0))
    before.cut()
    await until(lambda: not one.link.is_up)
    before.open()
    await until(lambda: one.link.is_up and len(one.untold) == 0)
    await one.admit(ask(0))
    assert money(asking) == (77, 0)


async def test_full_redis_is_a_lost_one_until_it_has_room(
    port: int, gateways: Gateways, asking: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one = await gateways.begin(port)
    asking.config_set("maxmemory", "1")
    try:
        while one.link.is_up:
            with pytest.raises(LimitsUnavailable):
                await one.admit(ask(1))
    finally:
        asking.config_set("maxmemory", "0")
    assert "OOM" in one.state().reason
    await until(lambda: one.link.is_up)
    assert "limits cannot be shared: Redis is lost" in caplog.text


async def test_redis_that_may_evict_is_warned_of(
    port: int, gateways: Gateways, asking: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    asking.config_set("maxmemory", "100mb")
    asking.config_set("maxmemory-policy", "allkeys-lru")
    try:
        await gateways.begin(port)
    finally:
        asking.config_set("maxmemory-policy", "noeviction")
        asking.config_set("maxmemory", "0")
    assert "maxmemory-policy" in caplog.text


async def test_everything_but_totals_expires_some_day(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    total = Budget(CAP, "total")
    limits = Limits(
        requests=RATES[0].limits.requests, concurrency=5, steps=9, budgets=(BUDGET, total)
    )
    one = await gateways.begin(port, [Rule("team", limits)], balances=[balance(3, total)])
    one.settle(await one.admit(ask(9)), [Spent("p", 5, 5)])
    await one.admit(ask(9))
    names: list[bytes] = asking.keys("*")  # pyright: ignore[reportAssignmentType]
    for name in names:
        lives = asking.pttl(name)
        for_ever = b":total:" in name or name.endswith((b":epoch", b":known", b":holds"))
        assert (lives == -1) == for_ever, name


# A Redis that knows nothing.


async def test_no_money_is_admitted_before_balances_have_come_but_rates_are(
    port: int, gateways: Gateways
) -> None:
    limits = [*RATES, Rule("user", Limits(budgets=(BUDGET,)))]
    one = await gateways.begin(port, limits, balances=None)
    assert one.incomplete
    await one.admit(ask())
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(scopes=[TEAM, ("user", "x")]))
    assert gateways.asked == 1
    one.restore([balance(0)])
    await until(lambda: not one.incomplete)
    await one.admit(ask(scopes=[TEAM, ("user", "x")]))


async def test_two_who_bring_balances_do_not_double_them(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    many = [balance(1, scope=("team", f"t{n}")) for n in range(1_200)]
    one = await gateways.begin(port, balances=None)
    two = await gateways.begin(port, balances=None)
    one.restore([balance(600), *many])
    two.restore([balance(600), *many])
    await until(lambda: not one.incomplete and not two.incomplete)
    assert money(asking) == (1_800, 0)
    two.settle(await two.admit(ask(10)), [Spent("p", 5, 10)])
    one.restore([balance(5)])
    three = await gateways.begin(port, balances=[balance(5)])
    await three.admit(ask(0))
    assert money(asking) == (1_810, 0)
    assert gateways.asked == 2


@pytest.mark.parametrize("turns", range(12))
async def test_it_ends_in_whichever_turn_it_is_told_to(
    port: int, gateways: Gateways, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_link, "EVERY_S", 0.0)  # so that every kind of turn is among these
    await gateways.begin(port)
    for _ in range(turns):
        await asyncio.sleep(0)
    [running] = gateways.running
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=60)
    assert done == {running}


async def test_redis_that_was_wiped_knows_again_what_runs_and_what_was_spent(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, balances=[balance(300)])
    assert money(asking) == (300, 0)
    running = await one.admit(ask(400))
    over = await one.admit(ask(100))
    asking.flushall()
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))
    await until(lambda: not one.incomplete and money(asking) == (300, 500))
    with pytest.raises(BudgetReached):
        await one.admit(ask(201))
    one.settle(running, [Spent("p", 5, 44)])
    one.settle(over, [Spent("p", 5, 1)])
    await until(lambda: money(asking) == (345, 0))


async def test_what_was_settled_while_redis_knew_nothing_counts_once(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, balances=None)
    one.restore([])
    await until(lambda: not one.incomplete)
    early, late = await one.admit(ask(100)), await one.admit(ask(100))
    asking.flushall()
    one.settle(early, [Spent("p", 5, 40)])  # is in the balances that are asked for from now on
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))
    await until(lambda: gateways.asked == 2)
    one.settle(late, [Spent("p", 5, 7)])  # is not
    one.restore([balance(40)])
    await until(lambda: not one.incomplete and len(one.untold) == 0)
    await one.admit(ask(0))
    assert money(asking) == (47, 0)


async def test_what_was_settled_while_no_budget_stood_counts_once(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, balances=None)
    one.restore([])
    await until(lambda: not one.incomplete)
    running = await one.admit(ask(100))
    asking.flushall()
    one.replace(RUNNING)
    await until(lambda: one._epoch is None)
    one.settle(running, [Spent("p", 5, 40)])
    await one.admit(ask())  # is asked after it
    one.replace(MONEY)
    await until(lambda: gateways.asked == 2)
    one.restore([balance(40)])
    await until(lambda: not one.incomplete and len(one.untold) == 0)
    await one.admit(ask())
    assert money(asking) == (40, 0)


async def test_redis_that_was_restarted_empty_is_told_again(
    tmp_path: Path, gateways: Gateways
) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(redis_server(tmp_path))
        one = await gateways.begin(port, balances=[balance(300)])
        running = await one.admit(ask(400))
        stack.close()
        await until(lambda: not one.link.is_up)
        one.settle(running, [Spent("p", 5, 50)])
        stack.enter_context(redis_server(tmp_path, port))
        # What it settled meanwhile was before balances were asked for: so it is in them.
        await until(lambda: one.link.is_up and not one.incomplete and len(one.untold) == 0)
        with client(port) as asking:
            assert money(asking) == (300, 0)
        with pytest.raises(BudgetReached):
            await one.admit(ask(701))


async def test_open_holds_of_others_are_held_again(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, balances=None)
    held = OpenHold("req_of_the_dead", 1.0, (balance(250), balance(250, scope=("provider", "p"))))
    one.restore([balance(100)], holds=[held])
    await until(lambda: not one.incomplete)
    assert money(asking) == (100, 500)
    reaper = Reaper(url(port), grace_s=0)
    (overdue,) = await reaper.overdue()
    assert (overdue.request_id, overdue.held_nanousd) == ("req_of_the_dead", 250)
    assert await reaper.settle_lost(overdue.request_id, [Spent("p", 3, 20)])
    assert not await reaper.settle_lost(overdue.request_id, [Spent("p", 3, 20)])
    assert await reaper.overdue() == []
    assert money(asking) == (140, 0)
    reaper.close()


async def test_a_budget_that_came_after_balances_were_asked_for_waits_for_its_own(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, balances=None)
    awaited = one.awaited
    day = Budget(CAP, "day")
    one.replace([*MONEY, Rule("user", Limits(budgets=(day,)))])
    one.restore([balance(100)], awaited=awaited)  # an answer that knows nothing of users
    await until(lambda: not one.awaited & awaited)
    assert money(asking) == (100, 0)
    await one.admit(ask(1))
    user: Scope = ("user", "a")
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1, scopes=(user,)))
    await until(lambda: gateways.asked == 2)
    one.restore([balance(100), balance(CAP, day, user)], awaited=one.awaited)
    await until(lambda: not one.incomplete)
    with pytest.raises(BudgetReached):
        await one.admit(ask(1, scopes=(user,)))


async def test_new_budget_waits_for_its_balance(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port, RUNNING, balances=None)
    running = await one.admit(ask(100))
    one.replace(MONEY)
    with pytest.raises(LimitsUnavailable):
        await one.admit(ask(1))
    await until(lambda: gateways.asked == 1)
    one.restore([balance(900)])
    await until(lambda: not one.incomplete)
    one.settle(running, [Spent("p", 5, 60)])
    with pytest.raises(BudgetReached):
        await one.admit(ask(50))
    assert money(asking) == (960, 0)


async def test_lease_of_a_request_that_never_ends_is_free_after_its_time(
    port: int, gateways: Gateways
) -> None:
    one = await gateways.begin(port, RUNNING)
    await one.admit(ask(expires_s=600.0))
    await one.admit(ask(expires_s=0.2))
    with pytest.raises(LimitReached) as refused:
        await one.admit(ask())
    assert refused.value.limit == "team product concurrency"
    async with asyncio.timeout(60):
        while True:
            try:
                await one.admit(ask())
            except LimitReached:
                continue
            break
    with pytest.raises(LimitReached):
        await one.admit(ask())


async def test_request_without_limits_may_come_under_some_later(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    rules = [Rule("provider", Limits(budgets=(BUDGET,)))]
    one = await gateways.begin(port, rules)
    ticket = await one.admit(ask(100))
    assert ticket.held_nanousd == 0
    await one.extend(ticket, [("provider", "p")], 5, 50)
    assert ticket.held_nanousd == 150
    assert money(asking) == (0, 150)
    one.settle(ticket, [Spent("p", 5, 70), Spent("q", 5, 7)])
    await until(lambda: money(asking) == (70, 0))


async def test_process_that_ends_tells_everything_first(
    port: int, gateways: Gateways, asking: redis.Redis
) -> None:
    one = await gateways.begin(port)
    tickets = [await one.admit(ask(10)) for _ in range(50)]
    for ticket in tickets:
        one.settle(ticket, [Spent("p", 5, 1)])
    assert await one.finish()
    assert money(asking) == (50, 0)


async def test_process_that_ends_without_redis_does_not_wait_for_it(
    before: Gate, gateways: Gateways
) -> None:
    one = await gateways.begin(before.port)
    ticket = await one.admit(ask(10))
    before.stall()
    one.settle(ticket, [])
    assert not await one.finish(patience_s=0.05)
    before.cut()
    await until(lambda: not one.link.is_up)
    assert not await one.finish(patience_s=60)
