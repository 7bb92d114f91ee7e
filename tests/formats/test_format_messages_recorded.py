"""Recorded exchanges with Anthropic: passed on or translated there and back, none loses a field
that has a meaning, nor an error's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from messages_judge import parsed_stream, read_stream, written_stream
from recorded import Exchange, recorded

from tidegate.errors import UpstreamRefused
from tidegate.formats.messages import (
    error_body,
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
from tidegate.types import Facts, Usage

Json = dict[str, Any]

WHOLE, STREAMED = recorded("messages"), recorded("messages", stream=True)
REFUSED = recorded("messages", status=400)

UNTOLD = {"tools[].defer_loading"}
"""What of these requests has no word."""


def usage_of(told: Json) -> Usage:
    """A usage object as the bill reads it: three classes of input, each counted once."""
    bill = billed(told)
    cached, written = bill["cache_read_input_tokens"], bill["cache_creation_input_tokens"]
    details: Json = told.get("output_tokens_details") or {}
    return Usage(
        bill["input_tokens"] + cached + written,
        bill["output_tokens"],
        cached,
        written,
        details.get("thinking_tokens"),
        cache_write_1h=told.get("cache_creation", {}).get("ephemeral_1h_input_tokens"),
        tier=told.get("service_tier"),
    )


def billed(told: Json) -> Json:
    """A usage object with what it counts beside its sums: what another model advised."""
    more = [each for each in told.get("iterations") or () if each["type"] != "message"]
    return told | {
        name: told.get(name, 0) + sum(each[name] for each in more)
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    }


@pytest.mark.parametrize("exchange", WHOLE)
def test_a_whole_answer_that_passes_is_understood(exchange: Exchange) -> None:
    facts, told = Facts(), json.loads(exchange.body)
    learn(facts, exchange.body.encode())
    assert (facts.model, facts.finish_reason) == (told["model"], told["stop_reason"])
    assert facts.usage == usage_of(told["usage"])


@pytest.mark.parametrize("exchange", WHOLE)
def test_a_whole_answer_there_and_back_says_the_same(exchange: Exchange) -> None:
    told = json.loads(exchange.body)
    again = json.loads(write_reply(read_reply(exchange.body.encode()), "m"))
    for name in ("id", "type", "role", "model", "stop_reason", "stop_sequence"):
        assert again[name] == told[name], name
    assert [plain(block) for block in again["content"]] == [
        plain(block) for block in told["content"]
    ]
    for name, value in again["usage"].items():
        assert billed(told["usage"])[name] == value, name


@pytest.mark.parametrize("exchange", [*WHOLE, *STREAMED])
def test_a_request_there_and_back_says_the_same(exchange: Exchange) -> None:
    request = exchange.request
    body, dropped = write_ask(read_ask(request))
    assert set(dropped) <= UNTOLD
    for name, value in request.items():
        if name not in ("messages", "system", "model", "stream", "tools", "thinking"):
            assert body[name] == value, name
    assert turns(body) == turns(request)
    assert [plain_tool(tool) for tool in body.get("tools", [])] == [
        plain_tool(tool) for tool in request.get("tools", [])
    ]


def turns(body: Json) -> list[tuple[str, list[Json]]]:
    """Instructions and messages, with those that stand between messages at the front."""
    said: list[tuple[str, list[Json]]] = [("system", blocks(body.get("system", [])))]
    for message in body["messages"]:
        if message["role"] == "system":
            said[0][1].extend(blocks(message["content"]))
        elif message["role"] == said[-1][0]:
            said[-1][1].extend(blocks(message["content"]))
        else:
            said.append((message["role"], blocks(message["content"])))
    return said


def blocks(content: str | list[Json]) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [plain(block) for block in content]


def plain(block: Json) -> Json:
    """A block without what stands there only to say nothing."""
    kept = {name: value for name, value in block.items() if name != "caller" and value is not None}
    if kept["type"] == "tool_result":
        kept["content"] = blocks(kept.get("content", []))
        if not kept.get("is_error"):
            kept.pop("is_error", None)
    return kept


def plain_tool(tool: Json) -> Json:
    return {
        name: value
        for name, value in tool.items()
        if name != "defer_loading" and not (name == "description" and value == "")
    }


@pytest.mark.parametrize("exchange", STREAMED)
def test_a_stream_passes_but_for_its_end(exchange: Exchange) -> None:
    facts = Facts()
    watching = watch(facts, exchange.request, wants_usage=False)
    events = exchange.events()
    passed = [watching.passes(event, data) for event, data in events]
    assert passed == [True] * (len(events) - 1) + [False]
    assert watching.done
    assert facts.content
    last = json.loads(events[-2][1])
    assert facts.finish_reason == last["delta"]["stop_reason"]
    assert facts.usage is not None
    assert facts.usage.output == billed(last["usage"])["output_tokens"]


@pytest.mark.parametrize("exchange", STREAMED)
async def test_a_stream_there_and_back_says_the_same(exchange: Exchange) -> None:
    body = exchange.body.encode() + b"\n\n"
    again = written_stream(writer(read_ask(exchange.request)), read_stream(reader(), body))
    message = (await parsed_stream(again))[1]
    told = _started(exchange)
    assert (message.id, message.model) == (told["id"], told["model"])
    text = "".join(
        data["delta"].get("text", "")
        for _, line in exchange.events()
        if (data := json.loads(line))["type"] == "content_block_delta"
    )
    assert "".join(block.text for block in message.content if block.type == "text") == text


def _started(exchange: Exchange) -> Json:
    return json.loads(exchange.events()[0][1])["message"]


@pytest.mark.parametrize("exchange", REFUSED)
def test_a_refusal_keeps_its_meaning(exchange: Exchange) -> None:
    told = json.loads(exchange.body)["error"]
    error = refusal(exchange.status, exchange.body.encode())
    assert isinstance(error, UpstreamRefused)
    assert (error.status, error.message) == (400, told["message"])
    again = json.loads(error_body(error, "req_1"))["error"]
    assert (again["type"], again["message"]) == (told["type"], told["message"])
