"""What a run under an outage is said to have looked like."""

from __future__ import annotations

import math

import pytest

from bench.phases import SKIPPED, Moments, Try, judged, normal_after_s, tries
from bench.steady import Asked
from tidegate.telemetry.record import Attempt, Record

RATE = 100
TOOK_S = 0.195  # so that nothing ends at the very moment of the failure
MOMENTS = Moments(began_s=10.0, failed_s=20.0, restored_s=30.0)


def _asked(due_s: float, took_s: float, failure: str | None = None) -> Asked:
    first_s = math.nan if failure else due_s + took_s
    return Asked(due_s, due_s, first_s, due_s + took_s, "", failure)


def _run(opened_s: float, back_s: float) -> tuple[list[Asked], list[Try]]:
    """Requests that wait a second for the dead target, until the breaker opens."""
    asked: list[Asked] = []
    seen: list[Try] = []
    for number in range(25 * RATE):
        due_s = 9.0 + number / RATE
        dead = 20.0 <= due_s < 30.0
        name = str(number)
        if not dead and not 30.0 <= due_s < back_s:
            asked.append(_asked(due_s, TOOK_S))
            seen.append(Try(name, due_s, "dying/m", "ok", due_s, due_s + TOOK_S))
        elif due_s < opened_s:
            asked.append(_asked(due_s, 1 + TOOK_S))
            seen.append(Try(name, due_s, "dying/m", "upstream_timeout", due_s, due_s + 1))
            seen.append(Try(name, due_s, "spare/m", "ok", due_s + 1, due_s + 1 + TOOK_S))
        else:
            asked.append(_asked(due_s, TOOK_S))
            seen.append(Try(name, due_s, "dying/m", SKIPPED, due_s, due_s))
            seen.append(Try(name, due_s, "spare/m", "ok", due_s, due_s + TOOK_S))
    return asked, seen


def test_run_is_cut_where_the_breaker_opened_and_where_the_provider_answered_again() -> None:
    asked, seen = _run(opened_s=21.05, back_s=32.0)
    told = judged(asked, seen, MOMENTS, "dying/m")
    assert told["failure_after_s"] == pytest.approx(1.0)
    assert told["opened_after_failure_s"] == pytest.approx(0.05)
    assert told["recovered_after_s"] == pytest.approx(2 + TOOK_S)
    assert told["errors"] == 0
    counts = {name: phase["requests"] for name, phase in told["phases"].items()}
    # 19 were under way when the provider failed, and 100 were due in the second before `began_s`.
    assert counts == {
        "healthy": 981,
        "breaking": 124,
        "open": 895,
        "recovering": 220,
        "recovered": 180,
    }
    assert told["phases"]["healthy"]["p99_ms"] == pytest.approx(195)
    assert told["phases"]["open"]["p99_ms"] == pytest.approx(195)
    assert told["outage_p99_over_healthy_ms"] == pytest.approx(1000)


def test_calls_are_counted_for_the_requests_that_came_during_the_outage() -> None:
    asked, seen = _run(opened_s=21.05, back_s=30.0)
    told = judged(asked, seen, MOMENTS, "dying/m")
    assert told["calls_per_request"] == pytest.approx(0.105)
    assert told["calls_per_caller_of_it"] == pytest.approx(1.0)
    again = [Try("1100", 20.0, "dying/m", "upstream_failed", 25.0, 25.1)]
    assert judged(asked, seen + again, MOMENTS, "dying/m")["calls"] == told["calls"] + 1


def test_errors_are_told_with_the_time_that_callers_waited_for_them() -> None:
    asked, seen = _run(opened_s=21.05, back_s=30.0)
    asked.append(_asked(25.0, 0.01, "HTTP/1.1 503"))
    told = judged(asked, seen, MOMENTS, "dying/m")
    assert told["errors"] == told["phases"]["open"]["errors"] == 1
    assert told["phases"]["open"]["error_p99_ms"] == pytest.approx(10)
    assert told["first_error"] == "HTTP/1.1 503"


def test_what_did_not_happen_is_not_a_number() -> None:
    asked = [_asked(10.0 + number, 0.1) for number in range(25)]
    told = judged(asked, [], MOMENTS, "dying/m")
    for figure in ("opened_after_failure_s", "normal_after_s", "recovered_after_s"):
        assert math.isnan(told[figure]), figure
    assert told["phases"]["open"]["requests"] == 0
    assert told["phases"]["recovering"]["requests"] == 5


def test_normal_is_when_the_last_slow_ones_were_too_few_to_count() -> None:
    # The last one that waited was due just before the opening, and came 1.195 s later.
    asked, _ = _run(opened_s=21.05, back_s=30.0)
    assert normal_after_s(asked, 300, 21.05) == pytest.approx(1.185)
    # One slow among fifty in half a second counts, one that is alone among more does not.
    alone = [_asked(25.0 + number / 1000, 0.2) for number in range(1000)]
    alone.append(_asked(25.0, 0.9))
    assert normal_after_s([*asked, *alone], 300, 21.05) == pytest.approx(1.185)


def test_tries_stand_at_their_own_times() -> None:
    record = Record("r", 5_000_000_000, "w", "chat", "/", "v")
    record.attempts = [Attempt("dying/m", "ok", 250.0, 500.0)]
    assert tries([record]) == [Try("r", 5.0, "dying/m", "ok", 5.25, 5.75)]
