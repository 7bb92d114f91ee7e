"""What scopes have spent since their periods began."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from tidegate.control.balances import balances
from tidegate.control.rows import row_of
from tidegate.limits import Balance, Budget, Limits, Period, Rule, span_of
from tidegate.store.records import RecordStore
from tidegate.store.rows import Batch, Place
from tidegate.store.sums import QUARTER_S
from tidegate.telemetry.record import Attempt, Record

SECOND_NS = 10**9
NOW_NS = int(datetime(2026, 11, 21, 14, 7, 3, tzinfo=UTC).timestamp()) * SECOND_NS
DAY_NS = 86_400 * SECOND_NS


@pytest.fixture
def store(any_store: RecordStore) -> RecordStore:
    return any_store


def put(store: RecordStore, *records: Record) -> None:
    store.insert(Batch([row_of(each, b"x") for each in records]), Place("here", "a", 1))


def record(number: int, started_ns: int, cost_nanousd: int, team: str) -> Record:
    return Record(
        f"r{number}", started_ns, "gw-0", "chat", "/", "c", team=team, cost_nanousd=cost_nanousd
    )


def a_rule(period: Period, zone: str = "UTC", name: str | None = None) -> Rule:
    return Rule("team", Limits(budgets=(Budget(10**12, period, zone),)), name)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"])
def test_balances_are_the_sums_of_the_records_of_the_period(store: RecordStore, zone: str) -> None:
    chance = random.Random(zone)
    records = [
        record(n, NOW_NS - chance.randrange(40 * DAY_NS), chance.randrange(10**9), f"t{n % 3}")
        for n in range(500)
    ]
    put(store, *records)
    periods: list[Period] = ["day", "week", "month", "total"]
    found = balances(store, [a_rule(period, zone) for period in periods], NOW_NS)
    expected: list[Balance] = []
    for period in periods:
        began_ns = span_of(Budget(1, period, zone), NOW_NS).began_ns
        for team in ("t0", "t1", "t2"):
            costs = [
                each.cost_nanousd or 0
                for each in records
                if each.team == team and each.started_ns >= began_ns
            ]
            if sum(costs):
                expected.append(Balance("team", team, period, zone, began_ns, sum(costs)))
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_rule_with_a_name_asks_for_that_one(store: RecordStore) -> None:
    put(store, record(1, NOW_NS, 5, "a"), record(2, NOW_NS, 7, "b"))
    (found,) = balances(store, [a_rule("day", name="b")], NOW_NS)
    assert (found.name, found.nanousd) == ("b", 7)
    assert len(balances(store, [a_rule("day"), a_rule("day", name="b")], NOW_NS)) == 2
    assert balances(store, [Rule("team", Limits())], NOW_NS) == []


def test_each_provider_is_charged_with_the_tries_made_there(store: RecordStore) -> None:
    tries = [
        Attempt("azure/gpt-eu", "upstream_malformed", 0.0, 1.0, cost_nanousd=4),
        Attempt("azure/gpt-eu", "upstream_malformed", 1.0, 1.0, cost_nanousd=3),
        Attempt("openai/gpt", "ok", 2.0, 1.0),
    ]
    answered = record(1, NOW_NS, 17, "a")
    answered.provider, answered.target, answered.attempts = "openai", "openai/gpt", tries
    failed = record(2, NOW_NS, 5, "a")
    failed.attempts = [Attempt("azure/gpt-eu", "upstream_malformed", 0.0, 1.0, cost_nanousd=5)]
    put(store, answered, failed)
    budgets = Limits(budgets=(Budget(10**12, "day"), Budget(10**12, "total")))
    found = balances(store, [Rule("provider", budgets), a_rule("day")], NOW_NS)
    spent = sorted((each.kind, each.name, each.period, each.nanousd) for each in found)
    assert spent == [
        ("provider", "azure", "day", 12), ("provider", "azure", "total", 12),
        ("provider", "openai", "day", 10), ("provider", "openai", "total", 10),
        ("team", "a", "day", 22),
    ]  # fmt: skip


def test_midnights_of_every_zone_are_quarters_of_an_hour() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=7 * n) for n in range(260)]
    odd = {
        name
        for name in available_timezones()
        for zone in [ZoneInfo(name)]
        for moment in moments
        if moment.astimezone(zone).utcoffset() % timedelta(seconds=QUARTER_S)  # type: ignore[operator]
    }
    assert odd == set()
