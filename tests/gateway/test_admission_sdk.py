"""What the official SDKs make of limits: their errors and headers, and whether they try again."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from .accounts import OWNER_HEADERS, check_books
from .conftest import Gateway, Open

HELLO: Any = [{"role": "user", "content": "Hello"}]
CONFIG = """
providers: {{sim: {{kind: openai, base_url: "{sim}", allow_private: true}}}}
models:
  assistant: {{targets: [{{provider: sim, model: sim-1, price: {{input: $1/M, output: $2/M}}}}]}}
keys: [{{name: web, secret: key-of-web, team: product}}]
"""
RATES = """
teams: {{product: {{limits: {{requests_per_minute: 2, tokens_per_minute: 100000}}}}}}
"""
BUDGET = """
teams: {{product: {{budget: {{usd: "0.000001", period: day}}}}}}
"""
OTHERS = {name: value for name, value in OWNER_HEADERS.items() if name != "authorization"}


@pytest.fixture
async def limited(open_gateway: Open) -> Gateway:
    return await open_gateway(CONFIG + RATES)


@pytest.fixture
async def poor(open_gateway: Open) -> Gateway:
    return await open_gateway(CONFIG + BUDGET)


async def _openai(gateway: Gateway, retries: int = 0) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=f"{gateway.url}/v1",
        api_key="key-of-web",
        max_retries=retries,
        default_headers=OTHERS,
    )


@pytest.fixture
async def clients() -> AsyncGenerator[list[Any]]:
    made: list[Any] = []
    yield made
    for client in made:
        await client.close()


async def test_openais_sdk_reads_what_is_left(limited: Gateway, clients: list[Any]) -> None:
    client = await _openai(limited)
    clients.append(client)
    raw = await client.chat.completions.with_raw_response.create(model="assistant", messages=HELLO)
    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
    assert 0 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert re.fullmatch(r"\d+m\d+s|\d+s", raw.headers["x-ratelimit-reset-requests"])
    stream = await client.responses.with_raw_response.create(
        model="assistant", input="Hello", stream=True
    )
    assert stream.headers["x-ratelimit-remaining-requests"] == "0"
    events = [event.type async for event in stream.parse()]
    assert events[-1] == "response.completed"

    for ask in (
        client.chat.completions.create(model="assistant", messages=HELLO),
        client.responses.create(model="assistant", input="Hello"),
        client.embeddings.create(model="assistant", input="Hello"),
    ):
        with pytest.raises(openai.RateLimitError) as refused:
            await ask
        error = refused.value
        assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert 1 <= int(error.response.headers["retry-after"]) <= 120
        assert "x-should-retry" not in error.response.headers
        assert limited.records()[-1].limit == "team product requests_per_minute"
    check_books(limited)


async def test_anthropics_sdk_reads_what_is_left(limited: Gateway, clients: list[Any]) -> None:
    client = AsyncAnthropic(
        base_url=limited.url, auth_token="key-of-web", api_key=None, max_retries=0
    )
    clients.append(client)
    for left in ("1", "0"):
        raw = await client.messages.with_raw_response.create(
            model="assistant", max_tokens=5, messages=HELLO
        )
        assert raw.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert raw.headers["anthropic-ratelimit-requests-remaining"] == left
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", raw.headers["anthropic-ratelimit-requests-reset"]
        )
    with pytest.raises(anthropic.RateLimitError) as refused:
        await client.messages.create(model="assistant", max_tokens=5, messages=HELLO)
    assert refused.value.type == "rate_limit_error"
    assert "retry-after" in refused.value.response.headers
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.create(model="assistant", max_tokens=5, messages=HELLO, stream=True)
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.count_tokens(model="assistant", messages=HELLO)
    check_books(limited)


async def test_no_sdk_tries_a_used_up_budget_again(poor: Gateway, clients: list[Any]) -> None:
    speaks = await _openai(poor, retries=3)
    other = AsyncAnthropic(base_url=poor.url, auth_token="key-of-web", api_key=None, max_retries=3)
    clients += [speaks, other]
    with pytest.raises(openai.RateLimitError) as refused:
        await speaks.chat.completions.create(model="assistant", messages=HELLO)
    assert (refused.value.code, refused.value.type) == ("budget_exceeded", "insufficient_quota")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "trying again cannot help" in refused.value.message
    with pytest.raises(openai.RateLimitError):
        await speaks.responses.create(model="assistant", input="Hello", stream=True)
    with pytest.raises(anthropic.RateLimitError) as told:
        await other.messages.create(model="assistant", max_tokens=5, messages=HELLO)
    assert "usd_per_day" in str(told.value)
    assert len(poor.records()) == 3
    assert {record.limit for record in poor.records()} == {"team product usd_per_day"}
    assert poor.sim.stats.requests == 0
    check_books(poor)


async def test_no_sdk_tries_again_what_never_fits(open_gateway: Open, clients: list[Any]) -> None:
    tight = "teams: {{product: {{limits: {{tokens_per_minute: 3}}}}}}\n"
    gateway = await open_gateway(CONFIG + tight)
    client = await _openai(gateway, retries=3)
    clients.append(client)
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="assistant", messages=HELLO)
    assert len(gateway.records()) == 1
