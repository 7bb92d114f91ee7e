"""Spans on the wire: read back by the `.proto` files' numbers, and by the official classes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from otlp_reading import traces
from samples import PLACES, SAMPLES

from tidegate import __version__
from tidegate.telemetry.otlp import Partial, encode, export_request, read_answer
from tidegate.telemetry.spans import Event, Span, spans

values = (
    st.text() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text(), max_size=3).map(tuple)
)  # fmt: skip
attributes = st.dictionaries(st.text(), values, max_size=5)
times = st.integers(0, (1 << 64) - 1)
made = st.builds(
    Span, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8),
    st.just(b"") | st.binary(min_size=8, max_size=8), st.text(), st.integers(1, 5), times, times,
    attributes=attributes,
    events=st.lists(st.builds(Event, st.text(), times, attributes), max_size=3).map(tuple),
    status=st.just(2), message=st.text(), flags=st.integers(0, (1 << 32) - 1),
)  # fmt: skip


def shown(span: Span) -> dict[str, Any]:
    ids = {name: getattr(span, name).hex() for name in ("trace_id", "span_id", "parent_id")}
    return msgspec.json.decode(msgspec.json.encode({**msgspec.to_builtins(span), **ids}))


@given(st.lists(made, max_size=3))
def test_what_is_written_can_be_read(several: list[Span]) -> None:
    resource, read = traces(export_request(map(encode, several), "our gateway"))
    assert resource == {"service.name": "our gateway", "service.version": __version__}
    assert read == [shown(span) for span in several]


def test_the_official_classes_read_it_and_would_write_the_same() -> None:
    module = "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    official = pytest.importorskip(module, reason="opentelemetry-proto is not installed")
    for each in SAMPLES.values():
        body = export_request(map(encode, spans(each, PLACES, told=True)), "tidegate")
        request = official.ExportTraceServiceRequest.FromString(body)
        assert request.SerializeToString(deterministic=True) == body


def test_a_part_that_was_rejected_is_read() -> None:
    assert read_answer(b"") == Partial()
    assert read_answer(b"\x0a\x07\x08\x03\x12\x03bad") == Partial(3, "bad")


@given(st.binary(max_size=50))
def test_an_answer_that_is_none_says_nothing(body: bytes) -> None:
    assert read_answer(body).rejected >= 0
