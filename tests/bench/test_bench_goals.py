"""Which goals a report reaches."""

from __future__ import annotations

import math
from typing import Any

from bench.goals import Goal, goals


def _throughput(name: str, connections: int, **ratios: float) -> dict[str, Any]:
    to = {peer: {"median": ratio} for peer, ratio in ratios.items()}
    return {"name": name, "connections": connections, "ratio_to": to}


def test_ratio_goals_are_read_at_the_headline_load_and_for_peers_that_took_part() -> None:
    rows = [
        _throughput("tidegate", 32, nginx=0.5, smg=1.2),
        _throughput("tidegate", 64, nginx=0.1),
        _throughput("smg", 32, nginx=0.3),
    ]
    reached = goals({"throughput": rows})
    assert [(goal.measured, goal.met) for goal in reached] == [(0.5, True), (1.2, False)]


def test_what_could_not_be_measured_is_not_met() -> None:
    assert not Goal("a figure", math.nan, 1.0).met
    assert not Goal("a figure", math.nan, 1.0, at_least=True).met


def test_late_chunks_miss_the_goal_of_none() -> None:
    row = {
        "name": "tidegate",
        "late": 1,
        "lost": 0,
        "kib_per_stream": 64.0,
        "added_gap_p99_ms": {"median": 3.0},
        "cpu_us_per_chunk": {"median": 16.0},
        "added_ttft_ms": {"median": 0.4},
    }
    missed = [goal.figure for goal in goals({"streams": [row]}) if not goal.met]
    assert missed == ["streams: late chunks", "streams: gateway CPU a chunk"]


def test_a_report_without_tidegate_has_no_goals() -> None:
    assert goals({"throughput": [_throughput("smg", 32, nginx=0.3)], "startup": []}) == []


def _outage(fault: str, alias: str, errors: int = 0, **medians: float) -> dict[str, Any]:
    figures = {
        "outage_p99_over_healthy_ms": 100.0,
        "normal_after_s": 1.0,
        "calls_per_request": 0.1,
    } | medians
    row: dict[str, Any] = {"fault": fault, "alias": alias, "errors": errors}
    return row | {name: {"median": value} for name, value in figures.items()}


def test_outage_goals_are_those_of_the_worst_way_to_die() -> None:
    rows = [
        _outage("refused", "fallback"),
        _outage("hang", "fallback", normal_after_s=2.5),
        _outage("503", "fallback", normal_after_s=1.5),
    ]
    missed = [goal for goal in goals({"outage": rows}) if not goal.met]
    assert [(goal.figure, goal.measured) for goal in missed] == [
        ("outage: p99 normal after the breaker opened (hang)", 2.5)
    ]


def test_breaker_that_never_opened_misses_its_goal() -> None:
    rows = [_outage("refused", "fallback"), _outage("503", "fallback", normal_after_s=math.nan)]
    missed = [goal.figure for goal in goals({"outage": rows}) if not goal.met]
    assert missed == ["outage: p99 normal after the breaker opened (503)"]


def test_alias_without_a_fallback_is_held_to_its_calls_only() -> None:
    rows = [
        _outage("hang", "alone", errors=900, calls_per_request=1.2, normal_after_s=9.0),
        _outage("hang", "no breaker", errors=900, calls_per_request=1.3),
    ]
    reached = goals({"outage": rows})
    assert [(goal.measured, goal.met) for goal in reached] == [(1.2, False)]


def test_translation_goals_are_those_of_the_costliest_pair() -> None:
    def pair(caller: str, request_us: float, *, translated: bool = True) -> dict[str, Any]:
        return {
            "where": "in process",
            "caller": caller,
            "vendor": "gemini",
            "translated": translated,
            "request_us": {"median": request_us},
            "chunk_us": {"median": 7.0},
        }

    through = {"where": "gateway", "added_request_us": 41.0, "added_chunk_us": 3.0}
    rows = [pair("chat", 39.0), pair("messages", 40.5), pair("x", 99.0, translated=False), through]
    missed = [(goal.figure, goal.measured) for goal in goals({"translate": rows}) if not goal.met]
    assert missed == [
        ("translation, a request, messages for gemini", 40.5),
        ("translation through a gateway, added CPU a request", 41.0),
    ]


def test_everything_on_is_held_to_smg_to_everything_off_and_to_a_latency() -> None:
    def caller(name: str, added_ms: float, **more: float) -> dict[str, Any]:
        return {"name": name, "placement": "apart", "added_ms": {"estimate": added_ms}} | more

    rows = [
        _throughput("tidegate", 32, smg=1.8),
        _throughput("tidegate-on", 32, smg=1.1, tidegate=0.59),
        _throughput("tidegate-on-redis", 32, **{"smg": 0.5, "tidegate-on": 0.5}),
        caller("tidegate", 9.0),
        caller("tidegate-on", 0.36),
        caller("tidegate-on-redis", 0.36, redis_ms=0.03),
    ]
    reached = [(goal.measured, goal.met) for goal in goals({"everything": rows})]
    assert reached == [(1.1, True), (0.59, False), (0.5, True), (0.36, False), (0.36, True)]


def _sink(name: str, **figures: Any) -> dict[str, Any]:
    ratios = {"p50_ms": {"median": 1.01}, "p99_ms": {"median": 1.5}}
    row: dict[str, Any] = {"name": name, "lost": 0, "errors": 0, "of_alive": ratios}
    return row | figures


def test_a_dead_sink_may_lose_nothing_and_cost_callers_nothing() -> None:
    rows = [_sink("tidegate-sink"), _sink("tidegate-dead-sink", lost=1, back={"errors": 2})]
    missed = [goal.figure for goal in goals({"sinks": rows}) if not goal.met]
    assert missed == [
        "sinks: records lost, tidegate-dead-sink",
        "sinks: p99 of that with a live one, tidegate-dead-sink",
        "sinks: requests that failed while it caught up",
    ]


def test_goodput_is_judged_at_the_highest_load() -> None:
    rows = [{"factor": factor, "of_best": of} for factor, of in ((5.0, 0.91), (0.9, 1.0))]
    (goal,) = goals({"overload": rows})
    assert (goal.measured, goal.met) == (0.91, True)
    assert not goals({"overload": [{"factor": 5.0, "of_best": math.nan}]})[0].met
