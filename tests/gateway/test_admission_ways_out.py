"""Every way out of a request, and what it does to money and limits: ways-out.md in the docs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest

from tidegate.providers.simulated.settings import Settings

from .accounts import (
    INPUT_NANOUSD,
    OUTPUT_NANOUSD,
    SCOPES,
    asked,
    billed,
    chat,
    check_books,
    check_held_first,
    counted_kinds,
    engine_of,
    idle,
    post,
    tokens_of,
)
from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted
from .test_ways_out import upstream_has

PRICE = "price: {{input: $1/M, output: $2/M}}"
QUICK = "timeout: {{connect: 300ms, first_token: 300ms, idle: 300ms, total: 2s}}, breaker: null"
CONFIG = f"""
providers:
  sim: {{{{kind: openai, base_url: "{{sim}}", allow_private: true, passthrough: true}}}}
  other: {{{{kind: openai, base_url: "{{other}}", allow_private: true}}}}
  dead: {{{{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}}}
models:
  "sim/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    retry: {{{{attempts: 1}}}}
    {QUICK.replace(", breaker", chr(10) + "    breaker")}
  "drain/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    client_gone: drain
  "canned/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    retry: {{{{attempts: 1}}}}
    breaker: null
    degraded: {{{{text: "Back soon."}}}}
  "again/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    retry: {{{{attempts: 2, backoff: 1ms..1ms, budget: 100%}}}}
    breaker: null
  "narrow/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    concurrency: {{{{least: 1, most: 1}}}}
    queue: {{{{length: 1, wait: 100ms}}}}
    retry: {{{{attempts: 1}}}}
  "elsewhere/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    fallback: [other]
    retry: {{{{attempts: 1}}}}
    {QUICK.replace(", breaker", chr(10) + "    breaker")}
  other: {{{{targets: [{{{{provider: other, model: m-1, {PRICE}}}}}]}}}}
  raced:
    targets:
      - {{{{provider: other, model: m-1, {PRICE}}}}}
      - {{{{provider: sim, model: sim-1, weight: 0, {PRICE}}}}}
    hedge: {{{{after: 5ms, least: 1ms, max_share: 100%, max_cost: 100%}}}}
  resting:
    targets: [{{{{provider: dead, model: none, {PRICE}}}}}]
    retry: {{{{attempts: 1}}}}
    breaker: {{{{failures: 1, cooldown: 60s}}}}
  unpriced: {{{{targets: [{{{{provider: dead, model: nobody-knows}}}}]}}}}
{SCOPES}
"""
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {}}}


@pytest.fixture
async def other() -> AsyncGenerator[Scripted]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def gateway(open_gateway: Open, other: Scripted) -> Gateway:
    return await open_gateway(CONFIG, Settings(), other=other.url)


@dataclass(frozen=True)
class Way:
    """A way out: what is asked, what it becomes, and whether the provider's own count is charged.

    `charged` is `whole` (what the provider counted, to the nano-dollar), `part` (more than
    nothing, by count), or `nothing`.
    """

    model: str
    outcome: str
    charged: str
    stream: bool = False
    held: bool = True
    code: str | None = None


WAYS = [
    Way("sim/sim-1", "ok", "whole"),
    Way("sim/sim-1", "ok", "whole", stream=True),
    Way("sim/sim-1+reasoning:7", "ok", "whole"),
    Way("sim/sim-1+missing-usage", "ok", "part", stream=True),
    Way("sim/sim-1+missing-usage", "ok", "part"),
    Way("sim/sim-1+truncate:3", "failed_after_commit", "part", stream=True),
    Way("sim/sim-1+hang-after-first", "failed_after_commit", "part", stream=True),
    Way("sim/sim-1+error-event:3+gap:9ms", "failed_after_commit", "part", stream=True),
    Way("sim/sim-1+tokens:9999+gap:1ms", "failed_after_commit", "part", stream=True),  # its time
    Way("sim/sim-1+status:500", "upstream_failed", "nothing"),
    Way("sim/sim-1+status:400", "upstream_refused", "nothing"),
    Way("sim/sim-1+status:429", "upstream_rate_limited", "nothing"),
    Way("sim/sim-1+hang", "upstream_first_token_timeout", "nothing", stream=True),
    Way("sim/sim-1+reset", "upstream_unreachable", "nothing"),
    Way("sim/sim-1+truncate:0", "upstream_cut", "nothing", stream=True),
    Way("sim/sim-1+empty-choices", "upstream_malformed", "whole"),
    Way("sim/sim-1+ttft:5s", "deadline_exceeded", "nothing"),
    Way("canned/sim-1+status:500", "ok", "nothing"),
    Way("canned/sim-1+empty-choices", "ok", "whole"),
    Way("again/sim-1+fail-first:1", "ok", "whole"),
    Way("again/sim-1+empty-choices", "upstream_malformed", "whole"),
    Way("unpriced", "price_unknown", "nothing", held=False),
    Way("nowhere", "model_not_found", "nothing", held=False),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.model}-{way.stream}")
async def test_every_way_out_lets_go_and_charges_what_was_used(gateway: Gateway, way: Way) -> None:
    await gateway.raw(chat(way.model, stream=way.stream))
    await idle(gateway)
    (record,) = gateway.records()
    assert record.outcome == way.outcome
    check_books(gateway)
    check_held_first(gateway)
    assert (record.held_nanousd is not None) is way.held
    assert (len(gateway.spooled()) > 1) is way.held
    cost = record.cost_nanousd or 0
    if way.charged == "whole":
        assert cost == billed(gateway) > 0
    elif way.charged == "part":
        assert cost > 0
        assert record.usage_estimated
    else:
        assert cost == 0 == tokens_of(record)
    kinds = counted_kinds(gateway)
    assert len(kinds) == (8 if way.held else 0)


@pytest.mark.parametrize("way", ["sim/sim-1+tokens:10000+gap:5ms", "drain/sim-1+tokens:40+gap:5ms"])
async def test_a_caller_who_leaves_pays_for_what_came(gateway: Gateway, way: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(chat(way, stream=True))
    await reader.readuntil(b"data: ")
    writer.transport.abort()
    record = await gateway.record()
    await idle(gateway)
    assert (record.outcome, record.status) == ("client_gone", 499)
    check_books(gateway)
    check_held_first(gateway)
    drained = way.startswith("drain")
    assert record.usage_estimated is not drained
    assert record.cost_nanousd
    if drained:
        assert record.cost_nanousd == billed(gateway)
        assert record.output_tokens == 40


async def test_a_caller_who_leaves_before_the_first_content_pays_nothing(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(chat("drain/sim-1+ttft:60s".replace("drain", "sim"), stream=True))
    await upstream_has(gateway, 1)
    writer.transport.abort()
    record = await gateway.record()
    await idle(gateway)
    assert (record.outcome, record.cost_nanousd) == ("client_gone", None)
    check_books(gateway)
    check_held_first(gateway)


async def test_a_drain_that_is_over_lets_go(gateway: Gateway) -> None:
    early = asyncio.create_task(gateway.raw(chat("drain/sim-1+ttft:60s")))
    late = asyncio.create_task(gateway.raw(chat("drain/sim-1+tokens:9999+gap:5ms", stream=True)))
    await upstream_has(gateway, 2)
    await asyncio.sleep(0.02)
    await gateway.server.drain(0.05)
    await asyncio.gather(early, late)
    outcomes = {record.outcome: record for record in gateway.records()}
    assert outcomes["draining"].cost_nanousd is None
    assert outcomes["failed_after_commit"].cost_nanousd
    check_books(gateway)
    check_held_first(gateway)


async def test_a_target_that_rests_costs_nothing(gateway: Gateway) -> None:
    await gateway.raw(chat("resting"))
    await gateway.raw(chat("resting"))
    assert [record.outcome for record in gateway.records()] == [
        "upstream_unreachable",
        "no_target_available",
    ]
    check_books(gateway)
    check_held_first(gateway)


async def test_each_provider_is_charged_with_what_was_spent_there(
    gateway: Gateway, other: Scripted
) -> None:
    await gateway.raw(chat("elsewhere/sim-1+empty-choices"))
    (record,) = gateway.records()
    assert (record.outcome, record.provider) == ("ok", "other")
    lost = billed(gateway)
    assert record.cost_nanousd == lost + 3 * INPUT_NANOUSD + 2 * OUTPUT_NANOUSD
    assert record.attempts[0].cost_nanousd == lost > 0
    check_books(gateway)
    check_held_first(gateway)
    assert other.calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hedge_is_charged_once_and_its_loser_by_what_it_delivered(
    gateway: Gateway, other: Scripted, stream: bool
) -> None:
    for step in [Step(), Step(), Step(hang=True)]:
        other.steps.append(step)
        await gateway.raw(chat("raced", stream=stream))
    await idle(gateway)
    last = gateway.records()[-1]
    tried = {attempt.target: attempt for attempt in last.attempts}
    assert tried["sim/sim-1"].hedge
    assert tried["other/m-1"].outcome == "cancelled"
    meter, _ = gateway.sim.stats.calls[-1]
    told = meter.prompt_tokens * INPUT_NANOUSD + meter.billed_tokens * OUTPUT_NANOUSD
    assert last.cost_nanousd == told
    held = [r.held_nanousd for r in gateway.spooled() if r.request_id == last.request_id]
    assert held == [held[0], 2 * (held[0] or 0), 2 * (held[0] or 0)]  # at first, hedged, at its end
    check_books(gateway)
    check_held_first(gateway)


async def admitted(gateway: Gateway, number: int) -> None:
    """Return when so many hold something."""
    async with asyncio.timeout(60):
        while engine_of(gateway).running != number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def test_who_gets_no_turn_or_leaves_in_the_queue_pays_nothing(gateway: Gateway) -> None:
    sweeping = asyncio.create_task(gateway.lasting.slots.run())
    first = asyncio.create_task(gateway.raw(chat("narrow/sim-1+ttft:1s")))
    await upstream_has(gateway, 1)
    late = asyncio.create_task(gateway.raw(chat("narrow/sim-1+ttft:1s")))
    await admitted(gateway, 2)
    assert b"429 Too Many Requests" in await gateway.raw(chat("narrow/sim-1+ttft:1s"))
    assert b"429 Too Many Requests" in await late
    await admitted(gateway, 1)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(chat("narrow/sim-1+ttft:1s"))
    await admitted(gateway, 2)
    writer.transport.abort()
    await admitted(gateway, 1)
    await first
    await idle(gateway)
    sweeping.cancel()
    outcomes = [record.outcome for record in gateway.records()]
    assert outcomes == ["overloaded", "overloaded", "client_gone", "ok"]
    assert [bool(record.cost_nanousd) for record in gateway.records()] == [False] * 3 + [True]
    check_books(gateway)
    check_held_first(gateway)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/completions"])
@pytest.mark.parametrize("fault", ["", "+cached:3", "+truncate:3", "+status:500"])
async def test_other_formats_are_charged_alike(
    gateway: Gateway, path: str, stream: bool, fault: str
) -> None:
    said: dict[str, Any] = {
        "/v1/responses": {"input": "Hello", "max_output_tokens": 30},
        "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 30},
        "/v1/completions": {"prompt": "Hello", "max_tokens": 30},
    }[path]
    await gateway.raw(post(path, {"model": f"sim/sim-1{fault}", "stream": stream, **said}))
    await idle(gateway)
    (record,) = gateway.records()
    check_books(gateway)
    check_held_first(gateway)
    cost = record.cost_nanousd or 0
    if fault == "+truncate:3":
        assert (record.outcome == "failed_after_commit") is stream
        assert (cost > 0) is stream
    else:
        assert (record.outcome == "ok") is (fault != "+status:500")
        assert cost == (billed(gateway) if record.outcome == "ok" else 0)


async def test_a_count_of_tokens_costs_nothing_and_is_counted_as_a_request(
    gateway: Gateway,
) -> None:
    body = {"model": "sim/sim-1", "messages": [{"role": "user", "content": "Hello"}]}
    answer = await asked(gateway, "/v1/messages/count_tokens", body)
    assert answer.body["input_tokens"] > 0
    assert answer.headers["x-tidegate-degraded"] == "estimated"
    (record,) = gateway.spooled()
    assert (record.cost_nanousd, record.held_nanousd) == (None, None)
    check_books(gateway)


async def test_embeddings_are_charged_for_what_is_read(gateway: Gateway) -> None:
    answer = await asked(gateway, "/v1/embeddings", {"model": "sim/sim-1", "input": ["a", "b"]})
    assert answer.status == 200
    (record,) = gateway.records()
    assert record.cost_nanousd == billed(gateway) > 0
    check_books(gateway)
    check_held_first(gateway)


async def test_a_request_that_is_refused_for_its_patience_was_not_admitted(
    gateway: Gateway,
) -> None:
    body = {"model": "sim/sim-1", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"x-tidegate-timeout-ms": "soon"}
    answer = await gateway.raw(post("/v1/chat/completions", body, headers))
    assert b"400 Bad Request" in answer
    assert counted_kinds(gateway) == set()
    assert [record.outcome for record in gateway.spooled()] == ["invalid_request"]


async def test_the_spool_that_takes_no_more_lets_nothing_be_asked(gateway: Gateway) -> None:
    gateway.spool.close()
    await gateway.raw(chat("sim/sim-1"))
    await idle(gateway)
    assert gateway.sim.stats.requests == 0
    check_books(gateway)
