"""Whole answers in the Responses format: read from providers, written for callers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response
from responses_samples import BODY, GOLDEN, Json

from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats.responses import (
    error_body,
    learn,
    read_ask,
    read_reply,
    refusal,
    write_reply,
)
from tidegate.formats.responses.reply import written
from tidegate.formats.words import (
    Ask,
    Foreign,
    Refusal,
    Reply,
    Said,
    Text,
    Thinking,
    ToolUse,
)
from tidegate.types import Facts, Usage

TOKEN = "0" * 48
USAGE = Usage(input=20, output=9, cached_input=5, cache_write=2, reasoning=4)
LOGPROB = {"token": "It", "logprob": -0.1, "bytes": [73, 116], "top_logprobs": []}

REPLY = Reply(
    id="chatcmpl-1",
    model="other-model-1",
    choices=(
        Said(
            (
                Thinking("Hm.", signature="c2ln"),
                Thinking(redacted="Ymxh"),
                Text(
                    "It rains.",
                    notes=({"type": "url_citation", "url": "https://example.com", "title": "W"},),
                ),
                Refusal("No more."),
                ToolUse("call_1", "weather", '{"city":"Oslo"}', signature="dGg="),
            ),
            "tool_calls",
            logprobs=(LOGPROB,),
        ),
    ),
    usage=USAGE,
    created=1_700_000_000,
)


def write(reply: Reply, ask: Ask | None = None) -> Json:
    """A reply as its caller gets it, judged by OpenAI's SDK."""
    body = written(reply, "assistant", ask, TOKEN, 1_700_000_009)
    Response.model_validate_json(body, strict=True)
    return json.loads(body)


def said(*parts: Any, finish: Any = "stop") -> Reply:
    return Reply(None, None, (Said(parts, finish),), None)


def test_golden_answer() -> None:
    answer = write(REPLY, read_ask(BODY))
    assert answer == json.loads((GOLDEN / "responses_reply.json").read_text())


def test_answer_repeats_the_request_s_parameters() -> None:
    answer = write(said(Text("a")), read_ask(BODY))
    for name in (
        "instructions", "metadata", "max_output_tokens", "temperature", "top_p", "top_logprobs",
        "parallel_tool_calls", "tool_choice", "store", "truncation", "service_tier", "user",
        "reasoning", "text",
    ):  # fmt: skip
        assert answer[name] == BODY[name], name
    assert [tool["type"] for tool in answer["tools"]] == ["function", "web_search"]
    assert answer["tools"][0] == BODY["tools"][0]
    assert answer["model"] == "assistant"


def test_answer_to_a_bare_request_tells_the_defaults() -> None:
    answer = write(said(Text("a")), read_ask({"model": "m", "input": "hello"}))
    assert answer["tools"] == []
    assert answer["tool_choice"] == "auto"
    assert answer["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert answer["reasoning"] == {"effort": None, "summary": None}
    assert answer["usage"] is None
    assert (answer["created_at"], answer["completed_at"]) == (1_700_000_009, 1_700_000_009)


def test_answer_names_the_response_that_it_continues() -> None:
    body = {"model": "m", "input": "hello", "tidegate_continues": "resp_1"}
    assert write(said(Text("a")), read_ask(body))["previous_response_id"] == "resp_1"


def test_answer_to_an_ask_of_another_format() -> None:
    ask = Ask(model="m", turns=(), temperature=0.5)
    assert write(said(Text("a")), ask)["temperature"] == 0.5


def test_ids_are_ours_and_never_twice_the_same() -> None:
    first, second = (json.loads(write_reply(REPLY, "m"))["id"] for _ in range(2))
    assert first != second
    assert first.startswith("resp_")


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("other", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("refusal", "incomplete", "content_filter"),
        ("pause", "incomplete", "max_output_tokens"),
    ],
)
def test_every_finish_has_its_status(finish: Any, status: str, reason: str | None) -> None:
    answer = write(said(Text("a"), finish=finish))
    assert answer["status"] == status
    assert answer["output"][0]["status"] == status
    told = answer["incomplete_details"]
    assert (told["reason"] if told else None) == reason


