"""Streams in the Responses format: read and watched, and written for callers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from responses_samples import BODY, GOLDEN, Json

from tidegate.errors import (
    BadRequest,
    ContextOverflow,
    UpstreamCut,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
)
from tidegate.formats.responses import error_event, read_ask, reader, watch, writer
from tidegate.formats.responses.shapes import MOST_ITEMS
from tidegate.formats.responses.writer import ResponsesWriter
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)
from tidegate.net.sse import SseDecoder
from tidegate.types import Facts, Usage

EVENT = TypeAdapter[Any](ResponseStreamEvent)
USAGE = Usage(input=20, output=9, cached_input=5, cache_write=0, reasoning=4)
LOGPROB = {"token": "It", "logprob": -0.1, "bytes": [73, 116], "top_logprobs": []}

DELTAS: list[Delta] = [
    Began("chatcmpl-1", "other-model-1", 1_700_000_000),
    ThinkingDelta("H"),
    ThinkingDelta("m."),
    ThinkingDelta(signature="c2ln"),
    ThinkingDelta(redacted="Ymxh"),
    TextDelta("It", logprobs=(LOGPROB,)),
    TextDelta(" rains."),
    TextDelta("", notes=({"type": "url_citation", "url": "https://example.com", "title": "W"},)),
    RefusalDelta("No "),
    RefusalDelta("more."),
    ToolBegan(0, "call_1", "weather", signature="dGg="),
    ToolDelta(0, '{"city":'),
    ToolDelta(0, '"Oslo"}'),
    ToolBegan(1, "call_2", "weather"),
    ToolDelta(1, "{}"),
    Finished("tool_calls"),
    Used(USAGE),
]


def ask(**fields: Any) -> Ask:
    return read_ask({"model": "assistant", "input": "hello", "stream": True, **fields})


def make(ask: Ask) -> ResponsesWriter:
    return ResponsesWriter(ask, "0" * 48, 1_700_000_009)


def events(stream: bytes) -> list[Json]:
    """The events of a stream, each judged by OpenAI's SDK and named as it says."""
    found: list[Json] = []
    for event in SseDecoder(1 << 24).feed(stream):
        EVENT.validate_json(event.data, strict=True)
        found.append(json.loads(event.data))
        assert event.event.decode() == found[-1]["type"]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def write(deltas: list[Delta], ask_: Ask | None = None) -> list[Json]:
    """What a caller gets for `deltas`, each written on its own."""
    wrote = make(ask_ or ask())
    return events(b"".join(wrote.write([delta]) for delta in deltas) + wrote.end())


def test_golden_stream() -> None:
    wrote = make(read_ask(BODY))
    stream = b"".join(wrote.write([delta]) for delta in DELTAS) + wrote.end()
    events(stream)
    assert stream == (GOLDEN / "responses_stream.sse").read_bytes()


def test_nothing_is_written_before_there_is_something_to_say() -> None:
    wrote = make(ask())
    assert wrote.write([Began("a", "b"), Used(USAGE)]) == b""
    first = events(wrote.write([TextDelta("a")]))
    assert [event["type"] for event in first] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert first[0]["response"]["status"] == "in_progress"
    assert first[0]["response"]["model"] == "b"


