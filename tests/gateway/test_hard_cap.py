"""Whatever is asked and whatever fails: a budget is never passed, and nobody reads for free."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tidegate.providers.simulated.server import Server as Simulated
from tidegate.providers.simulated.server import start
from tidegate.providers.simulated.settings import Settings
from tidegate.telemetry.record import Record

from .accounts import (
    INPUT_NANOUSD,
    check_books,
    check_held_first,
    engine_of,
    idle,
    post,
)
from .running import Gateway, running

AT_ONCE = 24
OUTPUT_NANOUSD = 200_000
"""Dear, so that what is spent comes near to what was held for it."""
PRICE = "price: {{input: $1/M, output: $200/M}}"
TERMS = """
    timeout: {{connect: 300ms, first_token: 150ms, idle: 60ms, total: 1s}}
    retry: {{attempts: 3, backoff: 1ms..2ms, budget: 100%}}
    breaker: null
"""
CONFIG = f"""
providers:
  sim: {{{{kind: openai, base_url: "{{sim}}", allow_private: true}}}}
  other: {{{{kind: openai, base_url: "{{other}}", allow_private: true}}}}
models:
  "plain/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]{TERMS}
  "next/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    fallback: [other]{TERMS}
  other:
    targets: [{{{{provider: other, model: sim-2, {PRICE}}}}}]{TERMS}
  "raced/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    fallback: [other]
    hedge: {{{{after: 3ms, least: 1ms, max_share: 100%, max_cost: 100%}}}}{TERMS}
  "held/*":
    targets: [{{{{provider: sim, model: "*", {PRICE}}}}}]
    on_malformed: {{{{repairs: 1, streams: hold}}}}{TERMS}
teams: {{{{product: {{{{organisation: acme, budget: {{{{usd: "{{team}}", period: month}}}}}}}}}}}}
organisations: {{{{acme: {{{{budget: {{{{usd: 90, period: day}}}}}}}}}}}}
keys: [{{{{name: web, secret: key-of-web, team: product}}}}]
limits:
  - {{{{scope: provider, name: other, budget: {{{{usd: "{{provider}}", period: total}}}}}}}}
ledger: {{{{output_tokens: 60}}}}
"""
FAULTS = (
    [""] * 3
    + [f"+{fault}" for fault in (
        "status:500", "status:400", "truncate:2", "cut:3", "empty-choices", "missing-usage",
        "reset", "hang-after-first", "reasoning:5", "length", "badschema", "ttft:8ms",
        "ttft:12ms", "ttft:0ms..20ms", "tokens:30+gap:1ms", "error-event:2+gap:2ms",
        "content-filter", "malformed-json+gap:2ms",
    )]
)  # fmt: skip
FORM: Any = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"a": {}}}},
}


@dataclass(frozen=True)
class Shot:
    """One request: what is asked, and when its caller leaves, if it does."""

    alias: str
    fault: str
    letters: int
    most: int | None
    answers: int
    stream: bool
    formed: bool
    leaves: str

    def sent(self) -> bytes:
        body: dict[str, Any] = {
            "model": f"{self.alias}/sim-1{self.fault}",
            "messages": [{"role": "user", "content": "x" * self.letters}],
            "stream": self.stream,
        }
        if self.most is not None:
            body["max_tokens"] = self.most
        if self.answers > 1:
            body["n"] = self.answers
        if self.formed:
            body["response_format"] = FORM
        return post("/v1/chat/completions", body)


shots = st.builds(
    Shot,
    alias=st.sampled_from(["plain", "next", "raced", "held"]),
    fault=st.sampled_from(FAULTS),
    letters=st.integers(0, 900),
    most=st.sampled_from([None, 1, 7, 40]),
    answers=st.sampled_from([1, 1, 1, 3]),
    stream=st.booleans(),
    formed=st.booleans(),
    leaves=st.sampled_from(["never"] * 8 + ["once", "bytes", "soon"]),
)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(shots, min_size=40, max_size=70),
    st.sampled_from(["0.05", "0.1", "0.2", "0.4"]),
    st.sampled_from(["0.02", "0.05"]),
)
def test_no_budget_is_ever_passed_and_every_answer_is_charged(
    fired: list[Shot], team: str, provider: str
) -> None:
    with TemporaryDirectory() as place:
        asyncio.run(_storm(Path(place), fired, team=team, provider=provider))


async def _storm(place: Path, fired: list[Shot], **budgets: str) -> None:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(await start(Settings(seed=2, length="60")))
        gateway = await stack.enter_async_context(
            running(place, CONFIG, Settings(seed=1, length="60"), other=second.base_url, **budgets)
        )
        watching = asyncio.create_task(_watch(gateway))
        gate = asyncio.Semaphore(AT_ONCE)
        answers = await asyncio.gather(*(_fire(gateway, gate, shot) for shot in fired))
        await idle(gateway)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert not watching.done() or watching.cancelled()

        _within(gateway)
        check_books(gateway)
        check_held_first(gateway)
        records = {record.request_id: record for record in gateway.records()}
        assert len(records) == len(fired)
        for answer in answers:
            _paid(answer, records)
        _counted(list(records.values()), gateway.sim, second)


async def _watch(gateway: Gateway) -> None:
    """See to it at every turn of the loop that no budget is passed."""
    while True:
        _within(gateway)
        await asyncio.sleep(0)


def _within(gateway: Gateway) -> None:
    for gauge in engine_of(gateway).gauges():
        for purse in gauge.purses:
            pot = purse.at(time.time_ns())
            assert pot.held >= 0
            assert pot.settled + pot.held <= purse.limit, gauge.scope


async def _fire(gateway: Gateway, gate: asyncio.Semaphore, shot: Shot) -> bytes:
    """What the caller of `shot` has read in the end."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(shot.sent())
        try:
            match shot.leaves:
                case "once":
                    await writer.drain()
                    return b""
                case "soon":
                    await asyncio.wait([asyncio.ensure_future(reader.read(1))], timeout=0.004)
                    return b""
                case "bytes":
                    return await reader.read(400)
                case _:
                    return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


def _paid(answer: bytes, records: dict[str, Record]) -> None:
    """Whoever has read something has paid for it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 OK" not in head[:20] or b'"content":' not in body:
        return
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    record = records[lines[b"x-request-id"].decode()]
    assert record.cost_nanousd, record


def _counted(records: list[Record], *providers: Simulated) -> None:
    """Each answer that came whole and was told is charged as its provider counted it."""
    counted = Counter(
        meter.prompt_tokens * INPUT_NANOUSD + meter.billed_tokens * OUTPUT_NANOUSD
        for provider in providers
        for meter, _ in provider.stats.calls
    )
    for record in records:
        tried = [each.cost_nanousd for each in record.attempts if each.cost_nanousd]
        if record.outcome == "ok" and not record.usage_estimated:
            counted.subtract([(record.cost_nanousd or 0) - sum(tried)])
    assert min(counted.values(), default=0) >= 0, counted
