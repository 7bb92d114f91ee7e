"""Whole answers of Google's."""

from __future__ import annotations

from typing import Any

import pytest
from gemini_samples import PIXEL, answer, encoded

from tidegate.errors import (
    ContentFiltered,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
)
from tidegate.formats import gemini
from tidegate.formats.words import Foreign, Image, Reply, Said, Text, Thinking, ToolUse
from tidegate.types import Usage


def read(value: Any) -> Reply:
    return gemini.read_reply(encoded(value))


def only(*parts: dict[str, Any], **rest: Any) -> Said:
    return read(answer(*parts, **rest)).choices[0]


def test_an_answer_is_read() -> None:
    assert read(answer({"text": "The moon."})) == Reply(
        id="aBcD123",
        model="gemini-2.5-flash",
        choices=(Said(parts=(Text("The moon."),), finish="stop"),),
        usage=Usage(input=8, output=25, reasoning=20),
    )


def test_neighbouring_texts_are_one() -> None:
    parts = ({"text": "Hm", "thought": True}, {"text": ".", "thought": True}, {"text": "The "})
    said = only(*parts, {"text": "moon."}, {"text": ""})
    assert said.parts == (Thinking("Hm."), Text("The moon."))


def test_calls_have_ids_that_stay_the_same() -> None:
    call = {"functionCall": {"name": "time", "args": {"zone": "UTC", "n": [1, 2]}}}
    first, second = only(call, call).parts, only(call, call).parts
    assert first == second
    one, two = first
    assert isinstance(one, ToolUse)
    assert isinstance(two, ToolUse)
    assert one.id.startswith("call_")
    assert len(one.id) <= 40
    assert one.id.isascii()
    assert one.id != two.id
    assert one.arguments == '{"zone":"UTC","n":[1,2]}'
    other = only(call, responseId="another").parts[0]
    assert isinstance(other, ToolUse)
    assert other.id != one.id
    nameless = only(call, responseId=None).parts[0]
    assert isinstance(nameless, ToolUse)
    assert nameless.id == only(call, responseId=None).parts[0].id  # pyright: ignore[reportAttributeAccessIssue]


def test_googles_own_ids_and_signatures_are_kept() -> None:
    said = only(
        {"functionCall": {"id": "x1", "name": "time"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "x2", "name": "time", "args": None}},
    )
    assert said.parts == (
        ToolUse("x1", "time", "{}", signature="c2ln"),
        ToolUse("x2", "time", "{}"),
    )
    assert said.finish == "tool_calls"


def test_a_texts_signature_is_kept_where_thoughts_are() -> None:
    text = {"text": "The moon.", "thoughtSignature": "c2ln"}
    assert only(text).parts == (Text("The moon."),)
    assert only({"text": "Hm.", "thought": True}, text).parts == (
        Thinking("Hm."),
        Text("The moon."),
        Thinking(signature="gemini:c2ln"),
    )
    thought = {"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}
    assert only(thought).parts == (Thinking("Hm.", signature="gemini:c2ln"),)


def test_images_and_foreign_parts_are_kept() -> None:
    code = {"language": "PYTHON", "code": "1"}
    said = only({"inlineData": {"mimeType": "image/png", "data": PIXEL}}, {"executableCode": code})
    assert said.parts == (
        Image(data=PIXEL, media_type="image/png"),
        Foreign("gemini", {"type": "executableCode", "executableCode": code}),
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("OTHER", "other"),
        ("LANGUAGE", "other"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_every_reason_means_something(reason: str, finish: str) -> None:
    assert only({"text": "a"}, finish=reason).finish == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_an_answer_that_broke_off_is_malformed(reason: str) -> None:
    with pytest.raises(UpstreamMalformed):
        only({"text": "a"}, finish=reason)


def test_a_call_cut_by_its_length_is_no_call_to_make() -> None:
    call: Any = {"functionCall": {"name": "time", "args": {}}}
    assert only(call, finish="MAX_TOKENS").finish == "length"


def test_a_filtered_answer_without_content_is_an_answer() -> None:
    told = {"candidates": [{"finishReason": "SAFETY", "index": 0}]}
    assert read(told).choices == (Said(parts=(), finish="content_filter"),)


def test_a_blocked_prompt_is_filtered() -> None:
    with pytest.raises(ContentFiltered) as caught:
        read({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}})
    assert caught.value.status == 400
    assert "PROHIBITED_CONTENT" in caught.value.message


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # ai.google.dev/gemini-api/docs/thinking: thoughts beside the candidates' tokens
        (
            {
                "promptTokenCount": 9,
                "candidatesTokenCount": 807,
                "totalTokenCount": 1621,
                "thoughtsTokenCount": 805,
            },
            Usage(input=9, output=1612, reasoning=805),
        ),
        # … among them, as some models count
        (
            {
                "promptTokenCount": 9,
                "candidatesTokenCount": 807,
                "totalTokenCount": 816,
                "thoughtsTokenCount": 805,
            },
            Usage(input=9, output=807, reasoning=805),
        ),
        # … and not told, but in the total
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 7, "totalTokenCount": 100},
            Usage(input=9, output=91),
        ),
        # ai.google.dev/gemini-api/docs/caching: cached tokens are a part of the prompt's
        (
            {
                "promptTokenCount": 696_219,
                "cachedContentTokenCount": 696_190,
                "candidatesTokenCount": 214,
                "totalTokenCount": 696_433,
            },
            Usage(input=696_219, output=214, cached_input=696_190),
        ),
        # tools that Google runs add to what is read
        (
            {
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 90,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 108,
            },
            Usage(input=100, output=8, reasoning=3),
        ),
        ({"promptTokenCount": 4, "totalTokenCount": 4}, Usage(input=4, output=0)),
        ({"totalTokenCount": 4, "promptTokenCount": 40}, Usage(input=40, output=0)),
    ],
)
def test_tokens_add_up(told: dict[str, int], expected: Usage) -> None:
    found = read(answer({"text": "a"}, usageMetadata=told)).usage
    assert found == expected
    assert found is not None
    if told["totalTokenCount"] >= told["promptTokenCount"]:
        assert found.input + found.output == told["totalTokenCount"]