def test_the_last_event_holds_all_that_was_streamed() -> None:
    whole = write(DELTAS)[-1]["response"]
    done = [e["item"] for e in write(DELTAS) if e["type"] == "response.output_item.done"]
    assert whole["output"] == done
    assert [item["type"] for item in done] == [
        "reasoning", "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    assert [part["type"] for part in done[2]["content"]] == ["output_text", "refusal"]
    assert done[2]["content"][0]["text"] == "It rains."
    assert done[2]["content"][0]["logprobs"] == [LOGPROB]
    assert done[3]["arguments"] == '{"city":"Oslo"}'
    assert whole["usage"]["total_tokens"] == 29
    assert whole["status"] == "completed"


def test_a_refusal_without_words_is_no_complete_answer() -> None:
    cut = write([TextDelta("It ra"), Finished("refusal")])[-1]
    assert cut["type"] == "response.incomplete"
    assert cut["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert cut["response"]["output"][0]["status"] == "incomplete"
    assert write([RefusalDelta("No."), Finished("refusal")])[-1]["type"] == "response.completed"


def test_reasoning_is_a_summary_where_one_was_asked_for() -> None:
    kinds = [e["type"] for e in write(DELTAS[:4], ask(reasoning={"summary": "auto"}))]
    assert kinds[3:-1] == [
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]
    kinds = [e["type"] for e in write(DELTAS[:4])]
    assert kinds[3:-1] == [
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]


@pytest.mark.parametrize(
    ("finish", "kind", "reason"),
    [
        ("stop", "response.completed", None),
        ("length", "response.incomplete", "max_output_tokens"),
        ("content_filter", "response.incomplete", "content_filter"),
    ],
)
def test_last_event_says_how_it_ended(finish: Any, kind: str, reason: str | None) -> None:
    last = write([TextDelta("a"), Finished(finish)])[-1]
    assert last["type"] == kind
    told = last["response"]["incomplete_details"]
    assert (told["reason"] if told else None) == reason
    assert last["response"]["output"][0]["status"] == kind.removeprefix("response.")


def test_empty_answer_is_a_whole_one() -> None:
    assert [e["type"] for e in write([])] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]


def test_pieces_that_say_nothing_open_nothing() -> None:
    silent: list[Delta] = [TextDelta(""), RefusalDelta(""), ThinkingDelta(), Finished("stop")]
    assert len(write(silent)) == 3
    assert len(write([ToolBegan(0, "a", "f"), ToolDelta(0, ""), Finished("stop")])) == 6


def test_text_after_a_call_is_another_message() -> None:
    deltas: list[Delta] = [TextDelta("a"), ToolBegan(0, "1", "f"), TextDelta("b"), TextDelta("c")]
    output = write(deltas)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert output[2]["content"][0]["text"] == "bc"
    assert len({item["id"] for item in output}) == 3


def test_other_choices_are_not_told() -> None:
    other: list[Delta] = [TextDelta("x", choice=1), Finished("stop", choice=1)]
    assert (
        write([*other, TextDelta("a"), Finished("stop")])[-1]
        == write([TextDelta("a"), Finished("stop")])[-1]
    )


def test_call_that_goes_on_after_its_end_is_malformed() -> None:
    wrote = make(ask())
    wrote.write([ToolBegan(0, "1", "f"), ToolBegan(1, "2", "f")])
    with pytest.raises(UpstreamMalformed):
        wrote.write([ToolDelta(0, "{}")])
    with pytest.raises(UpstreamMalformed):
        make(ask()).write([ToolDelta(0, "{}")])


def test_answer_has_a_bound() -> None:
    calls: list[Delta] = [ToolBegan(n, str(n), "f") for n in range(MOST_ITEMS + 1)]
    with pytest.raises(UpstreamMalformed):
        make(ask()).write(calls)
    notes = tuple({"url": "u"} for _ in range(MOST_ITEMS + 1))
    with pytest.raises(UpstreamMalformed):
        make(ask()).write([TextDelta("a", notes=notes)])
    turns: list[Delta] = [TextDelta("a"), RefusalDelta("b")] * MOST_ITEMS
    with pytest.raises(UpstreamMalformed):
        make(ask()).write(turns)
    with pytest.raises(UpstreamMalformed):
        make(ask()).write([TextDelta("a" * (1 << 24))] * 5)


def test_failure_after_the_beginning_is_an_event_of_its_own() -> None:
    found = events(error_event(UpstreamFailed("It broke."), "req_1"))
    assert found[0]["code"] == "upstream_failed"
    assert found[0]["error"]["message"] == "It broke."
    told = json.loads(error_event(BadRequest("No.", param="input"), "").split(b"data: ")[1])
    assert told["param"] == "input"


# Reading


def read(*sent: Json) -> list[Delta]:
    """The deltas of a provider's events."""
    reading, deltas = reader(), list[Delta]()
    for event in sent:
        deltas += reading.read(b"", json.dumps(event).encode())
    return deltas


def test_what_is_written_is_read_again() -> None:
    assert read(*write(DELTAS)) == [
        Began("resp_" + "0" * 48, "other-model-1", 1_700_000_000),
        ThinkingDelta("H"),
        ThinkingDelta("m."),
        ThinkingDelta(signature="rs1:rs_" + "0" * 50 + ":tg1s:c2ln"),
        ThinkingDelta(redacted="rs1:rs_" + "0" * 49 + "1:tg1r:Ymxh"),
        TextDelta("It", logprobs=(LOGPROB,)),
        TextDelta(" rains."),
        TextDelta(
            "",
            notes=(
                {
                    "type": "url_citation", "url": "https://example.com", "title": "W",
                    "start_index": 0, "end_index": 9,
                },
            ),
        ),
        *DELTAS[8:15],
        Used(USAGE),
        Finished("tool_calls"),
    ]  # fmt: skip


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
COMPLETED: Json = {"type": "response.completed", "response": {"status": "completed", "output": []}}


def test_only_the_last_event_is_the_end() -> None:
    reading = reader()
    for event in write(DELTAS)[:-1]:
        reading.read(b"", json.dumps(event).encode())
    assert not reading.done
    assert not reading.complete()
    reading.read(b"", json.dumps(COMPLETED).encode())
    assert reading.done


def test_a_stream_without_any_output_is_malformed() -> None:
    with pytest.raises(UpstreamMalformed, match="no output"):
        read(CREATED, COMPLETED)
    with pytest.raises(UpstreamMalformed, match="no output"):
        watch(Facts(), {}, wants_usage=True).passes(b"", json.dumps(COMPLETED).encode())


def test_end_mark_of_another_format_is_no_end() -> None:
    for looker in (reader().read, watch(Facts(), {}, wants_usage=True).passes):
        with pytest.raises(UpstreamCut):
            looker(b"", b"[DONE]")


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "message", "content": [{"type": "refusal", "refusal": "a"}]},
        {"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "text": "a"}]},
    ],
)
def test_item_that_was_not_streamed_is_read_from_where_it_is_repeated(item: Json) -> None:
    kind = item["type"]
    if kind == "function_call":
        said: list[Delta] = [ToolBegan(0, "1", "f"), ToolDelta(0, "{}")]
    elif kind == "reasoning":
        said = [ThinkingDelta("a", "rs1:rs_1:")]
    elif item["content"][0]["type"] == "refusal":
        said = [RefusalDelta("a")]
    else:
        said = [TextDelta("a")]
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    assert read(CREATED, done)[1:] == said
    assert read(CREATED, done, COMPLETED)[1:-1] == said
    whole = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    assert read(CREATED, whole)[1:-1] == said
    assert read(whole)[0] == Began(None, None)


