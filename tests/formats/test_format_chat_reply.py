"""Whole answers in the chat format."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from tidegate.errors import ContextOverflow, UpstreamError, UpstreamFailed, UpstreamMalformed
from tidegate.formats import chat
from tidegate.formats.words import (
    Finish,
    Foreign,
    Image,
    Part,
    Refusal,
    Reply,
    Said,
    Text,
    Thinking,
    ToolUse,
)
from tidegate.types import Facts, Usage

Json = dict[str, Any]
GOLDEN = Path(__file__).with_name("golden")
SCORES = ({"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []},)


def reply(*parts: Part, finish: Finish = "stop") -> Reply:
    return Reply("id-1", "gpt-1", (Said(parts, finish),), Usage(3, 4), 1_700_000_000)


def written(told: Reply) -> Json:
    """`told` as it is written, once the SDK has understood it."""
    body: Json = msgspec.json.decode(chat.write_reply(told, "alias"))
    ChatCompletion.model_validate(body, strict=True)
    return body


def read(message: Json, reason: str | None = "stop", **choice: Any) -> Said:
    told = {"choices": [{"index": 0, "message": message, "finish_reason": reason, **choice}]}
    return chat.read_reply(msgspec.json.encode(told)).choices[0]


FULL = Reply(
    "chatcmpl-1",
    "gpt-1",
    (
        Said(
            (
                Thinking("I have to look.", "sig"),
                Thinking(redacted="xyz"),
                Text(
                    "Dover has 6.2 m.",
                    notes=(
                        {
                            "type": "url_citation",
                            "start_index": 0,
                            "end_index": 5,
                            "title": "Tides",
                            "url": "https://example.org/tides",
                        },
                    ),
                ),
                ToolUse("call_1", "tide", '{"place":"Dover"}', "sig-1"),
                ToolUse("call_2", "tide", '{"place":"Kiel"}'),
            ),
            "tool_calls",
            logprobs=SCORES,
        ),
        Said((Refusal("I will not."),), "refusal"),
        Said((Text("So far"),), "length"),
        Said((Text("one, two"),), "stop", "three"),
    ),
    Usage(10, 20, cached_input=4, cache_write=2, reasoning=8),
    1_700_000_000,
)


def test_a_reply_with_everything_is_written_as_kept_and_read_back() -> None:
    assert written(FULL) == msgspec.json.decode((GOLDEN / "chat_reply.json").read_bytes())
    assert chat.read_reply(chat.write_reply(FULL, "alias")) == FULL


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_COUNTS = st.none() | st.integers(0, 9)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    choices: list[Said] = []
    for _ in range(draw(st.integers(1, 3))):
        parts: list[Part] = [*draw(st.lists(st.builds(Thinking, _WORDS, _WORDS), max_size=2))]
        parts += draw(st.lists(st.builds(Text, _WORDS), max_size=1))
        parts += draw(st.lists(st.builds(Image, url=_WORDS), max_size=1))
        parts += draw(st.lists(st.builds(Refusal, _WORDS), max_size=1))
        calls = draw(st.lists(st.builds(ToolUse, _WORDS, _WORDS, _WORDS), max_size=2))
        ends = ["length", "content_filter"]
        if calls:
            ends.append("tool_calls")
        else:
            ends.append("refusal" if any(isinstance(p, Refusal) for p in parts) else "stop")
        finish: Any = draw(st.sampled_from(ends))
        scores = draw(st.sampled_from([None, (), SCORES]))
        choices.append(Said((*parts, *calls), finish, None, scores))
    usage = st.builds(Usage, st.integers(20, 99), st.integers(20, 99), _COUNTS, _COUNTS, _COUNTS)
    return Reply(
        draw(_WORDS), draw(_WORDS), tuple(choices), draw(st.none() | usage), draw(st.just(7))
    )


@settings(deadline=None, max_examples=40)
@given(replies())
def test_an_answer_is_the_same_after_it_was_written_and_read(told: Reply) -> None:
    written(told)
    assert chat.read_reply(chat.write_reply(told, "alias")) == told


def test_what_a_vendor_does_not_tell_is_filled_in() -> None:
    body = written(Reply(None, None, (Said((Text("Hi"),), "stop"),), None))
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "alias"
    assert body["created"] > 1_700_000_000
    assert "usage" not in body


@pytest.mark.parametrize(
    ("parts", "finish", "told"),
    [
        ((Text("x"),), "stop", "stop"),
        ((Text("x"),), "length", "length"),
        ((Text("x"),), "pause", "length"),
        ((Text("x"),), "other", "stop"),
        ((Text("x"),), "content_filter", "content_filter"),
        ((ToolUse("a", "f", "{}"),), "tool_calls", "tool_calls"),
        ((Refusal("no"),), "refusal", "stop"),
        ((), "refusal", "content_filter"),
    ],
)
def test_every_end_has_a_word(parts: tuple[Part, ...], finish: Finish, told: str) -> None:
    assert written(reply(*parts, finish=finish))["choices"][0]["finish_reason"] == told


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "reason", "finish"),
    [
        ({"content": "x"}, "stop", "stop"),
        ({"content": "x"}, "eos", "stop"),
        ({"content": "x"}, "model_length", "length"),
        ({"content": "x"}, "insufficient_system_resource", "other"),
        ({"content": "x"}, None, "other"),
        ({"refusal": "no"}, "stop", "refusal"),
        ({"tool_calls": [CALL]}, "stop", "tool_calls"),
        ({"tool_calls": [CALL]}, None, "tool_calls"),
        ({"tool_calls": [CALL]}, "length", "length"),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "function_call", "tool_calls"),
    ],
)
def test_servers_tell_an_end_in_many_words(
    message: Json, reason: str | None, finish: Finish
) -> None:
    assert read(message, reason).finish == finish


def test_an_end_by_error_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed):
        read({"content": "x"}, "error")


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": "x", "reasoning": "hm"}, (Thinking("hm"), Text("x"))),
        ({"content": "x", "reasoning_content": "hm"}, (Thinking("hm"), Text("x"))),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "x"},
                    {"type": "reference", "reference_ids": [1]},
                ]
            },
            (Thinking("hm"), Text("x"), Foreign("chat", {"type": "reference"})),
        ),
        (
            {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iV"}}]},
            (Image(data="iV", media_type="image/png"),),
        ),
        (
            {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
            (ToolUse("a", "f", '{"x":1}'),),
        ),
        ({"content": None, "audio": {"id": "a", "transcript": "x"}},
         (Foreign("chat", {"type": "message.audio", "value": {"id": "a", "transcript": "x"}}),)),
    ],
)  # fmt: skip
def test_servers_put_parts_in_many_places(message: Json, parts: tuple[Part, ...]) -> None:
    assert read(message).parts == parts


def test_a_call_without_an_id_gets_one() -> None:
    (call,) = read({"tool_calls": [{"function": {"name": "f"}}]}).parts
    assert isinstance(call, ToolUse)
    assert call.id.startswith("call_")


def test_choices_come_in_the_order_of_their_numbers() -> None:
    body = {"choices": [{"index": n, "message": {"content": str(n)}} for n in (1, 0)]}
    told = chat.read_reply(msgspec.json.encode(body))
    assert [said.parts for said in told.choices] == [(Text("0"),), (Text("1"),)]


def test_a_citation_of_another_format_is_told_with_the_place_it_can_have() -> None:
    page = {"type": "web_search_result_location", "url": "https://x", "cited_text": "y"}
    other = {"type": "char_location", "document_index": 0}
    message = written(reply(Text("ab"), Text("cde", notes=(page, other))))["choices"][0]["message"]
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 2, "end_index": 5, "title": "", "url": "https://x"},
        }
    ]


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Usage(5, 7)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(5, 7, cached_input=2, reasoning=3),
        ),
        (  # DeepSeek
            {"prompt_tokens": 5, "completion_tokens": 7, "prompt_cache_hit_tokens": 2},
            Usage(5, 7, cached_input=2),
        ),
        (  # xAI: reasoning is beside the completion
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(32, 103, reasoning=94),
        ),
    ],
)
def test_tokens_are_counted_once(usage: Json, known: Usage) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    body = msgspec.json.encode({"choices": [choice], "usage": usage})
    facts = Facts()
    chat.learn(facts, body)
    assert chat.read_reply(body).usage == facts.usage == known


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"\xff",
        b"[" * 9_999,
        b'{"choices":{}}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"function":{}}]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"type":"x"}]}}]}',
        b'{"choices":[{"message":{}}],"usage":{"prompt_tokens":-1}}',
        b'{"choices":[' + b'{"message":{}},' * 128 + b'{"message":{}}]}',
        b'{"choices":[{"message":{"tool_calls":['
        + b'{"function":{"name":"f"}},' * 256
        + b'{"function":{"name":"f"}}]}}]}',
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        chat.read_reply(body)


def test_an_error_inside_a_good_answer_is_that_error() -> None:
    error = {"error": {"message": "maximum context length is 5", "code": 400}}
    with pytest.raises(ContextOverflow):
        chat.read_reply(msgspec.json.encode(error))
    with pytest.raises(ContextOverflow):
        chat.learn(Facts(), msgspec.json.encode(error))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_value_of_any_type_does_more_than_fail(data: st.DataObject) -> None:
    body: Json = msgspec.json.decode((GOLDEN / "chat_reply.json").read_bytes())
    places: list[Json] = [body, body["usage"], *body["choices"]]
    places += [choice["message"] for choice in body["choices"]]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_JSON)
    told = msgspec.json.encode(body)
    with suppress(UpstreamError):
        chat.learn(Facts(), told)
    with suppress(UpstreamError):
        chat.write_reply(chat.read_reply(told), "alias")