def test_log_probabilities_are_openais_entries() -> None:
    told = answer({"text": "né"})
    told["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [
            {"token": "n", "tokenId": 1, "logProbability": -0.5},
            {"token": "é", "logProbability": -1},
        ],
        "topCandidates": [
            {"candidates": [{"token": "n", "logProbability": -0.5}, {"token": "m"}]},
        ],
    }
    assert read(told).choices[0].logprobs == (
        {
            "token": "n",
            "logprob": -0.5,
            "bytes": [110],
            "top_logprobs": [
                {"token": "n", "logprob": -0.5, "bytes": [110]},
                {"token": "m", "logprob": 0.0, "bytes": [109]},
            ],
        },
        {"token": "é", "logprob": -1.0, "bytes": [195, 169], "top_logprobs": []},
    )


def test_every_candidate_is_a_choice() -> None:
    told = answer({"text": "a"})
    told["candidates"].append({"content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"})
    assert [said.finish for said in read(told).choices] == ["stop", "length"]


def test_an_error_inside_an_answer_is_raised() -> None:
    with pytest.raises(UpstreamFailed):
        read({"error": {"code": 503, "status": "UNAVAILABLE"}})
    with pytest.raises(UpstreamRateLimited):
        read({"error": {"status": "RESOURCE_EXHAUSTED"}})
    with pytest.raises(UpstreamDenied):
        only({"text": "a"}, finish="PUP_LIMITED_DISABLED")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"candidates": []}',
        b'{"candidates": [{}]}',
        b'{"candidates": [null]}',
        b'{"candidates": [{"finishReason": 1}]}',
        b'{"candidates": [{"finishReason": "STOP", "index": -1}]}',
        b'{"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": 1}]}}]}',
        b'{"candidates": [{"finishReason": "STOP", "content": {"parts": [{"functionCall": {}}]}}]}',
        b'{"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": -1}}',
        b'{"candidates": [{"finishReason": "STOP"}], "responseId": 1}',
        b'{"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "\xff"}]}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        gemini.read_reply(body)


@pytest.mark.parametrize("args", [b"[]", b'"a"', b"1", b"true", b'{"a": "\xff"}'])
def test_arguments_that_are_no_object_are_malformed(args: bytes) -> None:
    call = b'{"functionCall": {"name": "a", "args": %b}}' % args
    body = b'{"candidates":[{"finishReason":"STOP","content":{"parts":[%b]}}]}' % call
    with pytest.raises(UpstreamMalformed):
        gemini.read_reply(body)


def test_too_many_calls_are_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        only(*[{"functionCall": {"name": "time"}}] * 257)