def test_arguments_that_were_streamed_are_not_said_twice() -> None:
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": ""}
    sent: list[Json] = [
        {"type": "response.output_item.added", "output_index": 3, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{}"},
        {"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{}"},
        {
            "type": "response.output_item.done",
            "output_index": 3,
            "item": call | {"arguments": "{}"},
        },
    ]
    assert read(*sent)[1:] == [ToolBegan(0, "1", "f"), ToolDelta(0, "{}")]


def test_parts_of_a_summary_are_paragraphs() -> None:
    name = "response.reasoning_summary"
    sent: list[Json] = [
        {"type": f"{name}_part.added", "summary_index": 0},
        {"type": f"{name}_text.delta", "summary_index": 0, "delta": "a"},
        {"type": f"{name}_part.added", "summary_index": 1},
        {"type": f"{name}_text.delta", "summary_index": 1, "delta": "b"},
    ]
    assert read(*sent)[1:] == [ThinkingDelta("a"), ThinkingDelta("\n\n"), ThinkingDelta("b")]


def test_events_of_a_providers_own_tools_say_nothing() -> None:
    assert read({"type": "response.web_search_call.searching", "output_index": 0}) == []
    added = {"type": "response.output_item.added", "item": {"type": "web_search_call"}}
    done = {"type": "response.output_item.done", "item": {"type": "web_search_call"}}
    assert read(added, done) == [Began(None, None)]


FAILURES: list[tuple[Json, type[UpstreamError]]] = [
    ({"type": "error", "code": "server_error", "message": "x"}, UpstreamFailed),
    ({"type": "error", "error": {"code": "rate_limit_exceeded"}}, UpstreamRateLimited),
    ({"type": "error", "error": {"code": "context_length_exceeded"}}, ContextOverflow),
    ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, UpstreamFailed),
    ({"type": "response.failed"}, UpstreamFailed),
]


