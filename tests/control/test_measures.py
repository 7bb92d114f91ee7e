"""What is counted of records, once each, as the store takes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from exposition import read
from spools import NOW_NS, Spool
from sqlalchemy.exc import SQLAlchemyError

from tidegate.alerts.objectives import Objective
from tidegate.control.brief import Brief
from tidegate.control.loader import Loader
from tidegate.control.lost import lost_record
from tidegate.control.measures import Measures
from tidegate.control.measures import catalogue as of
from tidegate.control.metrics import Pass, documented, metrics
from tidegate.control.rows import read as read_row
from tidegate.control.rows import row_of
from tidegate.ledger.progress import Progress
from tidegate.ledger.progress import encode as encode_progress
from tidegate.ledger.segment import frame
from tidegate.store.ended import Ended, ended
from tidegate.store.held import Held
from tidegate.store.records import RecordStore
from tidegate.store.rows import Batch
from tidegate.telemetry.record import Attempt, Record, encode

HOSTILE = 'a"b\\c\nd} 1\n# TYPE x counter\nx{y="\u2028'


def made(name: str = "r", **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "started_ns": NOW_NS, "worker": "gw-0", "wire": "chat", "path": "/v1/chat/completions",
        "config_version": "1", "alias": "fast", "team": "red", "provider": "p",
        "target": "p/m", "model": "m-2026", "status": 200, "duration_ms": 100.0,
        "attempts": [Attempt(target="p/m", outcome="ok", started_ms=0.0, duration_ms=90.0)],
    }  # fmt: skip
    return Record(request_id=name, **{**usual, **fields})


def counted(*records: Record) -> Measures:
    """What is counted of records as the loader reads them."""
    measures, ended = Measures(), list[Brief | Record]()
    for record in records:
        read_row(encode(record), Batch(), ended)
    measures.take(ended)
    return measures


def samples(measures: Measures) -> dict[str, float]:
    return read(metrics([], Pass(0, failing=False), measures))


def requests(measures: Measures) -> float:
    found = samples(measures)
    return sum(found[name] for name in found if name.startswith("tidegate_requests_total"))


def test_request_is_counted_under_the_names_of_the_field() -> None:
    found = samples(
        counted(
            made(
                stream=True, input_tokens=10, output_tokens=5, cached_input_tokens=4,
                cost_nanousd=1_234_567_891, ttft_ms=40.0, tokens_per_s=100.0, gateway_ms=0.75,
                max_gap_ms=30.0, queue_ms=12.0, finish_reason="length",
            )
        )
    )  # fmt: skip
    asked = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="p",gen_ai_request_model="m",'
        'gen_ai_response_model="m-2026"'
    )
    duration = f'gen_ai_client_operation_duration_seconds_bucket{{{asked},error_type=""'
    assert found[f'{duration},le="0.08"}}'] == 0
    assert found[f'{duration},le="0.16"}}'] == 1
    usage = f"gen_ai_client_token_usage_sum{{{asked},gen_ai_token_type="
    assert found[f'{usage}"input"}}'] == 10
    assert found[f'{usage}"output"}}'] == 5
    assert found[f"gen_ai_server_time_to_first_token_seconds_sum{{{asked}}}"] == 0.04
    assert found[f"gen_ai_server_time_per_output_token_seconds_sum{{{asked}}}"] == 0.01
    ours = 'alias="fast",provider="p",model="m",team="red"'
    total = 'tidegate_requests_total{alias="fast",team="red",outcome="ok",stream="true"}'
    assert found[total] == 1
    assert found[f'tidegate_tokens_total{{{ours},type="cached_input"}}'] == 4
    assert found[f"tidegate_cost_usd_total{{{ours}}}"] == 1.234567891
    assert found['tidegate_gateway_overhead_seconds_sum{alias="fast"}'] == 0.00075
    assert found['tidegate_queue_seconds_sum{alias="fast"}'] == 0.012
    assert found['tidegate_inter_token_gap_seconds_sum{alias="fast"}'] == 0.03
    assert found['tidegate_request_duration_seconds_sum{alias="fast"}'] == 0.1
    assert found['tidegate_truncations_total{alias="fast",provider="p",model="m"}'] == 1
    assert not any("unpriced" in name or "refusals" in name for name in found)


def test_bound_belongs_to_what_is_below_it() -> None:
    found = samples(counted(made(duration_ms=10.0)))
    (below,) = (
        value
        for name, value in found.items()
        if name.startswith("gen_ai_client_operation_duration_seconds_bucket") and '"0.01"' in name
    )
    assert below == 1


def test_cost_is_exact_whatever_the_sum() -> None:
    measures = counted(*(made(str(number), cost_nanousd=10**15 + 1) for number in range(9)))
    assert measures.counter(of.COST).value("fast", "p", "m", "red") == 9 * (10**15 + 1)
    assert "} 9000000.000000009\n" in "".join(measures.lines())


def test_cost_of_a_try_counts_where_it_was_made() -> None:
    tries = [
        Attempt("a/x", "upstream_failed", 0.0, 1.0, cost_nanousd=300),
        Attempt("a/x", "upstream_failed", 1.0, 1.0),
        Attempt("b/y", "cancelled", 2.0, 1.0),
        Attempt("p/m", "ok", 2.5, 1.0, hedge=True),
    ]
    measures = counted(made(attempts=tries, cost_nanousd=1_000))
    cost = measures.counter(of.COST)
    assert cost.value("fast", "a", "x", "red") == 300
    assert cost.value("fast", "p", "m", "red") == 700
    assert measures.counter(of.RETRIES).value("fast", "a/x") == 1
    assert measures.counter(of.FALLBACKS).value("fast", "b/y") == 1
    assert measures.counter(of.HEDGES).value("fast", "p/m") == 1


def test_failure_counts_for_whom_it_happened_at() -> None:
    tries = [Attempt("a/x", "upstream_failed", 0.0, 1.0)]
    failed = made(
        outcome="upstream_failed", status=502, attempts=tries, provider=None, target=None,
        model=None, cost_nanousd=None,
    )  # fmt: skip
    measures = counted(failed)
    labels = "chat", "a", "x", "", "upstream_failed"
    assert measures.histogram(of.DURATION).counts(*labels) == (1, 0.1)
    assert len(measures.counter(of.REFUSALS)) == 0
    assert len(measures.counter(of.UNPRICED)) == 0


def test_refusal_tells_why_and_by_whose_limit() -> None:
    nobody: dict[str, Any] = {"attempts": [], "provider": None, "target": None, "model": None}
    measures = counted(
        made(outcome="rate_limit_exceeded", status=429, limit="team red tokens_per_minute",
             **nobody),
        made(outcome="invalid_api_key", status=401, alias=None, team=None, **nobody),
        made(outcome="overloaded", status=429, **nobody),
        made(outcome="client_gone", status=499, **nobody),
    )  # fmt: skip
    refusals = measures.counter(of.REFUSALS)
    assert refusals.value("rate_limit_exceeded", "team") == 1
    assert refusals.value("invalid_api_key", "") == 1
    assert refusals.value("overloaded", "") == 1
    assert len(refusals) == 3
    assert requests(measures) == 4
    assert measures.histogram(of.DURATION).counts("chat", "", "", "", "client_gone") == (0, 0.0)


def test_makeshifts_and_missing_prices_are_counted() -> None:
    measures = counted(
        made("1", degraded="canned", cost_nanousd=0),
        made("2", adapted=["trimmed", "repaired"], downgraded="smart", cost_nanousd=1),
        made("3", input_tokens=5),
    )
    assert measures.counter(of.DEGRADED).value("fast", "canned") == 1
    assert measures.counter(of.ADAPTED).value("fast", "trimmed") == 1
    assert measures.counter(of.ADAPTED).value("fast", "repaired") == 1
    assert measures.counter(of.DOWNGRADES).value("fast") == 1
    assert measures.counter(of.UNPRICED).value("fast", "p", "m") == 1


def test_hold_and_progress_are_no_requests() -> None:
    measures, ended = Measures(), list[Brief | Record]()
    held = made("h", outcome="held", held_nanousd=5)
    for payload in (encode(held), encode_progress(Progress("h", 3, 4))):
        read_row(payload, Batch(), ended)
    measures.take(ended)
    assert requests(measures) == 0


def test_record_beyond_its_bounds_is_counted_too() -> None:
    huge = made(alias="x" * 1000, input_tokens=-5, cost_nanousd=7, model="y" * 1000)
    measures = counted(huge)
    assert requests(measures) == 1
    assert measures.counter(of.COST).value("x" * 256, "p", "m", "red") == 7


def test_number_that_is_none_spoils_no_sum() -> None:
    measures = counted(made("1", duration_ms=float("nan")), made("2", duration_ms=float("inf")),
                       made("3"))  # fmt: skip
    assert measures.histogram(of.REQUEST_DURATION).counts("fast") == (1, 0.1)
    samples(measures)


@pytest.fixture
def measures() -> Measures:
    return Measures()


def names(*wanted: str) -> list[bytes]:
    return [encode(made(name)) for name in wanted]


def test_loader_that_begins_again_in_mid_segment_counts_nothing_twice(
    tmp_path: Path, store: RecordStore, measures: Measures
) -> None:
    spool = Spool(tmp_path / "spool")
    path = spool.segment("01-gw", *names("a", "b", "c"))
    cut = frame(names("d")[0])
    with path.open("ab") as file:
        file.write(cut[:20])  # its writer is in the middle of it
        file.flush()
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            first = Loader(spool.directory, store, batch_rows=2, measures=measures)
            assert first.load() == 3
            first.close()
            file.write(cut[20:])
            file.flush()
            second = Loader(spool.directory, store, batch_rows=2, measures=measures)
            assert second.load() == 1
            assert second.load() == 0
            second.close()
    assert requests(measures) == 4


def test_record_that_the_store_knows_is_not_counted_again(
    tmp_path: Path, store: RecordStore, measures: Measures
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.segment("01-gw", *names("a", "b", "b"))
    spool.segment("02-gw", *names("b", "c", "a", "c"))
    loader = Loader(spool.directory, store, measures=measures)
    assert loader.load() == 3
    loader.close()
    assert requests(measures) == 3


def test_batch_that_the_store_refuses_is_counted_when_it_takes_it(
    tmp_path: Path, store: RecordStore, measures: Measures
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.segment("01-gw", *names("a", "b"))
    loader = Loader(spool.directory, store, measures=measures)
    with store.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE records RENAME TO elsewhere")
    with pytest.raises(SQLAlchemyError):
        loader.load()
    assert requests(measures) == 0
    with store.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO records")
    assert loader.waiting()[0] == 1
    assert loader.load() == 2
    assert loader.waiting() == (0, 0)
    loader.close()
    assert requests(measures) == 2


def test_lost_request_that_comes_after_all_is_counted_once_as_a_request(
    tmp_path: Path, store: RecordStore, measures: Measures
) -> None:
    spool = Spool(tmp_path / "spool")
    held = made("a", outcome="held", held_nanousd=500, expires_ms=1.0)
    spool.segment("01-gw", encode(held))
    loader = Loader(spool.directory, store, measures=measures)
    loader.load()
    lost = lost_record(Held(encode(held), 500, None, None), "upper")
    assert store.give_up([row_of(lost, encode(lost))], time.time_ns()) == ["a"]
    measures.lose([lost])
    assert requests(measures) == 0
    spool.segment("02-gw", encode(made("a", cost_nanousd=200)))
    assert loader.load() == 1
    loader.close()
    found = samples(measures)
    assert found["tidegate_lost_total"] == 1
    assert found["tidegate_lost_cost_usd_total"] == 5e-7
    assert found["tidegate_lost_found_total"] == 1
    assert requests(measures) == 1


def hostile() -> bytes:
    """A page with names that try everything."""
    tries = [Attempt(HOSTILE, "x", 0.0, 1.0), Attempt(f"{HOSTILE}/{HOSTILE}", "ok", 0.0, 1.0)]
    record = made(
        alias=HOSTILE, team=HOSTILE, provider=HOSTILE, target=f"{HOSTILE}/{HOSTILE}",
        model=HOSTILE, stream=True, input_tokens=1, output_tokens=2, cost_nanousd=3, ttft_ms=1.0,
        tokens_per_s=5.0, max_gap_ms=1.0, gateway_ms=1.0, attempts=tries, degraded=HOSTILE,
        adapted=[HOSTILE], finish_reason="length", limit=HOSTILE,
    )  # fmt: skip
    refused = made(outcome=HOSTILE, limit=HOSTILE, attempts=[], target=None, status=403)
    return metrics([], Pass(1, failing=False), counted(record, refused))


def test_hostile_names_stay_within_their_labels() -> None:
    found = read(hostile())
    assert "x" not in found
    inside = HOSTILE.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    assert found[f'tidegate_degraded_total{{alias="{inside}",how="{inside}"}}'] == 1


def test_whatever_is_on_the_page_is_in_the_reference() -> None:
    told = [line.split(" ")[2] for line in hostile().decode().split("\n") if "# TYPE" in line[:6]]
    known = {each.name for found in documented().values() for each in found}
    assert set(told) <= known
    assert len(told) >= 20


def test_page_is_what_the_clients_of_prometheus_read() -> None:
    parser = pytest.importorskip(
        "prometheus_client.parser", reason="needs prometheus-client, which reads as Prometheus does"
    )
    read_back = {
        family.name: family for family in parser.text_string_to_metric_families(hostile().decode())
    }
    (degraded,) = read_back["tidegate_degraded"].samples
    assert degraded.labels == {"alias": HOSTILE, "how": HOSTILE}
    assert read_back["gen_ai_client_token_usage"].type == "histogram"
    assert all(family.type != "unknown" for family in read_back.values())


def test_page_is_accepted_by_promtool() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=hostile(), capture_output=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode in {0, 3}, done.stderr.decode()  # 3: it would name something otherwise
    assert b"error while linting" not in done.stderr


PROMISED: dict[str, Objective | None] = {
    "fast": Objective(availability=0.99, latency=0.9, under_s=2.0), "slow": None,
}  # fmt: skip


def test_requests_are_counted_by_class_and_by_what_was_promised() -> None:
    measures = Measures(expected=lambda: PROMISED)
    before = samples(measures)
    assert before['tidegate_requests_ended_total{alias="slow",class="failed"}'] == 0
    assert before['tidegate_slo_bad_total{alias="fast",slo="latency"}'] == 0
    assert not any('alias="slow",slo' in name for name in before)
    measures.take([
        made("a", duration_ms=1_999.0),
        made("b", duration_ms=2_001.0),
        made("c", duration_ms=9_000.0, stream=True, ttft_ms=100.0),
        made("d", outcome="upstream_error", status=502),
        made("e", outcome="rate_limit_exceeded", status=429, limit="team red rpm", attempts=[]),
        made("f", outcome="client_gone"),
        made("g", alias="slow", outcome="upstream_error", status=502),
    ])  # fmt: skip
    measures.lose([made("h", outcome="lost")])
    found = samples(measures)
    ended = {
        name: found[f'tidegate_requests_ended_total{{alias="fast",class="{name}"}}']
        for name in ("ok", "failed", "limited", "client_gone", "refused", "lost")
    }
    assert ended == {
        "ok": 3, "failed": 1, "limited": 1, "client_gone": 1, "refused": 0, "lost": 1,
    }  # fmt: skip
    assert found['tidegate_slo_requests_total{alias="fast",slo="availability"}'] == 5
    assert found['tidegate_slo_bad_total{alias="fast",slo="availability"}'] == 2
    assert found['tidegate_slo_requests_total{alias="fast",slo="latency"}'] == 3
    assert found['tidegate_slo_bad_total{alias="fast",slo="latency"}'] == 1


def test_waits_and_refusals_are_counted_in_any_vendors_words() -> None:
    found = samples(
        counted(
            made("a", stream=True, ttft_ms=400.0, duration_ms=9_000.0, finish_reason="MAX_TOKENS"),
            made("b", duration_ms=1_200.0, finish_reason="refusal"),
            made("c", outcome="content_filter", status=400),
            made("d", outcome="overloaded", status=503, attempts=[]),
        )
    )
    of_model = 'alias="fast",provider="p",model="m"'
    assert found[f"tidegate_truncations_total{{{of_model}}}"] == 1
    assert found[f"tidegate_answers_refused_total{{{of_model}}}"] == 2
    assert found['tidegate_time_to_content_seconds_count{alias="fast"}'] == 2
    assert found['tidegate_time_to_content_seconds_bucket{alias="fast",le="0.5"}'] == 1


def test_bodies_that_could_not_be_masked_are_counted() -> None:
    found = samples(
        counted(
            made("a", cut=["request unread", "response unread"]),
            made("b", cut=["request", "response unread"]),
            made("c", findings={"email": 2}),
        )
    )
    left_out = "tidegate_bodies_left_out_total"
    assert found[f'{left_out}{{alias="fast",body="request"}}'] == 1
    assert found[f'{left_out}{{alias="fast",body="response"}}'] == 2
    assert found['tidegate_personal_data_findings_total{alias="fast",kind="email"}'] == 2


def test_what_is_answered_too_late_is_noted_where_it_is_summed(
    spool: Spool, store: RecordStore
) -> None:
    promised = {"fast": Objective(latency=0.9, under_s=2.0)}
    late = encode(made("late", duration_ms=2_500.0))
    soon = encode(made("soon", duration_ms=1_500.0))
    other = encode(made("other", alias="slow", duration_ms=9_500.0))
    spool.segment("one", late, soon, other)
    loader = Loader(spool.directory, store, objectives=lambda: promised)
    assert loader.load() == 3
    loader.close()
    found = ended(store.database, ["fast", "slow"], NOW_NS - 10**12, NOW_NS + 10**12)
    assert found == {("fast", "ok"): Ended(2, 1), ("slow", "ok"): Ended(1, 0)}
