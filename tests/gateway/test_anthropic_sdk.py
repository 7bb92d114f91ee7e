"""Anthropic's official SDK, unchanged but for its base URL, before a provider of another format."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, TextBlock, ToolUseBlock

from .conftest import Gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncGenerator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=gateway.url, api_key="none", max_retries=0) as made:
        yield made


HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = [
    {
        "name": "weather",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]


async def test_a_message_is_answered_and_recorded(gateway: Gateway, client: AsyncAnthropic) -> None:
    message = await client.messages.create(model="assistant", max_tokens=50, messages=HELLO)
    assert isinstance(message.content[0], TextBlock)
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    record = await gateway.record()
    assert (record.outcome, record.wire, record.finish_reason) == ("ok", "messages", "stop")
    assert record.input_tokens == message.usage.input_tokens
    assert record.output_tokens == message.usage.output_tokens


async def test_a_message_is_streamed(gateway: Gateway, client: AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="assistant", max_tokens=50, messages=HELLO, system="Be brief."
    ) as stream:
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert isinstance(message.content[0], TextBlock)
    assert message.content[0].text
    record = await gateway.record()
    assert record.stream
    assert record.output_tokens == message.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_are_called(client: AsyncAnthropic, streamed: bool) -> None:
    asked: Any = {
        "model": "assistant", "max_tokens": 50, "messages": HELLO, "tools": WEATHER,
        "tool_choice": {"type": "any"},
    }  # fmt: skip
    if streamed:
        async with client.messages.stream(**asked) as stream:
            message = cast("Message", await stream.get_final_message())
    else:
        message = cast("Message", await client.messages.create(**asked))
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert "city" in calls[0].input
    assert message.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": calls[0].id, "content": "Sun"}
    turns: Any = [*HELLO, message.to_param(), {"role": "user", "content": [result]}]
    again = await client.messages.create(
        model="assistant", max_tokens=50, messages=turns, tools=WEATHER
    )
    assert again.content


async def test_tokens_are_counted(gateway: Gateway, client: AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="assistant", messages=HELLO)
    assert counted.input_tokens > 0
    assert gateway.sim.stats.requests == 0


async def test_errors_come_as_the_sdk_knows_them(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        await client.messages.create(model="assistent", max_tokens=5, messages=HELLO)
    assert missing.value.type == "not_found_error"
    assert missing.value.error_code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.count_tokens(model="assistent", messages=HELLO)
    bad: Any = [{"role": "robot", "content": "Hello"}]
    with pytest.raises(anthropic.BadRequestError, match="role"):
        await client.messages.create(model="assistant", max_tokens=5, messages=bad)
