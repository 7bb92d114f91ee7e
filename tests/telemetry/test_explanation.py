"""The pure part of an explanation: whatever a record holds, it is explained, and within bounds."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from telemetry.samples import SAMPLES

from tidegate.limits import Budget, Limits, Rate, Rule
from tidegate.telemetry.explanation.explain import explain
from tidegate.telemetry.explanation.shape import Around, Candidate, Version
from tidegate.telemetry.explanation.targets import MOST_ATTEMPTS
from tidegate.telemetry.record import Attempt, Record

NAMES = st.sampled_from(["a/m", "b/m", "b/x-1", "c/m", "", "/"])
TIMES = st.floats(0.0, 1e6)
TRIES = st.builds(
    Attempt, NAMES, st.sampled_from(["ok", "upstream_error", "cancelled", "skipped_breaker_open"]),
    TIMES, TIMES, queue_ms=TIMES, hedge=st.booleans(), then=st.none() | st.just("end: so it is"),
)  # fmt: skip
RECORDS = st.builds(
    Record, st.just("req_1"), st.integers(0, 1 << 62), st.just("gw-0"),
    st.sampled_from(["chat", "count_tokens", "passthrough", "none"]), st.just("/"), st.just("c"),
    alias=st.none() | st.just("fast"), target=st.none() | NAMES, key=st.none() | st.just("web"),
    outcome=st.sampled_from(
        ["ok", "held", "lost", "client_gone", "failed_after_commit", "upstream_error"]
    ),
    limit=st.none() | st.just("key web steps"), degraded=st.none() | st.just("canned"),
    attempts=st.lists(TRIES, max_size=MOST_ATTEMPTS + 5),
    left_out=st.dictionaries(NAMES, st.just("no price"), max_size=3),
    cost_nanousd=st.none() | st.integers(0, 10**12), gateway_ms=st.none() | TIMES,
    held_nanousd=st.none() | st.integers(0, 10**12), ttft_ms=st.none() | TIMES,
    duration_ms=TIMES, body_ms=TIMES, admit_ms=TIMES,
    price=st.sampled_from([None, "free", "configured 2026-01-01", "what else"]),
)  # fmt: skip
PLAN = (
    Candidate("a/m", "weight 1 of 2", "own", 1), Candidate("b/*", "weight 1 of 2", "own", 1),
    Candidate("c/m", "weight 0 of 2", "own", 0), Candidate("d/m", "fallback to cheap", "fallback"),
    Candidate("e/m", "on context overflow cheap", "overflow"),
)  # fmt: skip


@given(RECORDS, st.none() | st.just(PLAN))
def test_every_record_is_explained(record: Record, plan: tuple[Candidate, ...] | None) -> None:
    told = explain(record, Around(plan))
    assert told.summary.endswith(".")
    assert len(told.attempts) == min(len(record.attempts), MOST_ATTEMPTS)
    assert all(each.took_ms >= 0.0 and each.at_ms >= 0.0 for each in told.timeline)
    names = [each.name for each in told.targets]
    assert len(names) == len(set(names))
    assert {each.target for each in told.attempts} <= set(names)
    if plan is not None:  # and none of the plan is passed over in silence
        for each in plan:
            start = each.name.rstrip("*")
            assert any(name.startswith(start) for name in names), each
    assert msgspec.json.decode(msgspec.json.encode(told), type=type(told)) == told


def test_samples_say_what_became_of_them() -> None:
    said = {name: explain(record, Around()).summary for name, record in SAMPLES.items()}
    assert said["streamed"] == "Answered by openai/gpt-5-mini: primary."
    assert said["fallen_back"] == "Answered by eu/gpt-4o after 3 tries: fallback."
    assert said["limited"].startswith("Refused by a limit: ")


def test_failures_say_what_helps_and_what_went_well_does_not() -> None:
    refused = Record("req_1", 0, "gw-0", "chat", "/", "c", outcome="budget_exceeded", status=429)
    broken = msgspec.structs.replace(
        refused, outcome="failed_after_commit", error_code="upstream_idle_timeout"
    )
    assert "higher budget" in (explain(refused, Around()).remedy or "")
    assert "`timeout`" in (explain(broken, Around()).remedy or "")
    assert explain(SAMPLES["streamed"], Around()).remedy is None


def test_request_that_nobody_answered_is_charged_nothing() -> None:
    refused = Record("req_1", 0, "gw-0", "chat", "/", "c", outcome="no_target_available")
    assert explain(refused, Around()).timeline[-1].said == "nothing charged"
    held = msgspec.structs.replace(refused, held_nanousd=2_000_000)
    assert explain(held, Around()).timeline[-1].said == "nothing charged, $0.002 let go"
    unpriced = msgspec.structs.replace(refused, outcome="ok", output_tokens=4)
    assert explain(unpriced, Around()).timeline[-1].said.endswith("is not known")


def test_limit_without_a_name_gives_way_to_the_one_with_it() -> None:
    own = Rule("key", Limits(requests=(Rate(5, 60),), steps=3), "web")
    common = Rule("key", Limits(concurrency=1))
    other = Rule("provider", Limits(tokens=(Rate(9, 86_400),), concurrency=2))
    spent = Rule("alias", Limits(budgets=(Budget(10**9, "total", downgrade="cheap"),)), "fast")
    record = msgspec.structs.replace(SAMPLES["streamed"], limit="alias fast usd_total")
    rules = tuple((each, "configuration") for each in (own, common, other, spent))
    told = explain(record, Around(rules=rules))
    assert [(each.kind, each.name, each.said) for each in told.limits] == [
        ("key", "web", "5 requests a minute"), ("key", "web", "3 requests in all"),
        ("alias", "fast", "$1.00 in all, from 80% on cheap instead"),
        ("provider", "openai", "9 tokens a day"),
        ("provider", "openai", "2 requests at a time"),
    ]  # fmt: skip
    assert [each.refused for each in told.limits] == [False, False, True, False, False]


def test_configuration_says_since_when_and_who() -> None:
    known = Version(1, 2, 3, "rollback", "ann")
    told = explain(SAMPLES["streamed"], Around(version=known, current="c0ffee")).configuration
    assert (told.current, told.since_ns, told.by) == (True, 2, "ann")
    told = explain(SAMPLES["streamed"], Around(current="another")).configuration
    assert (told.current, told.since_ns) == (False, None)
