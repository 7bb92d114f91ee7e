"""The table of gauges: whose rule stands, and what may be forgotten."""

from __future__ import annotations

import pytest

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Spent
from tidegate.admission.scopes import OVER_S, STEP, Scopes
from tidegate.errors import LimitReached, LimitsUnavailable
from tidegate.limits import DAY_S, Balance, Budget, Limits, Rate, Rule, Scope

NOON_NS = 20_000 * DAY_S * 10**9 + DAY_S * 10**9 // 2
REQUESTS = Limits(requests=(Rate(5, 60),))
MONEY = Limits(budgets=(Budget(100, "day"),))


class Time:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def ask(*scopes: Scope, nanousd: int = 0, later_s: float = 0) -> Ask:
    return Ask("r", scopes, 1, nanousd, NOON_NS + int(later_s * 1e9), 60.0)


def test_a_rule_with_a_name_takes_the_place_of_the_one_without() -> None:
    table = Scopes([Rule("team", REQUESTS), Rule("team", MONEY, "a")], 10)
    assert table.limits(("team", "a")) is MONEY
    assert table.limits(("team", "b")) is REQUESTS
    assert table.limits(("user", "a")) == Limits()


def test_idle_scopes_make_room_for_new_ones() -> None:
    time = Time()
    engine = Embedded([Rule("user", REQUESTS)], monotonic=time, most_scopes=3)
    for number in range(50):
        engine.settle(engine.admit(ask(("user", str(number)))), ())
        time.now_s += 61
    assert sum(1 for _ in engine.gauges()) <= 3


def test_a_full_table_refuses_new_scopes_and_serves_old_ones() -> None:
    engine = Embedded([Rule("user", REQUESTS)], monotonic=Time(), most_scopes=2)
    for name in ("a", "b"):
        engine.settle(engine.admit(ask(("user", name))), ())
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "c")))
    engine.admit(ask(("user", "a")))
    engine.admit(ask(("team", "c")))


def test_money_of_a_running_period_is_never_forgotten() -> None:
    time = Time()
    engine = Embedded([Rule("user", MONEY)], monotonic=time, most_scopes=1)
    engine.restore(())
    engine.settle(engine.admit(ask(("user", "a"), nanousd=90)), [Spent("p", 1, 90)])
    time.now_s += 5_000
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "b"), nanousd=1))
    with pytest.raises(LimitReached):
        engine.admit(ask(("user", "a"), nanousd=20))


def test_money_is_forgotten_only_some_time_after_its_period() -> None:
    time = Time()
    engine = Embedded([Rule("user", MONEY)], monotonic=time, most_scopes=1)
    engine.restore(())
    engine.settle(engine.admit(ask(("user", "a"), nanousd=90)), [Spent("p", 1, 90)])
    time.now_s += 1
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "b"), nanousd=1, later_s=DAY_S))
    time.now_s += OVER_S
    engine.admit(ask(("user", "b"), nanousd=1, later_s=DAY_S))


def test_a_running_request_keeps_its_scope() -> None:
    time = Time()
    engine = Embedded([Rule("user", Limits(concurrency=1))], monotonic=time, most_scopes=1)
    running = engine.admit(ask(("user", "a")))
    time.now_s += 10
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "b")))
    engine.settle(running, ())
    time.now_s += 10
    engine.admit(ask(("user", "b")))


def test_the_longest_idle_conversation_is_forgotten_for_a_new_one() -> None:
    time = Time()
    rules = [Rule("conversation", Limits(steps=1))]
    engine = Embedded(rules, monotonic=time, most_scopes=2)
    for name in ("a", "b", "c"):
        time.now_s += 1
        engine.settle(engine.admit(ask(("conversation", name))), ())
    time.now_s += 1
    assert {gauge.scope[1] for gauge in engine.gauges()} == {"b", "c"}
    with pytest.raises(LimitReached):
        engine.admit(ask(("conversation", "c")))


def test_a_budget_that_comes_to_stand_waits_for_its_balance() -> None:
    engine = Embedded([Rule("user", REQUESTS)], monotonic=Time())
    engine.restore(())
    engine.replace([Rule("user", MONEY)])
    assert engine.incomplete
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "a"), nanousd=1))
    began_ns = NOON_NS - DAY_S * 10**9 // 2
    engine.restore([Balance("user", "a", "day", "UTC", began_ns, 95)])
    assert not engine.incomplete
    with pytest.raises(LimitReached):
        engine.admit(ask(("user", "a"), nanousd=6))
    engine.admit(ask(("user", "a"), nanousd=5))


