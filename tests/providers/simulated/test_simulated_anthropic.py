"""Anthropic's own SDK finds everything it knows, and is refused what Anthropic refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.lib.vertex import AsyncAnthropicVertex
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter
from vendor_formats import FORMATS

from tidegate.providers.simulated import Server

HI: Any = [{"role": "user", "content": "hi"}]
CALL: Any = [{"role": "user", "content": "call the tools"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["place", "days"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"name": "tide", "input_schema": SCHEMA},
    {"name": "moon", "input_schema": {"type": "object"}},
]
ASKED: Any = {"model": "sim-1", "max_tokens": 2000, "messages": HI}


async def ask(client: AsyncAnthropic | AsyncAnthropicVertex, **asked: Any) -> Message:
    messages: Any = client.messages
    answer: Message = await messages.create(**{**ASKED, **asked})
    return answer


async def stream(client: AsyncAnthropic | AsyncAnthropicVertex, **asked: Any) -> Message:
    async with client.messages.stream(**{**ASKED, **asked}) as events:
        return await events.get_final_message()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncAnthropic]:
    base_url = f"http://127.0.0.1:{server.port}"
    async with AsyncAnthropic(base_url=base_url, api_key="any", max_retries=0) as sdk:
        yield sdk


def text_of(answer: Message) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


async def test_a_message_and_its_stream_say_the_same(client: AsyncAnthropic) -> None:
    whole, streamed = await ask(client), await stream(client)
    Message.model_validate(whole.model_dump())
    assert text_of(streamed) == text_of(whole)
    assert (whole.stop_reason, whole.usage.input_tokens, whole.usage.output_tokens) == (
        "end_turn",
        8,
        16,
    )
    assert streamed.usage.output_tokens == 16


async def test_every_event_is_one_of_the_sdk_s(server: Server, raw: Any) -> None:
    adapter: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    form = FORMATS["messages"]
    for faults in ("thinking=2", "tokens=0", "cached=3; cache-write=2", "length"):
        events = form.events(await raw(server.port, form.request(faults, stream=True)))
        for event in events:
            if event["type"] != "ping":
                adapter.validate_python(event)
        assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]


async def test_tools_are_called_with_fitting_arguments(client: AsyncAnthropic) -> None:
    whole = await ask(client, messages=CALL, tools=TOOLS)
    streamed = await stream(client, messages=CALL, tools=TOOLS)
    for answer in (whole, streamed):
        assert answer.stop_reason == "tool_use"
        calls = [block for block in answer.content if block.type == "tool_use"]
        assert [call.name for call in calls] == ["tide", "moon"]
        assert set(calls[0].input) == {"place", "days"}
        assert calls[1].input == {}
    named = await ask(client, tools=TOOLS, tool_choice={"type": "tool", "name": "moon"})
    assert named.content[0].type == "tool_use"


async def test_a_tool_result_is_answered_with_text(client: AsyncAnthropic) -> None:
    first = await ask(client, messages=CALL, tools=TOOLS[:1])
    call = first.content[0]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "call the tool again"}
    second = await ask(
        client,
        messages=[
            *CALL,
            {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
            {"role": "user", "content": [result]},
        ],
        tools=TOOLS[:1],
    )
    assert second.content[0].type == "text"


async def test_thoughts_come_signed_and_are_known_again(client: AsyncAnthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = await stream(client, thinking=thinking)
    thought, text = answer.content
    assert (thought.type, text.type) == ("thinking", "text")
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.thinking_tokens == 8
    again: Any = [
        *HI,
        {
            "role": "assistant",
            "content": [thought.model_dump(), text.model_dump(exclude_none=True)],
        },
        *HI,
    ]
    assert (await ask(client, messages=again)).content
    again[1]["content"][0]["signature"] = "forged"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await ask(client, messages=again)


async def test_json_output_fits_its_schema(client: AsyncAnthropic) -> None:
    answer = await ask(
        client,
        messages=HI,
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert set(json.loads(text_of(answer))) == {"place", "days"}


async def test_stop_sequences_and_limits_end_it(client: AsyncAnthropic) -> None:
    word = text_of(await ask(client)).split()[4]
    cut = await ask(client, stop_sequences=["\0", word])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", word)
    short = await ask(client, max_tokens=3)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)


async def test_cached_tokens_are_counted_apart(client: AsyncAnthropic) -> None:
    usage = (await ask(client, model="sim-1+cached:3+cache-write:2")).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (3, 3)
    assert usage.cache_creation_input_tokens == 2


async def test_bad_arguments_are_no_object(client: AsyncAnthropic) -> None:
    asked: Any = {"model": "sim-1+badargs", "max_tokens": 99, "messages": CALL, "tools": TOOLS}
    arguments = ""
    events: Any = await client.messages.create(**asked, stream=True)
    async for event in events:
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            arguments += event.delta.partial_json
        elif event.type == "content_block_stop":
            break
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)
    whole = await ask(client, **asked)
    assert isinstance(whole.content[0].model_dump(warnings=False)["input"], str)


async def test_statuses_become_the_sdk_s_own_errors(client: AsyncAnthropic) -> None:
    for fault, error, kind in (
        ("status:400", anthropic.BadRequestError, "invalid_request_error"),
        ("status:401", anthropic.AuthenticationError, "authentication_error"),
        ("status:403", anthropic.PermissionDeniedError, "permission_error"),
        ("status:404", anthropic.NotFoundError, "not_found_error"),
        ("retry-after:1", anthropic.RateLimitError, "rate_limit_error"),
        ("status:500", anthropic.InternalServerError, "api_error"),
        ("overloaded", anthropic.InternalServerError, "overloaded_error"),
        ("context-overflow", anthropic.BadRequestError, "invalid_request_error"),
        ("content-policy", anthropic.BadRequestError, "invalid_request_error"),
    ):
        with pytest.raises(error) as raised:
            await ask(client, model=f"sim-1+{fault}")
        body: Any = raised.value.body
        assert body["error"]["type"] == kind
        assert raised.value.request_id == body["request_id"]


async def test_an_error_event_is_raised_by_the_sdk(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await stream(client, model="sim-1+overloaded+error-event:2")


REFUSED: list[Any] = [
    ({"messages": []}, "at least one message"),
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"temperature": 1.5}, "range: 0..1"),
    ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "1024"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, "must be greater than"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
    ({"tools": [{"name": "x"}]}, "input_schema"),
    ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
        "unexpected `tool_use_id`",
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}],
                },
                {"role": "user", "content": "never mind"},
            ]
        },
        "`tool_use` ids were found without",
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "n", "input": "{}"}],
                }
            ]
        },
        "valid dictionary",
    ),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
async def test_what_anthropic_refuses_is_refused(
    server: Server, raw: Any, change: dict[str, Any], says: str
) -> None:
    answer = await raw(server.port, FORMATS["messages"].request(**change))
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert says in answer.json["error"]["message"]


async def test_the_version_has_to_be_said(server: Server, raw: Any) -> None:
    request = FORMATS["messages"].request().replace(b"anthropic-version", b"x-other")
    assert "anthropic-version" in (await raw(server.port, request)).json["error"]["message"]


async def test_vertex_has_the_same_under_its_paths(server: Server) -> None:
    async with AsyncAnthropicVertex(
        base_url=f"http://127.0.0.1:{server.port}/v1",
        access_token="any",
        project_id="p",
        region="europe-west4",
        max_retries=0,
    ) as client:
        assert (await ask(client)).content
        assert (await stream(client)).usage.output_tokens == 16
        counted = await client.messages.count_tokens(model="sim-1", messages=HI)
        assert counted.input_tokens == 8
