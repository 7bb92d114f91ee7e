"""Everything fails, callers leave, a reload and a drain come: what must hold all the same."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tidegate.house import House
from tidegate.telemetry.record import Record

from .running import Gateway, running
from .scripted import Scripted, Step, scripted

REQUESTS = 400
AT_ONCE = 40
RELOADS = (120, 240)
CONFIG = """
providers:
  one: {{kind: openai, base_url: "{one}", allow_private: true, max_connections: 24}}
  pair:
    kind: openai
    base_url: ["{two}", "{three}"]
    allow_private: true
    balance: least_outstanding
    health: {{failures: 4, ejection: 50ms..100ms, probe: none}}
  purse:
    kind: openai
    base_url: "{three}"
    allow_private: true
    accounts: [{{name: a, api_key: key-a}}, {{name: b, api_key: key-b}}]
models:
  raced:
    targets:
      - {{provider: one, model: m-1, price: {{input: $1/M, output: $2/M}}}}
      - {{provider: pair, model: m-2, price: {{input: $1/M, output: $2/M}}}}
    fallback: [last]
    hedge: {{after: 5ms, least: 1ms, max_share: 100%, max_cost: 100%}}
    timeout: {{connect: 200ms, first_token: 80ms, idle: 80ms, total: 800ms}}
    retry: {{attempts: 3, backoff: 1ms..10ms, budget: 50%}}
    breaker: {{failures: 6, cooldown: 30ms, max_cooldown: 60ms}}
    on_malformed: {{repairs: 1, streams: hold}}
    on_content_filter: [last]
  last:
    targets: [{{provider: purse, model: m-3}}]
    timeout: {{connect: 200ms, first_token: 80ms, idle: 80ms, total: 800ms}}
    retry: {{attempts: 2, backoff: 1ms..10ms, budget: 50%}}
    breaker: null
  kind:
    targets: [{{provider: pair, model: m-2}}]
    fallback: [last]
    degraded: {{text: "Back soon."}}
    timeout: {{connect: 200ms, first_token: 80ms, idle: 80ms, total: 800ms}}
    retry: {{attempts: 3, backoff: 1ms..10ms, budget: 50%}}
    breaker: {{failures: 6, cooldown: 30ms, max_cooldown: 60ms}}