def test_a_refusal_in_words_is_a_complete_answer() -> None:
    answer = write(said(Refusal("No."), finish="refusal"))
    assert (answer["status"], answer["incomplete_details"]) == ("completed", None)


def test_reasoning_is_a_summary_where_one_was_asked_for() -> None:
    plain = {"model": "m", "input": "hello"}
    thought = said(Thinking("Hm."))
    item = write(thought, read_ask(plain))["output"][0]
    assert (item["summary"], item["content"]) == ([], [{"type": "reasoning_text", "text": "Hm."}])
    item = write(thought, read_ask({**plain, "reasoning": {"summary": "auto"}}))["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert "content" not in item


def test_answer_without_choices_is_empty() -> None:
    assert write(Reply(None, None, (), None))["output"] == []


def test_log_probabilities_are_completed() -> None:
    half = {"token": "a", "logprob": "?", "bytes": None, "top_logprobs": [{"token": "b"}, 3]}
    answer = write(Reply(None, None, (Said((Text("a"),), "stop", logprobs=(half,)),), None))
    assert answer["output"][0]["content"][0]["logprobs"] == [
        {
            "token": "a",
            "logprob": 0.0,
            "bytes": [],
            "top_logprobs": [{"token": "b", "logprob": 0.0, "bytes": []}],
        }
    ]


def test_what_is_written_is_read_again() -> None:
    body = written(REPLY, "m", None, TOKEN, 0)
    read = read_reply(body)
    assert read.usage == USAGE
    assert (read.model, read.created) == (REPLY.model, REPLY.created)
    parts = read.choices[0].parts
    assert [type(part) for part in parts] == [type(part) for part in REPLY.choices[0].parts]
    assert parts[2:] == (
        Text(
            "It rains.",
            notes=(
                {
                    "type": "url_citation",
                    "url": "https://example.com",
                    "title": "W",
                    "start_index": 0,
                    "end_index": 9,
                },
            ),
        ),
        Refusal("No more."),
        ToolUse("call_1", "weather", '{"city":"Oslo"}', signature="dGg="),
    )
    assert read.choices[0].logprobs == (LOGPROB,)
    assert read.choices[0].finish == "tool_calls"


def test_reasoning_finds_its_way_back_through_a_caller() -> None:
    sent = written(REPLY, "m", None, TOKEN, 0)
    items = json.loads(sent)["output"]
    read = read_ask({"model": "m", "input": items})
    thoughts = [part for part in read.turns[0].parts if isinstance(part, Thinking)]
    assert [(t.text, t.signature, t.redacted) for t in thoughts] == [
        ("Hm.", "c2ln", None),
        ("", None, "Ymxh"),
    ]
    assert read.turns[0].parts[-1] == ToolUse("call_1", "weather", '{"city":"Oslo"}', "dGg=")


def response(**fields: Any) -> bytes:
    return json.dumps({"status": "completed", "output": [], **fields}).encode()


def test_what_a_provider_encrypts_is_carried_in_a_signature() -> None:
    items: list[Json] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA"},
        {
            "type": "reasoning",
            "id": "rs_2",
            "encrypted_content": "gB",
            "summary": [{"type": "summary_text", "text": text} for text in ("a", "b")],
        },
        {"type": "reasoning", "id": "x", "content": [{"type": "reasoning_text", "text": "c"}]},
        {"type": "reasoning", "id": "rs_4", "summary": []},
    ]
    assert read_reply(response(output=items)).choices[0].parts == (
        Thinking(redacted="rs1:rs_1:gA", id="rs_1"),
        Thinking("a\n\nb", signature="rs1:rs_2:gB", id="rs_2"),
        Thinking("c", signature="rs1:x:", id="x"),
        Thinking(id="rs_4"),
    )


