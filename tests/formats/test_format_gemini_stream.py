"""Streamed answers of Google's."""

from __future__ import annotations

from typing import Any

import pytest
from gemini_samples import PIXEL, answer, line

from tidegate.errors import ContentFiltered, UpstreamMalformed, UpstreamRateLimited
from tidegate.formats import gemini
from tidegate.formats.words import (
    Began,
    Delta,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)
from tidegate.types import Usage

USED = Used(Usage(input=8, output=25, reasoning=20))


def read(*events: Any, candidates: int = 1) -> tuple[list[Delta], gemini.Reader]:
    reader = gemini.Reader(candidates)
    deltas = [delta for event in events for delta in reader.read(b"", line(event))]
    return deltas, reader


def event(*parts: dict[str, Any], finish: str | None = None, **rest: Any) -> dict[str, Any]:
    return answer(*parts, finish=finish, **rest)


def test_a_stream_is_read() -> None:
    deltas, reader = read(
        event({"text": "Hm.", "thought": True}),
        event({"text": "The "}),
        event({"text": "moon."}, finish="STOP"),
    )
    assert deltas == [
        Began(id="aBcD123", model="gemini-2.5-flash"),
        ThinkingDelta("Hm."),
        USED,
        TextDelta("The "),
        TextDelta("moon."),
        Finished("stop"),
    ]
    assert reader.complete()
    assert not reader.done


def test_usage_is_told_when_it_changes() -> None:
    more = {"promptTokenCount": 8, "candidatesTokenCount": 9}
    deltas, _ = read(event({"text": "a"}), event({"text": "b"}), event(usageMetadata=more))
    assert [delta for delta in deltas if isinstance(delta, Used)] == [
        USED,
        Used(Usage(input=8, output=9)),
    ]


def test_calls_are_whole_and_counted() -> None:
    call = {"functionCall": {"name": "time", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    given = {"functionCall": {"id": "x1", "name": "time"}}
    deltas, _ = read(event(call), event(given, finish="STOP"))
    began = [delta for delta in deltas if isinstance(delta, ToolBegan)]
    assert [each.index for each in began] == [0, 1]
    assert began[0].signature == "c2ln"
    assert began[1] == ToolBegan(1, "x1", "time")
    assert ToolDelta(0, '{"a":1}') in deltas
    assert deltas[-1] == Finished("tool_calls")


def test_a_call_has_the_id_that_it_has_in_a_whole_answer() -> None:
    call = answer({"functionCall": {"name": "time"}})
    whole = gemini.read_reply(line(call)).choices[0].parts[0]
    began = next(delta for delta in read(call)[0] if isinstance(delta, ToolBegan))
    assert began.id == whole.id  # pyright: ignore[reportAttributeAccessIssue]


def test_a_texts_signature_is_kept_where_thoughts_are() -> None:
    signed = {"text": "", "thoughtSignature": "c2ln"}
    assert not any(isinstance(delta, ThinkingDelta) for delta in read(event(signed))[0])
    deltas, _ = read(event({"text": "Hm.", "thought": True}), event({"text": "a"}), event(signed))
    assert deltas[-1] == ThinkingDelta(signature="gemini:c2ln")


def test_candidates_are_told_apart() -> None:
    def of(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
        candidate = {"index": index, "content": {"parts": [{"text": text}]}, "finishReason": finish}
        return {"candidates": [candidate]}

    events = [of(0, "a"), of(1, "b"), of(1, "c", "MAX_TOKENS")]
    deltas, reader = read(*events, candidates=2)
    assert deltas[1:] == [
        TextDelta("a"),
        TextDelta("b", 1),
        TextDelta("c", 1),
        Finished("length", choice=1),
    ]
    assert not reader.complete()
    _, reader = read(*events, of(0, "", "STOP"), candidates=2)
    assert reader.complete()


def test_a_stream_without_a_reason_to_end_is_not_complete() -> None:
    assert not read()[1].complete()
    assert not read(event({"text": "a"}))[1].complete()
    assert not read(event({"text": "a"}, finish="STOP"), candidates=2)[1].complete()


def test_log_probabilities_come_with_their_text() -> None:
    told = event({"text": "a"})
    told["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "a", "logProbability": -1}]
    }
    entry = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
    assert TextDelta("a", logprobs=(entry,)) in read(told)[0]
    del told["candidates"][0]["content"]
    assert TextDelta("", logprobs=(entry,)) in read(told)[0]


def test_a_blocked_prompt_is_filtered() -> None:
    with pytest.raises(ContentFiltered):
        read({"promptFeedback": {"blockReason": "SAFETY"}})


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(UpstreamRateLimited) as caught:
        read(
            event({"text": "a"}),
            {"error": {"code": 429, "details": [{"retryDelay": "7s"}]}},
        )
    assert caught.value.retry_after_s == 7.0


def test_an_end_that_is_said_again_is_the_same_end() -> None:
    last = event(finish="STOP")
    deltas, _ = read(last, last, event())
    assert [delta for delta in deltas if isinstance(delta, Finished)] == [Finished("stop")]


@pytest.mark.parametrize(
    "after",
    [
        event({"text": "more"}),
        event({"functionCall": {"name": "time"}}),
    ],
)
def test_content_after_the_end_is_malformed(after: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        read(event(finish="STOP"), after)


ODD: list[Any] = [
    event({"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
    event({"executableCode": {"code": "1"}}),
    event({"functionCall": {"args": {}}}),
    event({"text": 1}),
    event({"text": "a"}, finish="MALFORMED_FUNCTION_CALL"),
    [],
    "text",
    {"candidates": {}},
    {"candidates": [{"index": 128}]},
    {"candidates": [{"content": []}]},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_understood_is_malformed(odd: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        read(odd)


def test_too_many_calls_are_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        read(*[event({"functionCall": {"name": "time"}})] * 257)


def test_parts_without_anything_known_are_passed_over() -> None:
    deltas, _ = read(event({"somethingNew": {}}, {}))
    assert deltas == [Began(id="aBcD123", model="gemini-2.5-flash"), USED]
