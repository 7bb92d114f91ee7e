"""Each check over made-up evidence: what it counts, and what it says when it fails."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from tidegate.drill.checks import CHECKS, Check, Evidence, checks
from tidegate.drill.judge import Outcome
from tidegate.drill.load import Seen
from tidegate.drill.scenarios import Action, Limits, Scenario
from tidegate.drill.simulators import Call
from tidegate.telemetry.record import Attempt, Record
from tidegate.types import Usage

SCENARIO = Scenario("made-up", "nothing goes wrong", Action.FAULT, Limits())
BEGAN_S, ENDED_S = 10.0, 20.0


def seen(number: int, due_s: float, outcome: Outcome = Outcome.GOOD, **fields: Any) -> Seen:
    """A request as it was seen: a stream that took 0.1 s to its first token and 0.5 s in all."""
    known: dict[str, Any] = {
        "sent_s": due_s,
        "first_s": due_s + 0.1,
        "ended_s": due_s + 0.5,
        "status": 200,
        "request_id": f"req-{number}",
        "answer_id": f"chatcmpl-sim-a.{number}",
        **fields,
    }
    return Seen("fast", "chat", stream=True, due_s=due_s, outcome=outcome, **known)


def record(number: int, **fields: Any) -> Record:
    known: dict[str, Any] = {
        "request_id": f"req-{number}",
        "started_ns": number,
        "worker": "gw-0",
        "wire": "chat",
        "path": "/v1/chat/completions",
        "config_version": "x",
        "target": "one/model",
        "input_tokens": 8,
        "output_tokens": 16,
        "cost_nanousd": 40,
        "attempts": [Attempt("one/model", "ok", 0.0, 0.0)],
        **fields,
    }
    return Record(**known)


def call(number: int, **fields: Any) -> Call:
    known: dict[str, Any] = {
        "model": "model",
        "complete": True,
        "prompt_tokens": 8,
        "billed_tokens": 16,
        "provider": "one",
        **fields,
    }
    return Call(f"sim-a.{number}", **known)


def charge(target: str, usage: Usage) -> Collection[int | None]:
    return {usage.input + 2 * usage.output if target == "one/model" else None}


def good(number: int = 40) -> Evidence:
    """`number` requests, one each second, all of them well."""
    return Evidence(
        SCENARIO,
        [seen(each, float(each)) for each in range(number)],
        BEGAN_S,
        ENDED_S,
        [call(each) for each in range(number)],
        number,
        [record(each) for each in range(number)],
        charge,
        first_token_s=2.0,
    )


def recorded(evidence: Evidence) -> list[Record]:
    assert evidence.records is not None
    return list(evidence.records)


def check(evidence: Evidence, name: str) -> Check:
    return CHECKS[name](evidence)


def test_all_is_well_when_nothing_went_wrong() -> None:
    found = checks(good())
    assert [each.name for each in found] == list(CHECKS)
    assert [(each.name, each.ok) for each in found if not each.ok or each.reasons] == []


def test_only_requests_that_began_in_the_outage_are_to_be_kept() -> None:
    evidence = good()
    evidence.seen[9].outcome = Outcome.FAILED
    evidence.seen[20].outcome = Outcome.REFUSED
    assert check(evidence, "kept").value == 1.0
    evidence.seen[10].outcome = Outcome.REFUSED
    evidence.seen[10].detail = "no target"
    lost = check(evidence, "kept")
    assert (lost.ok, lost.value, lost.shown) == (False, pytest.approx(0.9), "90%")
    assert lost.reasons == ("1 x fast refused 200: no target",)
    lenient = replace(SCENARIO, limits=Limits(kept=0.9))
    assert check(replace(evidence, scenario=lenient), "kept").ok


def test_what_nobody_can_hide_is_excused_until_the_breaker_opens() -> None:
    evidence = replace(good(), openings=2)
    for number in (10, 12, 14):
        evidence.seen[number].outcome = Outcome.FAILED
    assert check(evidence, "kept").value == pytest.approx(0.7)
    breaking = replace(SCENARIO, breaks=True)
    assert check(replace(evidence, scenario=breaking), "kept").value == pytest.approx(0.9)


def test_nothing_asked_is_nothing_kept() -> None:
    assert not check(replace(good(), seen=[]), "kept").ok


def test_recovery_lasts_until_the_last_answer_in_trouble() -> None:
    evidence = good()
    evidence.seen[21].outcome = Outcome.REFUSED
    assert check(evidence, "recovery").value == 1.0
    assert check(evidence, "recovery").ok
    evidence.seen[25].first_s = 26.0
    slow = check(evidence, "recovery")
    assert (slow.ok, slow.value) == (False, 5.0)
    evidence.seen[25].stream = False  # whoever does not stream waits for the whole anyway
    assert check(evidence, "recovery").value == 1.0


def test_the_first_token_may_come_later_by_one_timeout() -> None:
    evidence = good()
    for each in evidence.seen[10:20]:
        each.first_s = each.due_s + 2.0
    assert check(evidence, "first token").ok
    assert check(evidence, "first token").value == pytest.approx(1.9)
    for each in evidence.seen[10:20]:
        each.first_s = each.due_s + 2.2
    late = check(evidence, "first token")
    assert (late.ok, late.reasons) == (False, ())
    evidence.seen[0].sent_s += 1.0
    assert "up to 1.0 s late" in check(evidence, "first token").reasons[0]


def test_calls_are_counted_by_whoever_knows_of_more() -> None:
    evidence = good()
    assert check(evidence, "calls").value == 1.0
    assert check(replace(evidence, received=44), "calls").value == pytest.approx(1.1)
    assert not check(replace(evidence, received=45), "calls").ok
    assert check(replace(evidence, received=45, openings=5), "calls").ok
    tried = [Attempt("one/model", "upstream_failed", 0.0, 0.0)] * 3
    skipped = [Attempt("one/model", "skipped_breaker_open", 0.0, 0.0)] * 3
    first, *rest = recorded(evidence)
    more = [record(0, attempts=[*first.attempts, *tried, *skipped]), *rest]
    assert check(replace(evidence, records=more), "calls").value == pytest.approx(43 / 40)


def test_every_finished_request_has_one_record() -> None:
    evidence = good(3)
    assert check(evidence, "records").ok
    missing = check(replace(evidence, records=recorded(evidence)[1:]), "records")
    assert (missing.ok, missing.reasons) == (False, ("no record of req-0",))
    double = check(replace(evidence, records=[*recorded(evidence), record(1)]), "records")
    assert (double.ok, double.reasons) == (False, ("recorded more than once: req-1",))
    strange = check(replace(evidence, records=[*recorded(evidence), record(9)]), "records")
    assert (strange.ok, strange.reasons) == (False, ("1 records of requests that nobody made",))


def test_what_a_late_gateway_refuses_unread_needs_no_record_and_is_told() -> None:
    evidence = replace(good(), records=[record(each) for each in range(40) if each != 12])
    shed = evidence.seen[12]
    shed.outcome, shed.status, shed.request_id = Outcome.REFUSED, 429, ""
    assert check(evidence, "records").ok
    lost = check(evidence, "kept")
    assert (lost.ok, lost.reasons[-1]) == (
        False,
        "the gateway had no time for 1 of the requests: the rate is too high for here",
    )
    shed.request_id = "req-12"  # it was let in, so its record is missing
    assert check(evidence, "records").reasons == ("no record of req-12",)


def test_a_request_that_was_cut_may_have_a_record_or_none() -> None:
    evidence = good(3)
    evidence.seen[2].outcome = Outcome.CUT
    assert check(evidence, "records").ok
    assert check(replace(evidence, records=recorded(evidence)[:2]), "records").ok


def test_a_charge_is_what_the_provider_bills() -> None:
    evidence = good(2)
    for field, value, says in (
        ("output_tokens", 15, "recorded 8 + 15 tokens, billed 8 + 16"),
        ("cost_nanousd", 39, "charged 39 nano-dollars, billed 40"),
        ("cost_nanousd", None, "charged None nano-dollars, billed 40"),
    ):
        found = check(
            replace(evidence, records=[record(0, **{field: value}), record(1)]), "charges"
        )
        assert (found.ok, found.reasons) == (False, (f"req-0: {says}",))
    without_prices = replace(evidence, charge=None, records=[record(0, cost_nanousd=1), record(1)])
    assert check(without_prices, "charges").ok


def test_tries_that_did_not_become_the_answer_are_no_part_of_its_charge() -> None:
    evidence = good(2)
    paid = Attempt("one/model", "upstream_malformed", 0.0, 0.0, cost_nanousd=7)
    tried = [paid, Attempt("one/model", "ok", 0.0, 0.0)]
    with_try = record(0, attempts=tried, cost_nanousd=47)
    assert check(replace(evidence, records=[with_try, record(1)]), "charges").ok
    too_little = record(0, attempts=tried, cost_nanousd=40)
    found = check(replace(evidence, records=[too_little, record(1)]), "charges")
    assert found.reasons == ("req-0: charged 33 nano-dollars, billed 40",)
    evidence.seen[0].outcome = Outcome.REFUSED
    refused = record(0, target=None, attempts=[paid], cost_nanousd=7)
    assert check(replace(evidence, records=[refused, record(1)]), "charges").ok
    charged = record(0, target=None, attempts=[paid], cost_nanousd=8)
    found = check(replace(evidence, records=[charged, record(1)]), "charges")
    assert found.reasons == ("req-0: charged for an error",)


def test_no_answer_is_charged_twice() -> None:
    evidence = good(2)
    evidence.seen[1].answer_id = evidence.seen[0].answer_id
    found = check(evidence, "charges")
    assert found.reasons == ("req-1: sim-a.0 was charged before",)


def test_an_answer_that_is_on_no_bill_is_wrong_unless_its_server_was_killed() -> None:
    evidence = replace(good(2), calls=[call(0)])
    assert check(evidence, "charges").reasons == ("req-1: sim-a.1 was never billed",)
    assert check(replace(evidence, lost_bills=["sim-a."]), "charges").ok
    assert not check(replace(evidence, lost_bills=["sim-b."]), "charges").ok


def test_an_answer_with_an_id_of_its_own_is_found_by_its_length() -> None:
    evidence = good(3)
    evidence.seen[2].answer_id = "resp_of_the_gateway"
    assert check(evidence, "charges").ok
    unbilled = replace(evidence, calls=evidence.calls[:2])
    assert check(unbilled, "charges").reasons == ("req-2: no provider billed 8 + 16 tokens for it",)
    another = replace(evidence, calls=[*evidence.calls[:2], call(2, model="other")])
    assert not check(another, "charges").ok


def test_errors_cost_nothing_and_broken_answers_what_was_delivered() -> None:
    evidence = good(2)
    evidence.seen[0].outcome = Outcome.REFUSED
    assert check(evidence, "charges").reasons == ("req-0: charged for an error",)
    evidence.seen[0].outcome = Outcome.FAILED
    assert check(evidence, "charges").ok
    nothing = [record(0, output_tokens=None, cost_nanousd=None), record(1)]
    assert not check(replace(evidence, records=nothing), "charges").ok


def test_a_canned_text_is_nobody_s_bill() -> None:
    evidence = replace(good(1), calls=[])
    canned = [record(0, degraded="canned", target=None, cost_nanousd=None)]
    assert check(replace(evidence, records=canned), "charges").ok


def test_a_truncated_stream_is_never_right_a_cut_one_when_the_gateway_dies() -> None:
    evidence = good(3)
    evidence.seen[0].outcome = Outcome.CUT
    assert not check(evidence, "truncations").ok
    dying = replace(evidence, scenario=replace(SCENARIO, cuts=True))
    assert check(dying, "truncations").ok
    evidence.seen[1].outcome = Outcome.TRUNCATED
    found = check(dying, "truncations")
    assert (found.ok, found.value, found.shown) == (False, 1, "1")


def test_records_that_cannot_be_read_are_neither_right_nor_wrong() -> None:
    evidence = replace(good(), records=None)
    assert [check(evidence, name).ok for name in ("records", "charges")] == [None, None]
