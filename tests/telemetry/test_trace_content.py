"""Prompts and answers in a trace: in the words of the conventions, bounded, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SAMPLES, record

from tidegate.telemetry.content import CONTENT_CHARACTERS, content
from tidegate.telemetry.spans import spans

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"


def told(wire: str, request: object = None, response: object = None) -> dict[str, Any]:
    bodies = (None if each is None else json.dumps(each).encode() for each in (request, response))
    asked, said = bodies
    found = content(record(wire=wire, request_body=asked, response_body=said))
    return {name: json.loads(value) for name, value in found.items()}


def test_nothing_is_told_unless_the_record_has_it_and_it_is_wanted() -> None:
    assert content(record()) == {}
    full = SAMPLES["streamed"]
    assert not any(INPUT in span.attributes for span in spans(full))
    assert sum(INPUT in span.attributes for span in spans(full, told=True)) == 1


def test_a_conversation_with_tools_of_chat() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    asked = [
        {"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "rain"},
    ]  # fmt: skip
    assert told("chat", {"model": "fast", "messages": asked})[INPUT] == [
        {"role": "user", "parts": [{"type": "text", "content": "Look"}, {"type": "image"}]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "t1", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [
            {"type": "tool_call_response", "id": "t1", "response": "rain"}]},
    ]  # fmt: skip


def test_messages_and_responses() -> None:
    asked = {"model": "m", "max_tokens": 9, "system": "Be kind.",
             "messages": [{"role": "user", "content": "Hi"}]}  # fmt: skip
    said = {"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Ho"}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    system = {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]}
    user = {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Ho"}],
              "finish_reason": "stop"}  # fmt: skip
    assert told("messages", asked, said) == {INPUT: [system, user], OUTPUT: [answer]}
    asked = {"model": "m", "instructions": "Be kind.", "input": "Hi"}
    assert told("responses", asked) == {INPUT: [system, user]}


def test_of_a_long_conversation_the_newest_is_told() -> None:
    messages = [{"role": "user", "content": f"{n} " + "x" * 1000} for n in range(100)]
    asked = told("chat", {"model": "m", "messages": messages})[INPUT]
    assert asked[-1]["parts"][0]["content"].startswith("99 ")
    assert 20 < len(asked) < 40
    text = told("chat", {"model": "m", "messages": [{"role": "user", "content": "x" * 10**6}]})
    assert len(text[INPUT][0]["parts"][0]["content"]) <= CONTENT_CHARACTERS + 1


def test_an_answer_that_broke_off_is_told_as_far_as_it_came() -> None:
    whole = SAMPLES["streamed"].response_body or b""
    cut = whole[: whole.index(b"day") + 1]
    found = content(record(response_body=cut))
    assert json.loads(found[OUTPUT])[0]["parts"] == [{"type": "text", "content": "Good "}]


@pytest.mark.parametrize("wire", ["chat", "messages", "responses", "completions", "embeddings"])
@given(
    st.binary(max_size=99) | st.sampled_from([b"[" * 5000, b'{"messages": {}}', b"data: {}\n\n"])
)
def test_what_cannot_be_read_is_left_out(wire: str, body: bytes) -> None:
    for value in content(record(wire=wire, request_body=body, response_body=body)).values():
        json.loads(value)