@pytest.mark.parametrize(("event", "kind"), FAILURES)
def test_failure_in_a_stream_is_the_error_it_tells(event: Json, kind: type[UpstreamError]) -> None:
    data = json.dumps(event).encode()
    for looker in (reader().read, watch(Facts(), {}, wants_usage=True).passes):
        with pytest.raises(UpstreamError) as raised:
            looker(b"", data)
        assert type(raised.value) is kind


@pytest.mark.parametrize(
    "event",
    [
        [], "text", {}, {"type": 1},
        {"type": "response.output_text.delta", "delta": 1},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.completed"},
        {"type": "response.completed", "response": []},
        {"type": "response.output_item.done", "item": None},
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
    ],
)  # fmt: skip
def test_event_that_makes_no_sense_is_malformed(event: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        reader().read(b"", json.dumps(event).encode())


def test_stream_of_calls_has_a_bound() -> None:
    reading = reader()

    def call(place: int) -> bytes:
        item = {"type": "function_call", "call_id": "1", "name": "f", "arguments": ""}
        return json.dumps(
            {"type": "response.output_item.added", "output_index": place, "item": item}
        ).encode()

    for place in range(MOST_ITEMS):
        reading.read(b"", call(place))
    with pytest.raises(UpstreamMalformed):
        reading.read(b"", call(MOST_ITEMS))
    with pytest.raises(UpstreamMalformed):
        reading.read(b"", call(0))


# Watching


def test_facts_of_a_stream_that_passes() -> None:
    facts = Facts()
    looking = watch(facts, {}, wants_usage=False)
    told = write(DELTAS)
    passed = [looking.passes(b"", json.dumps(event).encode()) for event in told]
    assert passed == [True] * (len(told) - 1) + [False]
    assert looking.done
    assert not looking.complete()
    assert facts.usage == USAGE
    assert (facts.model, facts.finish_reason) == ("other-model-1", "completed")
    assert facts.chunks == len(told)


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (CREATED, False),
        ({"type": "response.queued", "response": {"id": "resp_1"}}, False),
        ({"type": "response.output_item.added", "item": {"type": "message"}}, False),
        ({"type": "response.output_item.added", "item": {"type": "reasoning"}}, False),
        ({"type": "response.content_part.added"}, False),
        ({"type": "response.output_text.delta", "delta": ""}, False),
        ({"type": "response.output_text.delta", "delta": "a"}, True),
        ({"type": "response.refusal.delta", "delta": "a"}, True),
        ({"type": "response.reasoning_summary_text.delta", "delta": "a"}, True),
        ({"type": "response.output_item.added", "item": {"type": "function_call"}}, True),
        ({"type": "response.output_item.added", "item": {"type": "web_search_call"}}, True),
        ({"type": "response.output_item.done", "item": {"type": "reasoning"}}, True),
        ({"type": "response.incomplete", "response": {}}, True),
    ],
)
def test_first_content_is_what_the_caller_waits_for(event: Json, *, content: bool) -> None:
    facts = Facts()
    watch(facts, {}, wants_usage=True).passes(b"", json.dumps(event).encode())
    assert facts.content is content


def test_writer_makes_ids_of_its_own() -> None:
    first, second = (events(writer(ask()).end())[0]["response"]["id"] for _ in range(2))
    assert first != second