responses: {{store: false}}
"""
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
FAULTS: list[Callable[[], Step]] = [
    *[Step] * 8,
    lambda: Step(wait_s=0.02),
    lambda: Step(wait_s=0.006),
    lambda: Step(hang=True),
    lambda: Step(500),
    lambda: Step(503, headers={"retry-after-ms": "5"}),
    lambda: Step(429, headers={"retry-after-ms": "9"}),
    lambda: Step(401),
    lambda: Step(400),
    lambda: Step(cut_after=0),
    lambda: Step(cut_after=1),
    lambda: Step(cut_after=2),
    lambda: Step(finish="content_filter"),
    lambda: Step(tool_arguments="{"),
    lambda: Step(raw=b""),
    lambda: Step(raw=b"SSH-2.0-x\r\n"),
    lambda: Step(raw=STREAM),
    lambda: Step(raw=STREAM, drip=b": still here\n\n"),
    lambda: Step(raw=STREAM + WORD, drip=WORD),
    lambda: Step(raw=STREAM + WORD, drip=b""),
    lambda: Step(raw=STREAM + b"data: {\n\n"),
    lambda: Step(raw=STREAM + WORD + b"data: {\n\n"),
]
TOOLS: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
ENDS = {
    "/v1/chat/completions": (b"data: [DONE]", b'data: {"error":'),
    "/v1/messages": (b"event: message_stop", b"event: error"),
    "/v1/responses": (b"event: response.", b"event: error"),
}


@dataclass
class Caller:
    """One request, and what came of it."""

    number: int
    path: str
    stream: bool
    leaves: str
    """When it leaves: `never`, at `once`, after a `while`, after the first `bytes`."""
    patience_s: float
    answer: bytes | None = None
    """All that came, if it read to the end."""

    def request(self, model: str, *, tools: bool) -> bytes:
        body: dict[str, Any] = {"model": model, "stream": self.stream, "seed": self.number}
        said = [{"role": "user", "content": "Hello"}]
        if self.path == "/v1/responses":
            body["input"] = said
        else:
            body["messages"] = said
            body["max_tokens"] = 9
        if tools and self.path == "/v1/chat/completions":
            body["tools"] = TOOLS
        sent = json.dumps(body).encode()
        return (
            f"POST {self.path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n"
            f"content-length: {len(sent)}\r\n\r\n"
        ).encode() + sent

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.leaves == "while":
                await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=self.patience_s)
            elif self.leaves == "bytes":
                await reader.read(1)
            elif self.leaves == "never":
                self.answer = await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    def check(self, record: Record) -> None:
        """The answer is whole, and the record says what it was."""
        assert self.answer is not None
        head, _, body = self.answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert record.status == status
        if not self.stream or status != 200:
            assert json.loads(body)
            assert (record.outcome == "ok") is (status == 200), record
            return
        assert body.endswith(b"0\r\n\r\n"), body[-300:]
        last = body.removesuffix(b"0\r\n\r\n").rstrip().split(b"\n\n")[-1]
        good, bad = (end in last for end in ENDS[self.path])
        assert good is not bad, body[-500:]
        assert record.outcome == ("ok" if good else "failed_after_commit"), record
        assert (record.error_code is not None) is (bad or record.degraded is not None)


async def settled(claim: Callable[[], bool]) -> None:
    """Wait until `claim` holds; connections that are left in good order take a second."""
    async with asyncio.timeout(60):
        while not claim():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def busy(house: House) -> int:
    """Connections that are neither at rest nor closed, and calls that replicas still count."""
    return sum(
        replica.outstanding + replica.pool._slots - len(replica.pool._idle)
        for provider in house.providers.values()
        for replica in provider.replicas.all
    )


def check_attempts(records: list[Record], providers: list[Scripted]) -> None:
    tries = [tried for record in records for tried in record.attempts]
    made = [tried for tried in tries if tried.outcome != "skipped_breaker_open"]
    # A connection that rested and is closed without a byte was lost before anybody read from it, as
    # far as anybody can tell: the pool asks once more, in the same try.
    again = sum(provider.mute for provider in providers)
    assert sum(provider.calls for provider in providers) <= len(made) + again
    for record in records:
        good = sum(tried.outcome == "ok" for tried in record.attempts)
        assert good <= 1, record
        if record.outcome == "ok":
            assert good == (record.degraded is None), record
        tries_cost = sum(tried.cost_nanousd or 0 for tried in record.attempts)
        if record.cost_nanousd is not None and record.cost_nanousd != tries_cost:
            assert record.ttft_ms is not None
            assert record.cost_nanousd > tries_cost
    for name in ("one", "pair", "purse"):  # every kind of way was gone
        assert any(tried.target.startswith(name) for tried in made)
    assert any(tried.hedge and tried.outcome == "ok" for tried in tries)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_nothing_is_left_and_everything_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    draw = random.Random(seed)
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(scripted()) for _ in range(3)]
        for provider in providers:
            provider.choose = partial(_fault, draw)
        one, two, three = (provider.url for provider in providers)
        gateway = await stack.enter_async_context(
            running(tmp_path, CONFIG, one=one, two=two, three=three)
        )
        houses = [gateway.live.house]
        callers = await _storm(gateway, draw, houses)

        records: dict[Any, Record] = {}
        for record in gateway.records():
            number = (record.parameters or {}).get("seed")
            assert number not in records or number is None
            records[number] = record
        assert len({record.request_id for record in gateway.records()}) == len(gateway.records())
        for caller in callers:
            if caller.leaves == "never":
                caller.check(records[caller.number])
        for record in gateway.records():
            assert (record.outcome == "client_gone") is (record.status == 499)
        check_attempts(gateway.records(), providers)
        assert {line.message for line in caplog.records} & {
            "bug",
            "a request's task broke",
        } == set()

        await settled(lambda: not sum(map(busy, houses)))
        states = gateway.lasting.wards.snapshot(0.0)
        assert {state.name: state.outstanding for state in states if state.outstanding} == {}
    await settled(lambda: asyncio.all_tasks() == {asyncio.current_task()})


def _fault(draw: random.Random) -> Step:
    return draw.choice(FAULTS)()


async def _storm(gateway: Gateway, draw: random.Random, houses: list[House]) -> list[Caller]:
    """Every caller, once the last one has its answer or has left; the gateway is drained then."""
    gate = asyncio.Semaphore(AT_ONCE)
    callers = [
        Caller(
            number=number,
            path=draw.choice([*ENDS, "/v1/chat/completions"]),
            stream=draw.random() < 0.7,
            leaves=draw.choice(["never"] * 6 + ["once", "while", "while", "bytes"]),
            patience_s=draw.random() * 0.1,
        )
        for number in range(REQUESTS)
    ]

    async def ask(caller: Caller, *connection: Any) -> None:
        await caller.ask(*connection)
        gate.release()

    async with asyncio.TaskGroup() as group:
        for caller in callers:
            if caller.number in RELOADS:
                gateway.config.write_text(gateway.config.read_text() + "\n")
                assert await gateway.live.reload()
                houses.append(gateway.live.house)
            await gate.acquire()
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            model = draw.choice(["raced", "raced", "kind"])
            writer.write(caller.request(model, tools=draw.random() < 0.3))
            group.create_task(ask(caller, reader, writer))
        health = b"GET /healthz HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"
        assert b"200 OK" in await gateway.raw(health)  # so every caller before it got in
        await gateway.server.drain(0.05)
    return callers