def test_items_of_a_providers_own_tools_are_kept() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    reply = read_reply(response(output=[item]))
    assert reply.choices[0].parts == (Foreign("responses", item),)
    assert reply.choices[0].finish == "stop"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
        ("steered", "other"),
        (None, "other"),
    ],
)
def test_incomplete_answer_says_why(reason: str | None, finish: str) -> None:
    body = response(status="incomplete", incomplete_details={"reason": reason})
    assert read_reply(body).choices[0].finish == finish
    facts = Facts()
    learn(facts, body)
    assert facts.finish_reason == (reason or "incomplete")


def test_facts_of_an_answer_that_passes() -> None:
    facts = Facts()
    learn(facts, written(REPLY, "m", None, TOKEN, 0))
    assert facts.usage == USAGE
    assert facts.model == "other-model-1"
    assert facts.finish_reason == "completed"
    assert facts.content


def test_answer_that_will_come_later_passes_and_is_not_translated() -> None:
    body = response(status="queued")
    facts = Facts()
    learn(facts, body)
    assert facts.finish_reason == "queued"
    with pytest.raises(UpstreamMalformed):
        read_reply(body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"\xff", b'{"status":"completed"}', b"[" * 5000,
        response(output=[1]), response(output=[{"text": "a"}]),
        response(output=[{"type": "message"}]),
        response(output=[{"type": "message", "content": [1]}]),
        response(output=[{"type": "message", "content": [{"type": "output_text"}]}]),
        response(output=[{"type": "function_call", "name": "f"}]),
        response(output=[{"type": "message", "content": []}] * 257),
        response(usage={"input_tokens": "many"}),
    ],
)  # fmt: skip
def test_answer_that_makes_no_sense_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        read_reply(body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, UpstreamFailed),
        ({"code": "rate_limit_exceeded", "message": "x"}, UpstreamRateLimited),
        ({"code": "invalid_prompt", "message": "x"}, ContentFiltered),
        ({"code": "context_length_exceeded", "message": "x"}, ContextOverflow),
        ({"code": "invalid_image_url", "message": "x"}, UpstreamRefused),
        ({"code": 3, "message": ["x"]}, UpstreamFailed),
        ("broken", UpstreamFailed),
        (None, UpstreamFailed),
    ],
)
def test_failed_answer_is_the_error_it_tells(error: Any, kind: type[UpstreamError]) -> None:
    body = response(status="failed", error=error)
    with pytest.raises(UpstreamError) as raised:
        read_reply(body)
    assert type(raised.value) is kind
    with pytest.raises(kind):
        learn(Facts(), body)


def test_secrets_in_a_provider_s_message_stay_here() -> None:
    error = {"code": "invalid_image_url", "message": "Bearer sk-abcdefghijklmnop is wrong"}
    with pytest.raises(UpstreamRefused) as raised:
        read_reply(response(status="failed", error=error))
    assert "abcdefgh" not in raised.value.message
    assert raised.value.upstream_code == "invalid_image_url"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamRefused),
        (401, UpstreamDenied),
        (404, UpstreamRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamFailed),
        (503, UpstreamFailed),
    ],
)
def test_status_stands_for_an_error(status: int, kind: type[UpstreamError]) -> None:
    error = {
        "message": "It is wrong.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "c",
    }
    told = refusal(status, json.dumps({"error": error}).encode())
    assert type(told) is kind
    if isinstance(told, UpstreamRefused):
        assert (told.message, told.param, told.upstream_code) == ("It is wrong.", "input", "c")


def test_a_complete_answer_says_something() -> None:
    empty: Json = {"object": "response", "status": "completed", "output": []}
    body = json.dumps(empty).encode()
    with pytest.raises(UpstreamMalformed, match="no output"):
        read_reply(body)
    with pytest.raises(UpstreamMalformed, match="no output"):
        learn(Facts(), body)
    assert not read_reply(json.dumps(empty | {"status": "incomplete"}).encode()).choices[0].parts


def test_our_own_errors_look_like_openai_s() -> None:
    told = json.loads(error_body(BadRequest("No.", param="input"), "req_1"))
    assert told == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "input",
            "code": "invalid_request",
        }
    }
