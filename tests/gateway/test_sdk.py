"""The official SDK, unchanged but for its base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from .conftest import Gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as made:
        yield made


USER: Any = [{"role": "user", "content": "Hello"}]


async def test_a_chat_is_answered_and_recorded(gateway: Gateway, client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="assistant", messages=USER)
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None
    record = await gateway.record()
    assert record.request_id == raw.headers["x-request-id"]
    assert raw.headers["x-tidegate-target"] == record.target == "sim/sim-1"
    assert (record.outcome, record.status, record.reason) == ("ok", 200, "only target")
    assert record.input_tokens == answer.usage.prompt_tokens
    assert record.output_tokens == answer.usage.completion_tokens
    assert record.cost_nanousd == (
        answer.usage.prompt_tokens * 1000 + answer.usage.completion_tokens * 2000
    )
    assert record.ttft_ms is not None
    assert [attempt.outcome for attempt in record.attempts] == ["ok"]


async def test_a_stream_is_relayed_without_the_usage_nobody_asked_for(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="assistant", messages=USER, stream=True
        )
    ]
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    record = await gateway.record()
    assert record.stream
    assert record.finish_reason == "stop"
    assert record.output_tokens == gateway.sim.stats.billed_tokens
    assert record.cost_nanousd
    assert record.tokens_per_s


async def test_usage_arrives_at_a_caller_that_asks(client: AsyncOpenAI) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="assistant", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    ]
    assert not chunks[-1].choices
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


async def test_tools_schemas_logprobs_and_several_choices_pass(client: AsyncOpenAI) -> None:
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ]
    called = await client.chat.completions.create(
        model="assistant", messages=USER, tools=tools, tool_choice="required"
    )
    assert called.choices[0].finish_reason == "tool_calls"
    several = await client.chat.completions.create(
        model="assistant", messages=USER, n=2, logprobs=True, top_logprobs=2
    )
    assert len(several.choices) == 2
    assert several.choices[0].logprobs is not None
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "point",
            "schema": {
                "type": "object",
                "properties": {"x": {"type": "integer"}},
                "required": ["x"],
            },
        },
    }
    shaped = await client.chat.completions.create(
        model="assistant", messages=USER, response_format=schema
    )
    assert '"x"' in (shaped.choices[0].message.content or "")


async def test_images_by_url_and_data_pass(client: AsyncOpenAI) -> None:
    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            ],
        }
    ]
    answer = await client.chat.completions.create(model="assistant", messages=messages)
    assert answer.choices[0].message.content


async def test_embeddings_models_and_legacy_completions_are_served(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    vectors = await client.embeddings.create(model="assistant", input=["a", "b"], dimensions=8)
    assert [len(each.embedding) for each in vectors.data] == [8, 8]
    names = [model.id async for model in client.models.list()]
    assert names[:2] == ["assistant", "sim/*"]
    assert (await client.models.retrieve("assistant")).id == "assistant"
    legacy = await client.completions.create(model="assistant", prompt="Once", max_tokens=4)
    assert legacy.choices[0].finish_reason == "length"
    streamed = [
        chunk
        async for chunk in await client.completions.create(
            model="assistant", prompt="Once", stream=True
        )
    ]
    assert streamed[-1].choices[0].finish_reason
    assert [record.wire for record in gateway.records()] == [
        "embeddings", "completions", "completions",
    ]  # fmt: skip


async def test_unknown_fields_travel_in_both_directions(client: AsyncOpenAI) -> None:
    odd: dict[str, Any] = {"x_new": {"deep": [1, 2.5, None, "ü\u0000"]}, "big": 2**70}
    answer = await client.chat.completions.create(
        model="sim/sim-1+echo", messages=USER, extra_body=odd
    )
    received = answer.choices[0].message.content or ""
    assert '"x_new":{"deep":[1,2.5,null,"ü\\u0000"]}' in received
    assert str(2**70) in received


async def test_output_length_has_a_default_and_a_ceiling(client: AsyncOpenAI) -> None:
    async def sent(**asked: int) -> str:
        answer: ChatCompletion = await create(model="bounded", messages=USER, **asked)
        return answer.choices[0].message.content or ""

    create: Any = client.chat.completions.create
    assert '"max_tokens":300' in await sent()
    assert '"max_tokens":350' in await sent(max_tokens=350)
    assert '"max_tokens":400' in await sent(max_tokens=900)
    limited = await sent(max_completion_tokens=900)
    assert '"max_completion_tokens":400' in limited
    assert '"max_tokens"' not in limited


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("nobody", openai.NotFoundError),
        ("sim/sim-1+status:400", openai.BadRequestError),
        ("sim/sim-1+status:401", openai.InternalServerError),
        ("sim/sim-1+status:422", openai.UnprocessableEntityError),
        ("sim/sim-1+status:429", openai.RateLimitError),
        ("sim/sim-1+status:500", openai.InternalServerError),
        ("sim/sim-1+hang", openai.InternalServerError),
        ("dead", openai.InternalServerError),
    ],
)
async def test_errors_become_the_sdks_own_exceptions(
    client: AsyncOpenAI, gateway: Gateway, model: str, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model=model, messages=USER)
    assert caught.value.response.headers["x-request-id"]
    record = await gateway.record()
    assert record.outcome == caught.value.code
    assert record.status == caught.value.status_code
    assert "upstream-secret-key" not in str(caught.value)


async def test_a_fallback_answers_for_a_dead_target(client: AsyncOpenAI, gateway: Gateway) -> None:
    await client.chat.completions.create(model="covered", messages=USER)
    record = await gateway.record()
    assert [attempt.outcome for attempt in record.attempts] == ["upstream_unreachable", "ok"]
    assert record.reason == "fallback to assistant"
    assert record.outcome == "ok"


async def test_bodies_are_kept_only_where_policy_says_so(
    client: AsyncOpenAI, gateway: Gateway
) -> None:
    await client.chat.completions.create(model="assistant", messages=USER, temperature=0.5)
    plain = await gateway.record()
    assert plain.request_body is plain.response_body is None
    assert plain.parameters == {"temperature": 0.5}
    async for _ in await client.chat.completions.create(model="full", messages=USER, stream=True):
        pass
    kept = await gateway.record(2)
    assert kept.request_body is not None
    assert b"Hello" in kept.request_body
    assert kept.response_body is not None
    assert kept.response_body.startswith(b"data: ")
