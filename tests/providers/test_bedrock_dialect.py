"""Bedrock, asked through a real pool, and answered in the caller's format."""

from __future__ import annotations

import json
from typing import Any

import anthropic.types
import botocore.serialize
import botocore.session
import botocore.validate
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from bedrock_asking import CLAUDE, TITAN, answered, asked, call, choice, written
from bedrock_server import http, serving

from tidegate.errors import (
    BadRequest,
    Unsupported,
    UpstreamCut,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
)
from tidegate.net.eventstream import encode
from tidegate.providers.bedrock import ApiKey, Bedrock
from tidegate.types import Call, Facts, Usage

STREAM = "application/vnd.amazon.eventstream"
USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
CALL = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
SAID = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}, CALL]}},
    "stopReason": "tool_use",
    "usage": USAGE,
    "metrics": {"latencyMs": 9},
}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    (
        "contentBlockStart",
        {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}},
    ),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":1}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}}),
]
THROTTLED = encode("throttlingException", b'{"message":"Slow down"}', "exception")


def streamed(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(encode(name, json.dumps(data).encode()) for name, data in events)


def events_of(data: bytes) -> list[Any]:
    """The JSON of server-sent events."""
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


# Whole answers and streams, in each caller's format

SDKS: dict[str, Any] = {
    "chat": openai.types.chat.ChatCompletion,
    "messages": anthropic.types.Message,
    "responses": openai.types.responses.Response,
    "completions": openai.types.Completion,
}


@pytest.mark.parametrize("wire", SDKS)
async def test_a_whole_answer_is_the_callers_sdks(wire: str) -> None:
    data, facts = await answered(http(json.dumps(SAID).encode()), call(wire))
    told = SDKS[wire].model_validate_json(data)
    assert "Hello" in told.to_json()
    assert facts.usage == Usage(3, 2)
    assert facts.finish_reason == "tool_calls"


@pytest.mark.parametrize("wire", SDKS)
async def test_a_stream_is_translated_and_counted(wire: str) -> None:
    body = http(streamed(*EVENTS), STREAM)
    data, facts = await answered(body, call(wire, stream=True))
    events = events_of(data)
    assert "Hel" in str(events)
    assert facts.usage == Usage(3, 2)
    assert facts.finish_reason == "tool_calls"
    assert facts.chunks == len(EVENTS)


async def test_a_streamed_chat_says_everything_in_order() -> None:
    data, _ = await answered(http(streamed(*EVENTS), STREAM), call(stream=True))
    chunks = [
        openai.types.chat.ChatCompletionChunk.model_validate(each) for each in events_of(data)
    ]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Hello"
    calls = [each for delta in deltas for each in delta.tool_calls or () if each.function]
    assert calls[0].id == "t1"
    assert "".join((each.function and each.function.arguments) or "" for each in calls) == '{"a":1}'
    assert data.endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_ends_after_its_reason_is_good() -> None:
    data, facts = await answered(http(streamed(*EVENTS[:-1]), STREAM), call(stream=True))
    assert data.endswith(b"data: [DONE]\n\n")
    assert facts.usage is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (streamed(*EVENTS[:3]), UpstreamCut),
        (streamed(*EVENTS)[:-5], UpstreamCut),
        (streamed(EVENTS[0]) + THROTTLED, UpstreamRateLimited),
        (streamed(*EVENTS[:2]) + THROTTLED, UpstreamRateLimited),
        (streamed(*EVENTS[:2]) + b"x" * 16, UpstreamMalformed),
        (b"", UpstreamCut),
    ],
)
async def test_a_stream_that_fails_never_ends_well(body: bytes, error: type[UpstreamError]) -> None:
    said = call(stream=True)
    async with serving(http(body, STREAM)) as server, asked(server, said, choice()) as response:
        answer = Bedrock().answer(response, said, Facts())
        seen = b""
        with pytest.raises(error):  # noqa: PT012 - what came before is looked at
            while part := await answer.read():
                seen += part
        assert b"[DONE]" not in seen
        answer.close()


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (call(), http(b"{}", "text/html")),
        (call(stream=True), http(b"{}")),
        (call(), http(b"<html>")),
        (call("embeddings"), http(b"[]")),
        (call("count_tokens"), http(b"[]")),
    ],
)
async def test_what_is_no_answer_is_malformed(said: Call, body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        await answered(body, said, choice(TITAN if said.wire == "embeddings" else CLAUDE))


# Requests


def test_each_operation_has_its_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x"
    quoted = (
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-x"
    )
    dialect, key = Bedrock(), ApiKey("k")
    for said, model, path in (
        (call(), arn, f"/model/{quoted}/converse"),
        (call(stream=True), CLAUDE, f"/model/{CLAUDE[:-2]}%3A0/converse-stream"),
        (call("embeddings"), TITAN, "/model/amazon.titan-embed-text-v2%3A0/invoke"),
        (call("count_tokens"), CLAUDE, f"/model/{CLAUDE[:-2]}%3A0/count-tokens"),
    ):
        request = dialect.request(choice(model), said, key)
        assert request.path == path
        assert request.headers == b"content-type: application/json\r\nauthorization: Bearer k\r\n"


@pytest.mark.parametrize(
    ("asked_for", "target", "sent"),
    [
        (None, {}, None),
        (None, {"output_default": 300, "output_max": 400}, 300),
        (None, {"output_max": 400}, 400),
        (350, {"output_default": 300, "output_max": 400}, 350),
        (900, {"output_max": 400}, 400),
    ],
)
def test_output_length_has_a_default_and_a_ceiling(
    asked_for: int | None, target: dict[str, int], sent: int | None
) -> None:
    body = written(call(max_tokens=asked_for), choice(**target))
    assert body.get("inferenceConfig", {}).get("maxTokens") == sent


def test_what_cannot_be_said_is_told_or_refused() -> None:
    said = call(seed=1, logit_bias={"1": 2})
    assert Bedrock().request(choice(), said, ApiKey("k")).dropped == ("seed", "logit_bias")
    with pytest.raises(Unsupported) as caught:
        Bedrock().request(choice(unsupported="error"), said, ApiKey("k"))
    assert caught.value.param == "seed"
    assert "seed, logit_bias" in caught.value.message


@pytest.mark.parametrize("model", ["..", "", "\udc80"])
def test_a_caller_cannot_leave_the_place_of_a_model(model: str) -> None:
    with pytest.raises(BadRequest):
        Bedrock().request(choice(model), call(), ApiKey("k"))


def test_a_body_that_nests_too_deeply_is_a_bad_request() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"a": schema}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": schema}}}
    with pytest.raises(BadRequest):
        written(call(tools=[tool]))


def test_counting_asks_for_what_would_be_sent() -> None:
    said = call(
        "count_tokens", system="Be brief", thinking={"type": "enabled", "budget_tokens": 2048}
    )
    body = written(said)
    session: Any = botocore.session.Session()
    operation = session.get_service_model("bedrock-runtime").operation_model("CountTokens")
    parameters = {"modelId": CLAUDE, **body}
    validator: Any = botocore.validate.ParamValidator()
    report = validator.validate(parameters, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    serializer: Any = botocore.serialize.create_serializer("rest-json")
    told = serializer.serialize_to_request(parameters, operation)
    assert json.loads(told["body"]) == body
    assert "thinking" in body["input"]["converse"]["additionalModelRequestFields"]


def test_a_model_that_cannot_count_is_not_asked_to() -> None:
    with pytest.raises(Unsupported):
        written(call("count_tokens"), choice("us.amazon.nova-2-lite-v1:0"))


async def test_a_count_is_told_in_anthropics_words() -> None:
    data, facts = await answered(http(b'{"inputTokens":12}'), call("count_tokens"))
    assert anthropic.types.MessageTokensCount.model_validate_json(data).input_tokens == 12
    assert facts.usage is None