def test_a_budget_that_came_after_balances_were_asked_for_waits_on() -> None:
    engine = Embedded([Rule("user", MONEY)], monotonic=Time())
    awaited = engine.awaited
    engine.replace([Rule("user", MONEY), Rule("user", MONEY, "a"), Rule("team", MONEY)])
    began_ns = NOON_NS - DAY_S * 10**9 // 2
    spent = [Balance("user", name, "day", "UTC", began_ns, 95) for name in ("a", "b")]
    engine.restore(spent, awaited=awaited)  # an answer that knows nothing of teams
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("team", "t"), nanousd=1))
    with pytest.raises(LimitReached):
        engine.admit(ask(("user", "b"), nanousd=6))
    spent.append(Balance("team", "t", "day", "UTC", began_ns, 100))
    engine.restore(spent, awaited=engine.awaited)
    assert not engine.incomplete
    scopes: tuple[Scope, ...] = (("team", "t"), ("user", "a"), ("user", "b"))
    for scope in scopes:
        with pytest.raises(LimitReached):
            engine.admit(ask(scope, nanousd=6))
    engine.admit(ask(("user", "b"), nanousd=5))


def test_a_budget_that_went_and_came_back_waits_for_its_balance() -> None:
    engine = Embedded([Rule("user", MONEY)], monotonic=Time())
    engine.restore(())
    engine.settle(engine.admit(ask(("user", "a"), nanousd=9)), [Spent("p", 1, 9)])
    engine.replace(())
    engine.replace([Rule("user", MONEY)])
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "a"), nanousd=1))


def test_a_scope_that_loses_its_own_rule_for_a_budget_waits_for_its_balance() -> None:
    engine = Embedded([Rule("user", MONEY), Rule("user", REQUESTS, "a")], monotonic=Time())
    engine.restore(())
    engine.admit(ask(("user", "a"), nanousd=500))
    engine.replace([Rule("user", MONEY)])
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("user", "a"), nanousd=1))
    engine.admit(ask(("user", "b"), nanousd=1))


def test_a_changed_limit_counts_at_once_and_keeps_what_was_counted() -> None:
    engine = Embedded([Rule("user", REQUESTS)], monotonic=Time())
    for _ in range(5):
        engine.settle(engine.admit(ask(("user", "a"))), ())
    engine.replace([Rule("user", Limits(requests=(Rate(6, 60),)))])
    engine.admit(ask(("user", "a")))
    with pytest.raises(LimitReached):
        engine.admit(ask(("user", "a")))


def many(nanousd: int) -> list[Balance]:
    began_ns = NOON_NS - DAY_S * 10**9 // 2
    names = [f"u{number}" for number in range(5 * STEP)]
    return [Balance("user", name, "day", "UTC", began_ns, nanousd) for name in names]


def is_admitted(engine: Embedded, name: str, nanousd: int) -> bool:
    try:
        engine.settle(engine.admit(ask(("user", name), nanousd=nanousd)), ())
    except (LimitReached, LimitsUnavailable):
        return False
    return True


def test_nobody_is_let_in_before_the_last_balance_is_there() -> None:
    engine = Embedded([Rule("user", MONEY)], monotonic=Time())
    steps = engine.restoring(many(95))
    for _ in range(4):
        next(steps)
        assert engine.incomplete
        assert not any(is_admitted(engine, name, 1) for name in ("u0", f"u{5 * STEP - 1}", "new"))
    for _ in steps:  # all is known, and taken in force step by step
        assert not is_admitted(engine, "u0", 6)
    assert not engine.incomplete
    assert [is_admitted(engine, "u0", nanousd) for nanousd in (6, 5)] == [False, True]
    assert is_admitted(engine, "new", 100)


def test_balances_outlast_rules_that_change_while_they_are_taken_in() -> None:
    engine = Embedded([Rule("user", MONEY)], monotonic=Time())
    steps = engine.restoring(many(95))
    next(steps)
    engine.replace([])  # what is in is dropped
    engine.replace([Rule("user", MONEY)])
    next(steps)
    engine.replace([Rule("user", MONEY), Rule("team", MONEY)])  # what is in stays
    for _ in steps:
        pass
    assert [is_admitted(engine, name, 6) for name in ("u0", f"u{5 * STEP - 1}")] == [False, False]
    assert [is_admitted(engine, name, 5) for name in ("u0", f"u{5 * STEP - 1}")] == [True, True]
    with pytest.raises(LimitsUnavailable):
        engine.admit(ask(("team", "a"), nanousd=1))
