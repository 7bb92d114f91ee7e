"""What a record says of why: what followed a failure, what was left out, what was waited for."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from tidegate.gateway.exchange import NOBODY

from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted

CONFIG = """
keys: [{{name: poor, secret: a-poor-key, budget: {{usd: 9, period: day}}}}, {{name: k, secret: k}}]
providers:
  one: {{kind: openai, base_url: "{one}", allow_private: true}}
  two: {{kind: openai, base_url: "{two}", allow_private: true}}
models:
  covered:
    targets: [{{provider: one, model: m-1}}]
    fallback: [second]
    retry: {{attempts: 2, backoff: 1ms..2ms, budget: 100%}}
    on_context_overflow: [second]
    on_malformed: {{repairs: 1}}
  second: {{targets: [{{provider: two, model: m-2}}]}}
  trims:
    targets: [{{provider: one, model: m-1}}]
    on_context_overflow: {{truncate: oldest}}
  narrow:
    targets: [{{provider: one, model: m-1}}]
    concurrency: {{least: 1, most: 1}}
  half:
    targets:
      - {{provider: one, model: m-1, weight: 1}}
      - {{provider: two, model: m-2, weight: 0, price: {{input: $1/M, output: $1/M}}}}
"""
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
OVERFLOW = Step(
    400,
    body=json.dumps(
        {"error": {"message": "too long", "code": "context_length_exceeded", "type": "x"}}
    ).encode(),
)


class House:
    """A gateway with two scripted providers behind it."""

    def __init__(self, gateway: Gateway, one: Scripted) -> None:
        self.gateway = gateway
        self.one = one
        self.client = AsyncOpenAI(base_url=gateway.url + "/v1", api_key="k", max_retries=0)

    async def ask(self, model: str, **more: Any) -> None:
        create: Any = self.client.chat.completions.create
        await create(model=model, **{"messages": HELLO, **more})

    async def then(self) -> list[str | None]:
        return [each.then for each in (await self.gateway.record()).attempts]


@pytest.fixture
async def build(open_gateway: Open) -> Any:
    async with AsyncExitStack() as stack:

        async def build_(*one: Step) -> House:
            first = await stack.enter_async_context(scripted(*one))
            second = await stack.enter_async_context(scripted())
            gateway = await open_gateway(CONFIG, None, one=first.url, two=second.url)
            house = House(gateway, first)
            stack.push_async_callback(house.client.close)
            return house

        yield build_


async def test_each_failed_try_says_what_followed_it(build: Any) -> None:
    house = await build(Step(503), Step(503))
    await house.ask("covered")
    again, elsewhere, last = await house.then()
    assert again.startswith("again: after ")
    assert elsewhere == "next target: it was tried often enough"
    assert last is None


async def test_chain_that_takes_over_is_named(build: Any) -> None:
    house = await build(OVERFLOW)
    await house.ask("covered")
    assert await house.then() == ["next target: context overflow, so second", None]


async def test_request_that_was_shortened_says_so(build: Any) -> None:
    house = await build(OVERFLOW)
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}] * 3
    await house.ask("trims", messages=[*said, *HELLO])
    assert await house.then() == ["again: the oldest turns are left out", None]


async def test_mistake_that_is_told_the_model_says_so(build: Any) -> None:
    house = await build(Step(text="no json"), Step(text="{}"))
    await house.ask("covered", response_format={"type": "json_object"})
    assert await house.then() == ["again: the model is told its mistake", None]


async def test_end_says_why_nothing_else_was_tried(build: Any) -> None:
    house = await build(Step(400))
    with pytest.raises(APIStatusError):
        await house.ask("covered")
    assert await house.then() == ["end: the same target would fail again"]


async def test_try_says_how_long_it_waited_for_its_turn(build: Any) -> None:
    house = await build(Step(hang=True))
    first = asyncio.ensure_future(house.ask("narrow"))
    while house.one.calls == 0:  # noqa: ASYNC110 - a socket tells nobody
        await asyncio.sleep(0.001)
    second = asyncio.ensure_future(house.ask("narrow"))
    rooms = house.gateway.live.house.rooms
    lane = rooms.lane(rooms.router.plan(NOBODY, "narrow", 0.0).choices[0])
    while lane.line.count == 0:  # noqa: ASYNC110 - nor does a queue
        await asyncio.sleep(0.001)
    house.one.release.set()
    await asyncio.gather(first, second)
    await house.gateway.record(2)
    (waited,) = [each for each in house.gateway.records() if each.queue_ms]
    assert [each.queue_ms for each in waited.attempts] == [waited.queue_ms]


async def test_target_without_a_price_is_left_out_where_a_budget_pays(build: Any) -> None:
    house = await build()
    house.client.api_key = "a-poor-key"
    await house.ask("half")
    record = await house.gateway.record()
    assert record.left_out == {"one/m-1": "nobody knows its price, and a budget pays"}
    assert record.target == "two/m-2"
    assert record.admit_ms > 0.0  # its hold was written first


async def test_what_nobody_waits_for_is_not_measured(build: Any) -> None:
    house = await build()
    await house.ask("covered")
    record = await house.gateway.record()
    assert (record.body_ms, record.admit_ms, record.queue_ms, record.left_out) == (
        0.0,
        0.0,
        0.0,
        {},
    )


async def test_body_that_comes_late_is_told(build: Any) -> None:
    house = await build()
    body = json.dumps({"model": "covered", "messages": HELLO}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
        b"connection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 100")  # it waits by now
    writer.write(body)
    assert b" 200 " in await reader.read()
    writer.close()
    assert (await house.gateway.record()).body_ms > 0.0
