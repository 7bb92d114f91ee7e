"""Real exchanges, replayed: nothing that a caller needs is lost, passed on or translated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from responses_samples import Json, recorded

from tidegate.errors import BadRequest, UpstreamRefused
from tidegate.formats.format import Reader, Watch
from tidegate.formats.gather import gathered
from tidegate.formats.responses import (
    learn,
    read_ask,
    read_reply,
    reader,
    refusal,
    watch,
    write_ask,
    write_reply,
    writer,
)
from tidegate.formats.words import Ask, Delta, Foreign, Text, Thinking, ToolUse
from tidegate.net.sse import Event, SseDecoder
from tidegate.types import Facts

EXCHANGES = recorded()
WHOLE = [e for e in EXCHANGES if e["status"] == 200 and not e["stream"]]
STREAMED = [e for e in EXCHANGES if e["status"] == 200 and e["stream"]]
REFUSED = [e for e in EXCHANGES if e["status"] != 200]
EVENT = TypeAdapter[Any](ResponseStreamEvent)


def name(exchange: Json) -> str:
    return exchange["name"]


def ask_of(exchange: Json) -> Ask:
    """What was asked, without what only OpenAI can do."""
    request = {
        k: v for k, v in exchange["request"].items() if k not in ("background", "conversation")
    }
    return read_ask(request)


def events(stream: bytes) -> list[Event]:
    return [event for event in SseDecoder(1 << 24).feed(stream) if event.data]


def said(items: list[Json]) -> list[Any]:
    """What output items say to whoever reads them."""
    told: list[Any] = []
    for item in items:
        match item["type"]:
            case "message":
                told += [part.get("text") or part.get("refusal") for part in item["content"]]
            case "function_call":
                told.append((item["call_id"], item["name"], item["arguments"]))
            case "reasoning":
                parts = item.get("content") or item["summary"]
                told.append("\n\n".join(part["text"] for part in parts))
            case _:
                told.append(item)
    return told


@pytest.mark.parametrize("exchange", EXCHANGES, ids=name)
def test_request_is_read_and_written_without_loss(exchange: Json) -> None:
    ask = ask_of(exchange)
    body, dropped = write_ask(ask)
    # Another's reasoning, and OpenRouter's routing.
    assert set(dropped) <= {"messages[thinking]", "provider"}
    again = read_ask({**body, "model": ask.model})
    kept = [
        tuple(part for part in turn.parts if not isinstance(part, Thinking)) for turn in ask.turns
    ]
    assert [turn.parts for turn in again.turns] == [parts for parts in kept if parts]
    assert len(again.tools) == len(ask.tools)
    assert again.output == ask.output


@pytest.mark.parametrize("exchange", WHOLE, ids=name)
def test_whole_answer_passes_with_its_facts(exchange: Json) -> None:
    told, facts = json.loads(exchange["body"]), Facts()
    learn(facts, exchange["body"].encode())
    assert facts.model == told["model"]
    assert facts.finish_reason == told["status"]
    if told["usage"] is not None:
        assert facts.usage is not None
        assert facts.usage.input == told["usage"]["input_tokens"]
        assert facts.usage.output == told["usage"]["output_tokens"]
        details = told["usage"]["output_tokens_details"]
        assert facts.usage.reasoning == details["reasoning_tokens"]


@pytest.mark.parametrize(
    "exchange", [e for e in WHOLE if not e["request"].get("background")], ids=name
)
def test_whole_answer_is_read_and_written_without_loss(exchange: Json) -> None:
    told = json.loads(exchange["body"])
    reply = read_reply(exchange["body"].encode())
    written = write_reply(reply, "m", ask_of(exchange))
    Response.model_validate_json(written, strict=True)
    again = json.loads(written)
    assert said(again["output"]) == said(told["output"])
    assert again["model"] == told["model"]
    assert again["usage"]["total_tokens"] == told["usage"]["total_tokens"]
    assert again["created_at"] == told["created_at"]
    for field in ("instructions", "tool_choice", "parallel_tool_calls", "status"):
        assert again[field] == told[field], field


@pytest.mark.parametrize("exchange", STREAMED, ids=name)
def test_stream_passes_all_but_its_end(exchange: Json) -> None:
    facts = Facts()
    looking: Watch = watch(facts, exchange["request"], wants_usage=True)
    sent = events(exchange["body"].encode())
    passed = [looking.passes(event.event, event.data) for event in sent]
    assert passed == [True] * (len(sent) - 1) + [False]
    assert looking.done
    assert facts.usage is not None
    assert facts.finish_reason == "completed"
    assert facts.content


@pytest.mark.parametrize("exchange", STREAMED, ids=name)
def test_stream_is_read_and_written_without_loss(exchange: Json) -> None:
    reading: Reader = reader()
    deltas: list[Delta] = []
    sent = events(exchange["body"].encode())
    for event in sent:
        deltas += reading.read(event.event, event.data)
    assert reading.done
    told = json.loads(sent[-1].data)["response"]
    reply = gathered(deltas)
    texts = [part.text for part in reply.choices[0].parts if isinstance(part, Text)]
    assert texts == said(told["output"])
    assert reply.usage is not None
    assert reply.usage.output == told["usage"]["output_tokens"]

    wrote = writer(ask_of(exchange))
    stream = b"".join(wrote.write([delta]) for delta in deltas) + wrote.end()
    written = [EVENT.validate_json(event.data, strict=True) for event in events(stream)]
    again = written[-1].response
    assert again.output_text == said(told["output"])[0]
    logprobs = told["output"][0]["content"][0]["logprobs"]
    assert [each.token for each in again.output[0].content[0].logprobs] == [
        each["token"] for each in logprobs
    ]
    deltas_sent = [json.loads(e.data) for e in sent if e.event == b"response.output_text.delta"]
    deltas_again = [event for event in written if event.type == "response.output_text.delta"]
    assert [event.delta for event in deltas_again] == [event["delta"] for event in deltas_sent]


@pytest.mark.parametrize("exchange", REFUSED, ids=name)
def test_refusal_keeps_its_meaning(exchange: Json) -> None:
    error = refusal(exchange["status"], exchange["body"].encode())
    told = json.loads(exchange["body"])["error"]
    assert type(error) is UpstreamRefused
    assert (error.message, error.status) == (told["message"], exchange["status"])
    assert error.upstream_code == told["code"]


def test_what_only_openai_can_do_is_refused_elsewhere() -> None:
    own = [e for e in EXCHANGES if e["request"].keys() & {"background", "conversation"}]
    refused = 0
    for exchange in own:
        if exchange["request"].get("background") is False:
            continue
        with pytest.raises(BadRequest):
            read_ask(exchange["request"])
        refused += 1
    assert refused


def test_tools_of_a_provider_s_own_are_kept_for_whoever_knows_them() -> None:
    kinds = {
        part.value["type"]
        for exchange in WHOLE
        if not exchange["request"].get("background")
        for part in read_reply(exchange["body"].encode()).choices[0].parts
        if isinstance(part, Foreign)
    }
    assert kinds == {"code_interpreter_call", "tool_search_call", "tool_search_output"}


def test_calls_are_among_the_recordings() -> None:
    calls = [
        part
        for exchange in WHOLE
        if not exchange["request"].get("background")
        for part in read_reply(exchange["body"].encode()).choices[0].parts
        if isinstance(part, ToolUse)
    ]
    assert len(calls) > 5
