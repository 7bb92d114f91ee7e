"""Each rule as it is shipped: what it finds, and what it does not at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tidegate.alerts.facts import (
    BudgetFact,
    Caching,
    Disk,
    Drifted,
    Facts,
    FeatureCost,
    Gateways,
    Heard,
    Load,
    OpenBreaker,
    Spending,
    StuckSink,
    Traffic,
)
from tidegate.alerts.machine import Finding
from tidegate.alerts.measures import MEASURES, find
from tidegate.alerts.objectives import ALL_WINDOWS_S, Burn, Events
from tidegate.alerts.rules import DEFAULTS

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
USD = 10**9
ALL = tuple(DEFAULTS.values())


def found(name: str, facts: Facts) -> list[Finding]:
    findings = find([DEFAULTS[name]], facts)[name]
    assert findings is not None
    return findings


def traffic(**fields: Any) -> Facts:
    return Facts(traffic={"fast": Traffic(**fields)})


def heard(usual: Heard | None = None, **fields: Any) -> Facts:
    return Facts(heard={"fast": a_heard(usual=usual, **fields)})


def a_heard(**fields: Any) -> Heard:
    usually: dict[str, Any] = {
        "answers": 100, "p50_s": 1.0, "p99_s": 2.0, "queue_p95_s": 0.0, "truncated": 0.0,
        "refused": 0.0, "overloaded": 0.0,
    }  # fmt: skip
    return Heard(**{**usually, **fields})


def spending(**fields: Any) -> Facts:
    usually: dict[str, Any] = {
        "hour_nanousd": 0, "usual_nanousd": None, "users": {}, "features": {},
    }  # fmt: skip
    return Facts(spending=Spending(**{**usually, **fields}))


def users(most: float) -> Facts:
    return spending(users={"ann": round(most * USD), **{f"u{n}": USD // 5 for n in range(5)}})


def caching(share: float, before: float = 0.5, requests: int = 50) -> Facts:
    return Facts(caching={"fast": Caching(requests, share, 500, before)})


def load(**fields: Any) -> Facts:
    usually: dict[str, Any] = {"worker": "gw-0", "lag_s": 0.0, "let_in": 1.0, "pending_bytes": 0}
    return Facts(loads=(Load(**{**usually, **fields}),))


def burn(long: Events, short: Events, long_s: float, short_s: float) -> Facts:
    nothing = dict.fromkeys(ALL_WINDOWS_S, Events(0, 0))
    windows = {**nothing, long_s: long, short_s: short}
    return Facts(burns={("fast", "availability"): Burn(0.99, 2_592_000.0, long, windows)})


def fast(long: Events, short: Events) -> Facts:
    return burn(long, short, 3_600.0, 300.0)


def disk(free: int) -> Facts:
    return Facts(disks=(Disk("spool", free, 1_000),))


def drifted(effect: float, signal: str = "feedback") -> Facts:
    return Facts(drifted=(Drifted("fast", "gpt 7", signal, 0.5, 0.9, effect),))


FIRES: list[tuple[str, Facts, Facts]] = [
    ("errors", traffic(requests=500, failed=6), traffic(requests=500, failed=5)),
    ("errors", traffic(requests=5, failed=5), traffic(requests=4, failed=4)),
    ("latency-p99", heard(p99_s=30.1), heard(p99_s=30.0)),
    ("latency-p99", heard(p99_s=31.0, answers=20), heard(p99_s=31.0, answers=19)),
    ("latency-p50", heard(p50_s=10.1), heard(p50_s=10.0)),
    ("latency-jump", heard(a_heard(p99_s=2.0), p99_s=6.1), heard(a_heard(p99_s=2.0), p99_s=6.0)),
    ("latency-jump", heard(a_heard(p99_s=0.3), p99_s=1.1), heard(a_heard(p99_s=0.3), p99_s=1.0)),
    ("latency-jump", heard(a_heard(), p99_s=9.0), heard(None, p99_s=9.0)),
    (
        "throughput-drop",
        traffic(requests=9, lately=14, usual=50.0),
        traffic(requests=9, lately=15, usual=50.0),
    ),
    (
        "throughput-drop",
        traffic(requests=0, lately=0, usual=50.0),
        traffic(requests=0, lately=0, usual=49.0),
    ),
    ("queue-wait", heard(queue_p95_s=2.1), heard(queue_p95_s=2.0)),
    ("overloaded", heard(overloaded=0.02), heard(overloaded=0.01)),
    ("limited", traffic(requests=100, limited=21), traffic(requests=100, limited=20)),
    ("truncation", heard(truncated=0.11), heard(truncated=0.1)),
    (
        "refusals",
        heard(a_heard(refused=0.02), refused=0.07),
        heard(a_heard(refused=0.02), refused=0.06),
    ),
    ("refusals", heard(a_heard(), refused=0.02), heard(a_heard(), refused=0.01)),
    (
        "personal-data",
        heard(a_heard(personal=0.2), personal=0.61),
        heard(a_heard(personal=0.2), personal=0.6),
    ),
    ("personal-data", heard(a_heard(), personal=0.06), heard(a_heard(), personal=0.05)),
    (
        "leaked-credentials",
        heard(a_heard(), credentials=0.02),
        heard(a_heard(), credentials=0.02, answers=49),
    ),
    ("leaked-credentials", heard(a_heard(), credentials=0.02), heard(None, credentials=0.02)),
    ("quality-drift", drifted(1.0), drifted(0.99)),
    ("quality-drift", drifted(1.5, "output_length"), Facts(drifted=())),
    ("quality-drift", drifted(1.5, "similarity"), Facts(drifted=())),
    ("breaker-open", Facts(breakers=(OpenBreaker("a/b", 1, "5 failures"),)), Facts(breakers=())),
    ("account-retired", Facts(retired=(("openai", "second"),)), Facts(retired=())),
    ("redis-lost", Facts(redis=(("gw-0", ""),)), Facts(redis=())),
    ("records-not-loaded", Facts(loading="disk full"), Facts(loading="")),
    ("records-waiting", Facts(waiting_bytes=(128 << 20) + 1), Facts(waiting_bytes=128 << 20)),
    ("price-missing", traffic(requests=1, unpriced=1), traffic(requests=1)),
    (
        "spend-rate",
        spending(hour_nanousd=10 * USD, usual_nanousd=USD),
        spending(hour_nanousd=10 * USD - 1, usual_nanousd=USD),
    ),
    (
        "spend-rate",
        spending(hour_nanousd=USD, usual_nanousd=1),
        spending(hour_nanousd=USD - 1, usual_nanousd=1),
    ),
    (
        "spend-rate",
        spending(hour_nanousd=USD, usual_nanousd=1),
        spending(hour_nanousd=USD, usual_nanousd=None),
    ),
    ("user-cost", users(2.01), users(2.0)),
    ("user-cost", users(2.01), spending(users={"ann": 900 * USD, "ben": 1})),
    (
        "feature-cost",
        spending(features={"chat": FeatureCost(100, 200, 100, 100)}),
        spending(features={"chat": FeatureCost(100, 199, 100, 100)}),
    ),
    (
        "feature-cost",
        spending(features={"chat": FeatureCost(100, 200, 100, 100)}),
        spending(features={"chat": FeatureCost(99, 999, 100, 100)}),
    ),
    (
        "slo-fast-burn",
        fast(Events(1000, 145), Events(10, 2)),
        fast(Events(1000, 144), Events(9, 9)),
    ),
    ("slo-fast-burn", fast(Events(20, 9), Events(10, 2)), fast(Events(1000, 999), Events(9, 1))),
    ("slo-fast-burn", fast(Events(20, 9), Events(1, 1)), fast(Events(19, 19), Events(9, 9))),
    ("slo-fast-burn", fast(Events(20, 9), Events(1, 1)), fast(Events(99, 99), Events(0, 0))),
    (
        "slo-burn",
        burn(Events(1000, 61), Events(10, 1), 21_600.0, 1_800.0),
        burn(Events(1000, 60), Events(10, 1), 21_600.0, 1_800.0),
    ),
    (
        "slo-slow-burn",
        burn(Events(1000, 11), Events(10, 1), 259_200.0, 21_600.0),
        burn(Events(1000, 10), Events(10, 1), 259_200.0, 21_600.0),
    ),
    ("cache-drop", caching(0.24), caching(0.25)),
    ("cache-drop", caching(0.0, 0.1), caching(0.0, 0.09)),
    ("cache-drop", caching(0.0), caching(0.0, requests=49)),
    ("store-lost", Facts(store="it is full"), Facts(store="")),
    ("spool-not-written", load(pending_bytes=1), load()),
    ("disk-filling", disk(99), disk(100)),
    ("sink-stuck", Facts(sinks=(StuckSink("traces", "it answered 500", 7),)), Facts(sinks=())),
    ("queue-depth", Facts(queues={"p/m": 101}), Facts(queues={"p/m": 100})),
    ("loop-lag", load(lag_s=0.105), load(lag_s=0.1)),
    ("shedding", load(let_in=0.95), load()),
    ("process-restarting", Facts(restarts={"gw-0": 3}), Facts(restarts={"gw-0": 2})),
    ("gateways-missing", Facts(gateways=Gateways(1, 2)), Facts(gateways=Gateways(2, 2))),
    ("model-retires", Facts(retiring={"gpt-x": 90.0}), Facts(retiring={"gpt-x": 90.1})),
]


@pytest.mark.parametrize(("name", "bad", "good"), FIRES)
def test_rule_fires_beyond_its_edge_and_not_before(name: str, bad: Facts, good: Facts) -> None:
    (finding,) = found(name, bad)
    assert finding.summary.endswith((".", "full"))
    assert found(name, good) == []


def test_signal_that_drifted_is_told_once_where_it_is_farthest_off() -> None:
    facts = Facts(
        drifted=(
            Drifted("fast", "", "format_compliance", 0.9, 0.99, 1.5),
            Drifted("fast", "gpt 7", "format_compliance", 0.5, 0.99, 4.0),
            Drifted("slow", "", "output_length", 1_200.0, 300.0, 2.0),
        )
    )
    form, length = found("quality-drift", facts)
    assert form.labels == {"alias": "fast", "signal": "format_compliance"}
    assert form.summary == (
        "fast (gpt 7): 50.0% answers with the form that was asked for, 99.0% in the week before."
    )
    assert length.summary == (
        "slow: answers have 1,200 tokens on the median, 300 in the week before."
    )


def test_every_rule_is_tried_at_its_edge() -> None:
    assert {name for name, _, _ in FIRES} | {"budget"} == DEFAULTS.keys() == MEASURES.keys()


def test_what_could_not_be_measured_is_neither_bad_nor_good() -> None:
    nothing = Facts(loading=None)
    assert set(find(ALL, nothing).values()) == {None}


def test_a_disk_with_next_to_nothing_free_is_for_tonight() -> None:
    severities = [found("disk-filling", disk(free))[0].severity for free in (24, 25)]
    assert severities == ["page", None]


def test_a_lost_store_is_told_of_by_itself_and_not_as_records_that_are_not_loaded() -> None:
    facts = Facts(loading="no such disk", store="no such disk")
    assert found("records-not-loaded", facts) == []
    assert len(found("store-lost", facts)) == 1


@pytest.mark.parametrize(("bad", "left"), [(0, 1.0), (1, 0.9), (5, 0.5), (10, 0.0), (20, -1.0)])
def test_of_an_error_budget_is_left_what_was_not_used(bad: int, left: float) -> None:
    assert Burn(0.99, 86_400.0, Events(1_000, bad), {}).left == pytest.approx(left)


def test_of_an_objective_that_nothing_was_asked_of_all_is_left() -> None:
    assert Burn(0.99, 86_400.0, Events(0, 0), {}).left == 1.0


def test_traffic_that_stops_wholly_is_for_tonight() -> None:
    (finding,) = found("throughput-drop", traffic(requests=0, lately=0, usual=60.0))
    assert finding.severity == "page"


def test_of_an_alias_that_asked_nothing_no_share_is_taken() -> None:
    assert found("errors", traffic(requests=0)) == []


def budget(spent: int, limit: int = 100, **fields: Any) -> BudgetFact:
    return BudgetFact("team", "product", "month", "UTC", 7, limit, spent, **fields)


def steps(fact: BudgetFact) -> list[tuple[float, bool]]:
    """The shares that are passed, and whether something is said of each."""
    findings = found("budget", Facts(budgets=(fact,)))
    return sorted((each.threshold, bool(each.summary)) for each in findings)


@pytest.mark.parametrize(
    ("spent", "passed"),
    [
        (49, []),
        (50, [(0.5, True)]),
        (79, [(0.5, True)]),
        (80, [(0.5, False), (0.8, True)]),
        (99, [(0.5, False), (0.8, True)]),
        (100, [(0.5, False), (0.8, False), (1.0, True)]),
    ],
)
def test_only_the_highest_share_that_is_passed_is_told(
    spent: int, passed: list[tuple[float, bool]]
) -> None:
    assert steps(budget(spent)) == passed


def test_a_budget_that_refuses_is_as_good_as_spent_if_it_nearly_is() -> None:
    assert (1.0, True) in steps(budget(97, refusing=True))
    assert steps(budget(60, refusing=True)) == [(0.5, True)]


def test_of_a_budget_of_nothing_nothing_is_left() -> None:
    assert (1.0, True) in steps(budget(0, 0))


def test_shares_have_their_gravity() -> None:
    severities = [
        max(found("budget", Facts(budgets=(budget(spent),))), key=lambda each: each.threshold)
        for spent in (50, 80, 100)
    ]
    assert [each.severity for each in severities] == ["info", "ticket", "page"]


def test_each_period_and_amount_is_told_of_anew() -> None:
    facts = (
        budget(50),
        BudgetFact("team", "product", "month", "UTC", 8, 100, 50),
        budget(100, 200),
    )
    assert len({each.once for each in found("budget", Facts(budgets=facts))}) == 3


@given(st.integers(0, 300), st.integers(0, 200), st.booleans())
def test_a_share_that_is_passed_stays_passed(spent: int, more: int, refusing: bool) -> None:
    before = {share for share, _ in steps(budget(spent, refusing=refusing))}
    assert before <= {share for share, _ in steps(budget(spent + more, refusing=refusing))}


@pytest.mark.parametrize("name", DEFAULTS)
def test_rule_has_a_runbook_that_says_it_all(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        f"# {name}", "## Symptom", "## First minute", "## Diagnosis", "## Fix", "## Aftermath",
    ]  # fmt: skip


def test_the_page_of_alerts_names_every_rule() -> None:
    page = (RUNBOOKS.parent / "how-to" / "be-told.md").read_text(encoding="utf-8")
    assert [name for name in DEFAULTS if f"`{name}`" not in page] == []


def test_a_threshold_is_the_operators_to_set() -> None:
    tuned = replace(DEFAULTS["errors"], threshold=0.5)
    assert find([tuned], traffic(requests=100, failed=30)) == {"errors": []}
