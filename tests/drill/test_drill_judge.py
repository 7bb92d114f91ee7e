"""What becomes of a request is told from its caller's bytes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.drill.judge import Outcome, judge

CHAT = b'data: {"id":"chatcmpl-sim-1","choices":[{"delta":{"content":"a"}}]}\n\n'
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_sim-2"}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n'
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_3"}}\n\n'
)
DONE = b"data: [DONE]\n\n"
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
COMPLETED = b'data: {"type":"response.completed","response":{"id":"resp_3"}}\n\n'
INCOMPLETE = COMPLETED.replace(b"completed", b"incomplete")
STREAMS = {
    "chat": (CHAT, DONE, b'data: {"error":{"message":"x"}}\n\n', "chatcmpl-sim-1"),
    "messages": (
        MESSAGES,
        STOP,
        b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n',
        "msg_sim-2",
    ),
    "responses": (
        RESPONSES,
        COMPLETED,
        b'data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n',
        "resp_3",
    ),
}


@pytest.mark.parametrize("wire", list(STREAMS))
def test_a_stream_ends_well_with_an_error_or_silently(wire: str) -> None:
    begun, end, error, answer_id = STREAMS[wire]
    for body, complete, outcome in (
        (begun + end, True, Outcome.GOOD),
        (begun + end, False, Outcome.GOOD),
        (begun + error, True, Outcome.FAILED),
        (begun + error, False, Outcome.FAILED),
        (begun, True, Outcome.TRUNCATED),
        (begun, False, Outcome.CUT),
    ):
        judged = judge(wire, 200, body, stream=True, complete=complete)
        assert (judged.outcome, judged.answer_id) == (outcome, answer_id)
    assert judge(wire, 200, b"", stream=True, complete=True).outcome is Outcome.TRUNCATED


def test_an_incomplete_response_is_a_good_end_too() -> None:
    body = RESPONSES + INCOMPLETE
    assert judge("responses", 200, body, stream=True, complete=True).outcome is Outcome.GOOD


def test_the_end_of_one_format_is_none_of_another() -> None:
    assert judge("messages", 200, MESSAGES + COMPLETED, stream=True, complete=True).outcome is (
        Outcome.TRUNCATED
    )


@pytest.mark.parametrize(
    ("status", "body", "complete", "outcome"),
    [
        (200, b'{"id":"chatcmpl-sim-1"}', True, Outcome.GOOD),
        (200, b'{"error":{"message":"x"}}', True, Outcome.FAILED),
        (200, b'{"id":"chatcm', True, Outcome.TRUNCATED),
        (200, b'{"id":"chatcm', False, Outcome.CUT),
        (200, b"[]", True, Outcome.TRUNCATED),
        (502, b'{"error":{"message":"x"}}', True, Outcome.REFUSED),
        (502, b"<html>", True, Outcome.TRUNCATED),
        (502, b'{"error"', False, Outcome.CUT),
    ],
)
def test_a_whole_answer_is_good_refused_or_broken(
    status: int, body: bytes, outcome: Outcome, *, complete: bool
) -> None:
    assert judge("chat", status, body, stream=False, complete=complete).outcome is outcome


def test_an_error_status_is_a_refusal_for_streams_too() -> None:
    body = b'{"error":{"message":"x"}}'
    assert judge("chat", 429, body, stream=True, complete=True).outcome is Outcome.REFUSED


@given(
    st.sampled_from(list(STREAMS)),
    st.binary() | st.text().map(lambda text: f"data: {text}\n\n".encode()),
    st.booleans(),
    st.booleans(),
)
def test_no_bytes_are_too_odd(wire: str, body: bytes, stream: bool, complete: bool) -> None:
    judge(wire, 200, body, stream=stream, complete=complete)
