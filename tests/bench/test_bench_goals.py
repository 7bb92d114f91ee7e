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
