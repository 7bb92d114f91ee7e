"""What must be true of money and limits once every request is over, whatever became of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from tidegate.admission.embedded import Embedded
from tidegate.limits import KINDS
from tidegate.telemetry.record import Record

from .running import Gateway

BUDGET = "budget: {{usd: 50, period: total}}"
RATES = "limits: {{tokens_per_day: 900000000, requests_per_day: 100000, concurrency: 500}}"
SCOPES = f"""
organisations: {{{{acme: {{{{{BUDGET}, {RATES}}}}}}}}}
teams: {{{{product: {{{{organisation: acme, {BUDGET}, {RATES}}}}}}}}}
keys:
  - {{{{name: web, secret: key-of-web, team: product, {BUDGET}, {RATES}}}}}
limits:
  - {{{{scope: user, {BUDGET}, {RATES}}}}}
  - {{{{scope: feature, {BUDGET}, {RATES}}}}}
  - {{{{scope: alias, {BUDGET}, {RATES}}}}}
  - {{{{scope: conversation, {BUDGET}, {RATES}}}}}
  - {{{{scope: provider, {BUDGET}, {RATES}}}}}
"""
"""Limits on every kind of scope, wide enough for everything."""
OWNER_HEADERS = {
    "authorization": "Bearer key-of-web",
    "x-tidegate-user": "ada",
    "x-tidegate-feature": "search",
    "x-tidegate-conversation": "c-1",
}
OWN_SCOPES = {
    "organisation": "acme", "team": "product", "key": "web", "user": "ada", "feature": "search",
    "conversation": "c-1",
}  # fmt: skip
INPUT_NANOUSD, OUTPUT_NANOUSD = 1_000, 2_000
"""Of a token, at `$1/M` and `$2/M`."""


def post(
    path: str, body: dict[str, Any], headers: dict[str, str] | None = None, *, close: bool = True
) -> bytes:
    """A request as it is sent, in the name of everybody who can be limited."""
    sent = json.dumps(body).encode()
    lines = {**OWNER_HEADERS, **(headers or {}), "content-length": str(len(sent))}
    if close:
        lines["connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\nhost: g\r\n{head}\r\n".encode() + sent


def chat(model: str, **fields: Any) -> bytes:
    """A chat request."""
    messages = [{"role": "user", "content": "Hello"}]
    return post("/v1/chat/completions", {"model": model, "messages": messages, **fields})


def cost_of(record: Record) -> int:
    return record.cost_nanousd or 0


def tokens_of(record: Record) -> int:
    """What the answer used, and the tries before it."""
    used = (record.input_tokens or 0) + (record.output_tokens or 0)
    return used + sum((t.input_tokens or 0) + (t.output_tokens or 0) for t in record.attempts)


def spent_at(record: Record, provider: str) -> int:
    """What of a record's cost one provider is paid."""
    tries = [tried for tried in record.attempts if tried.cost_nanousd]
    there = sum(t.cost_nanousd or 0 for t in tries if t.target.startswith(f"{provider}/"))
    if record.provider == provider:
        there += cost_of(record) - sum(tried.cost_nanousd or 0 for tried in tries)
    return there


def engine_of(gateway: Gateway) -> Embedded:
    """What counts within the gateway's process."""
    engine = gateway.lasting.counting.engine
    assert isinstance(engine, Embedded)
    return engine


async def idle(gateway: Gateway) -> None:
    """Return when no request runs any more."""
    async with asyncio.timeout(60):
        while gateway.live.house.in_flight:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


def check_books(gateway: Gateway) -> None:
    """Nothing is held, and each budget has settled what the records of its scope say."""
    engine = engine_of(gateway)
    assert (engine.running, engine.exceeded) == (0, 0)
    whole = gateway.records()
    assert len({record.request_id for record in whole}) == len(whole)
    for gauge in engine.gauges():
        kind, name = gauge.scope
        assert gauge.active == 0, gauge.scope
        own = [r for r in whole if kind == "provider" or getattr(r, kind) == name]
        for purse in gauge.purses:
            pot = purse.at(time.time_ns())
            assert pot.held == 0, gauge.scope
            costs = [spent_at(r, name) if kind == "provider" else cost_of(r) for r in own]
            assert pot.settled == sum(costs), gauge.scope
        if kind != "provider":
            for counter in gauge.tokens:
                assert counter.current == sum(map(tokens_of, own)), gauge.scope


def check_held_first(gateway: Gateway) -> None:
    """What was held stood in the spool before its end, each time more, and the end came once."""
    seen: dict[str, list[str]] = {}
    most: dict[str, int] = {}
    for record in gateway.spooled():
        seen.setdefault(record.request_id, []).append(record.outcome)
        if record.outcome == "held":
            assert record.cost_nanousd is None
            assert (record.held_nanousd or 0) > most.get(record.request_id, 0)
            most[record.request_id] = record.held_nanousd or 0
            assert record.provider is not None
            assert record.request_body is None
    for outcomes in seen.values():
        assert len(outcomes) - outcomes.count("held") == 1
        assert outcomes[-1] != "held"
    for record in gateway.records():
        assert record.held_nanousd == most.get(record.request_id)


def billed(gateway: Gateway) -> int:
    """What the simulated provider would charge for all that it counted, in nano-dollars."""
    stats = gateway.sim.stats
    return stats.prompt_tokens * INPUT_NANOUSD + stats.billed_tokens * OUTPUT_NANOUSD


def counted_kinds(gateway: Gateway) -> set[str]:
    """The kinds of scopes that something was counted on."""
    engine = engine_of(gateway)
    kinds = {gauge.scope[0] for gauge in engine.gauges() if any(c.current for c in gauge.requests)}
    assert kinds <= set(KINDS)
    return kinds


@dataclass(frozen=True)
class Told:
    """What a caller was told."""

    status: int
    headers: dict[str, str]
    body: Any


async def asked(gateway: Gateway, path: str, body: dict[str, Any], **headers: str) -> Told:
    """The answer to a request in everybody's name; the names of `headers` have underscores."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await gateway.raw(post(path, body, own))
    head, _, sent = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    named = dict(line.split(": ", 1) for line in lines)
    return Told(int(first.split()[1]), named, json.loads(sent))
