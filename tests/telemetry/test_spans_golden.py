"""A record as a trace, by the golden files.

`TIDEGATE_WRITE_GOLDEN=1` writes them anew: read the difference before it is committed.
"""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PLACES, SAMPLES, TRACE_PARENT, record

from tidegate.telemetry.attributes import TABLE
from tidegate.telemetry.otlp import encode
from tidegate.telemetry.record import Attempt, Record
from tidegate.telemetry.spans import Span, sampled, span_id, spans, trace_id

GOLDEN = Path(__file__).with_name("golden")


def shown(span: Span) -> dict[str, Any]:
    ids = {name: getattr(span, name).hex() for name in ("trace_id", "span_id", "parent_id")}
    return {**msgspec.to_builtins(span), **ids}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_record_becomes_the_golden_trace(name: str) -> None:
    trace = [shown(span) for span in spans(SAMPLES[name], PLACES, told=True)]
    path = GOLDEN / f"{name}.json"
    if os.environ.get("TIDEGATE_WRITE_GOLDEN"):
        path.write_bytes(msgspec.json.format(msgspec.json.encode(trace), indent=1) + b"\n")
    assert msgspec.json.decode(msgspec.json.encode(trace)) == msgspec.json.decode(path.read_bytes())


def test_every_golden_file_has_its_record() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == SAMPLES.keys()


def test_every_attribute_of_the_table_is_in_some_trace() -> None:
    told = {name for each in SAMPLES.values() for span in spans(each, PLACES) for name in
            span.attributes}  # fmt: skip
    seldom = {
        "gen_ai.request.top_p", "gen_ai.request.top_k", "gen_ai.request.frequency_penalty",
        "gen_ai.request.presence_penalty", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.audio.input_tokens", "gen_ai.usage.audio.output_tokens",
        "tidegate.downgraded", "tidegate.degraded", "tidegate.usage_estimated",
    }  # fmt: skip
    assert {row.name for row in TABLE} - told == seldom


def test_a_trace_is_the_same_each_time_and_another_ones_is_another() -> None:
    one = SAMPLES["fallen_back"]
    assert spans(one) == spans(one)
    ids = [span.span_id for each in ("req_1", "req_2") for span in spans(record(
        request_id=each, attempts=one.attempts, gateway_ms=1.0))]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert trace_id("req_1", None) != trace_id("req_2", None)


def test_the_span_of_an_attempt_can_be_named_beforehand() -> None:
    asked = [span for span in spans(SAMPLES["fallen_back"]) if span.kind == 3]
    assert [span.span_id for span in asked] == [span_id("req_1", f"attempt {n}") for n in (1, 3, 4)]


def test_only_a_whole_traceparent_is_a_parent() -> None:
    joined = spans(record(trace_parent=TRACE_PARENT))[0]
    assert joined.trace_id.hex() == TRACE_PARENT[3:35]
    assert joined.parent_id.hex() == TRACE_PARENT[36:52]
    alone = spans(record())[0]
    for bad in ("", "00", TRACE_PARENT[:-1], TRACE_PARENT.upper(), "x" * 55, "é" * 55):
        assert spans(record(trace_parent=bad))[0] == alone


def test_tokens_and_money_add_up_over_the_attempts() -> None:
    one = SAMPLES["fallen_back"]
    root, *rest = spans(one)
    cost = sum(float(str(span.attributes.get("tidegate.attempt.cost_usd", 0.0))) for span in rest)
    assert cost == pytest.approx(float(str(root.attributes["tidegate.cost_usd"])))
    assert not any(name.startswith("gen_ai.usage") for name in root.attributes)


def test_of_a_share_the_smaller_one_is_a_part() -> None:
    traces = [trace_id(f"req_{n}", None) for n in range(2000)]
    few, many = ({each for each in traces if sampled(each, share)} for share in (0.1, 0.5))
    assert few < many
    assert 140 < len(few) < 260
    assert all(sampled(each, 1.0) for each in traces)
    assert not any(sampled(each, 0.0) for each in traces)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=5,
)
text = st.text(max_size=60)
figures = st.integers(-(1 << 63), (1 << 64) - 1)
attempts = st.builds(
    Attempt, text, st.sampled_from(["ok", "cancelled", "é"]) | text, st.floats(), st.floats(),
    status=st.none() | figures, detail=st.none() | text, cost_nanousd=st.none() | figures,
    input_tokens=st.none() | figures, queue_ms=st.floats(),
)  # fmt: skip
names = st.sampled_from(
    ["temperature", "stop", "n", "seed", "max_tokens", "top_p", "top_k", "stop_sequences"]
)
records = st.builds(
    Record, text, figures, text, st.sampled_from(["chat", "messages", "responses", "none"]) | text,
    text, text, alias=st.none() | text, outcome=text, status=figures,
    attempts=st.lists(attempts, max_size=3),
    provider=st.none() | text, target=st.none() | text, trace_parent=st.none() | text,
    tags=st.dictionaries(text, text), parameters=st.none() | st.dictionaries(names, anything),
    cost_nanousd=st.none() | figures, input_tokens=st.none() | figures, stream=st.booleans(),
    ttft_ms=st.none() | st.floats(), duration_ms=st.floats(), gateway_ms=st.none() | st.floats(),
    queue_ms=st.floats(), max_gap_ms=st.none() | st.floats(), finish_reason=st.none() | text,
    request_body=st.none() | st.binary(), response_body=st.none() | st.binary(),
)  # fmt: skip


@given(records)
def test_whatever_a_record_holds_its_trace_is_well_formed(hostile: Record) -> None:
    trace = spans(hostile, PLACES, told=True)
    root = trace[0]
    assert len({span.span_id for span in trace}) == len(trace)
    for span in trace:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8)
        assert any(span.trace_id)
        assert any(span.span_id)
        assert 0 <= span.start_ns <= span.end_ns < 1 << 63
        assert span.trace_id == root.trace_id
        assert span is root or span.parent_id == root.span_id
        assert encode(span)


def test_a_long_text_is_cut() -> None:
    long = record(error="x" * 5000, status=500, outcome="internal", tags={"n" * 5000: "v" * 5000})
    said = spans(long)[0]
    assert max(len(str(each)) for each in (*said.attributes.values(), *said.attributes)) <= 1037
    assert len(said.message) == 1024
