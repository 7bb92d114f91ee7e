"""Every fault, met on purpose: what the caller sees of it, what is recorded and what is charged.

A fault, a caller's format and a way of asking (whole or streamed) meet in a `Cell`. The provider
speaks the caller's own format unless another is asked for. Nothing here depends on the speed of the
machine: what waits, waits for a limit that all the rest stays far below.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import openai

from tests.gateway.running import running
from tests.pairs.pair_callers import Callers
from tests.pairs.pair_faults import FAULTS, Fault
from tests.pairs.pair_samples import CLOCK, POINT
from tests.pairs.pair_ways import Pairs
from tests.pairs.pair_words import Json
from tidegate.providers.simulated.settings import Settings
from tidegate.telemetry.record import Record

CALLERS = ("chat", "responses", "messages")
AT_ONCE = 8
"""So few meetings at a time that none waits for another."""
SOON_S = 0.005

CONFIG = """
providers:
  chat: {{kind: openai, base_url: "{root}/v1", allow_private: true, api_key: key}}
  responses: {{kind: openai, api: responses, base_url: "{root}/v1", allow_private: true}}
  messages: {{kind: anthropic, base_url: "{root}/v1", allow_private: true, api_key: key}}
  nowhere: {{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}
models:
""" + "".join(
    f"""
  "{provider}/*":
    targets:
      - {{{{provider: {provider}, model: "*", price: {{{{input: $1/M, output: $2/M}}}}}}}}
    timeout: {{{{first_token: 600ms, idle: 600ms, total: 10s}}}}
    retry: {{{{attempts: 2, backoff: 1ms..2ms, budget: 100%}}}}
    breaker: null
"""
    for provider in (*CALLERS, "nowhere")
)
"""Two tries each, and no other target: what a fallback would hide is to be seen here."""


@dataclass
class Seen:
    """What the caller saw."""

    pieces: int = 0
    """Events of a stream that brought content."""
    end: str = ""
    """The finish reason, in the format's own word."""
    error: str = ""
    """The SDK's exception."""
    status: int | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Those that tell an SDK whether to try again."""


@dataclass(frozen=True)
class Cell:
    """One meeting."""

    fault: Fault
    caller: str
    stream: bool
    seen: Seen
    record: Record


OWN: Mapping[str, str] = {caller: caller for caller in CALLERS}
"""Each caller's provider speaks its own format."""


async def meet_all(
    pairs: Pairs, providers: Mapping[str, str] = OWN, faults: Sequence[Fault] = FAULTS
) -> list[Cell]:
    """Every meeting, in order; `providers` is who is asked, by the caller's format."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def meet(number: int, fault: Fault, caller: str, *, stream: bool) -> Seen:
        provider = "nowhere" if fault.nowhere else providers[caller]
        model = f"{provider}/cell-{number}{fault.simulated}"
        async with gate:
            return await _met(pairs, fault, caller, model, stream=stream)

    meetings = [(f, c, s) for f in faults for c in CALLERS for s in (False, True)]
    seen = await asyncio.gather(*(meet(n, f, c, stream=s) for n, (f, c, s) in enumerate(meetings)))
    records = await _records(pairs, len(meetings))
    return [
        Cell(*meeting, seen=seen[number], record=records[number])
        for number, meeting in enumerate(meetings)
    ]


async def _records(pairs: Pairs, number: int) -> dict[int, Record]:
    """The record of each meeting; one of a caller who left may come late."""
    found: dict[int, Record] = {}
    async with asyncio.timeout(60):
        while len(found) < number:
            for record in pairs.records():
                model = record.attempts[0].target.partition("/")[2]
                place = int(model.removeprefix("cell-").partition("+")[0])
                assert place not in found, "two records of one request"
                found[place] = record
            await asyncio.sleep(SOON_S)
    return found


async def _met(pairs: Pairs, fault: Fault, caller: str, model: str, *, stream: bool) -> Seen:
    seen = Seen()
    asking = asyncio.ensure_future(_ask(pairs.sdks, seen, fault, caller, model, stream=stream))
    if fault.leaves and (not stream or "ttft" in fault.simulated):
        await _begun(pairs, model.partition("/")[2], asking)
        asking.cancel()
    try:
        await asking
    except asyncio.CancelledError:
        seen.error = "left"
    except (openai.APIError, anthropic.APIError) as error:
        _note(seen, error)
    return seen


async def _begun(pairs: Pairs, model: str, asking: asyncio.Future[None]) -> None:
    """Return when the provider has the request. Raises: TimeoutError when it does not come."""
    asked = pairs.gateway.sim.stats.by_model
    async with asyncio.timeout(60):
        while model not in asked and not asking.done():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(SOON_S)


async def _ask(
    sdks: Callers, seen: Seen, fault: Fault, caller: str, model: str, *, stream: bool
) -> None:
    create, body = _request(sdks, fault, caller)
    if fault.patience_ms is not None:
        body["extra_headers"] = {"x-tidegate-timeout-ms": str(fault.patience_ms)}
    answer = await create(model=model, stream=stream, **body)
    if not stream:
        seen.end = _end(answer)
        return
    async with answer as events:
        async for event in events:
            seen.pieces += _brings(event)
            seen.end = _end(event) or seen.end
            if fault.leaves and seen.pieces:
                raise asyncio.CancelledError


def _request(sdks: Callers, fault: Fault, caller: str) -> tuple[Any, Json]:
    """The SDK's method and its arguments."""
    said, schema = [{"role": "user", "content": "Hello"}], POINT
    function = {"name": CLOCK["name"], "parameters": CLOCK["schema"]}
    match caller:
        case "chat":
            body: Json = {"messages": said}
            tool = {"tools": [{"type": "function", "function": function}]}
            form = {"name": "point", "schema": schema}
            shape = {"response_format": {"type": "json_schema", "json_schema": form}}
            demand: Any = "required"
            create: Any = sdks.openai.chat.completions.create
        case "responses":
            body = {"input": said, "store": False}
            tool = {"tools": [{"type": "function", "strict": False, **function}]}
            form = {"type": "json_schema", "name": "point", "schema": schema}
            shape = {"text": {"format": form}}
            demand, create = "required", sdks.openai.responses.create
        case _:
            body = {"messages": said, "max_tokens": 1000}
            tool = {"tools": [{"name": CLOCK["name"], "input_schema": CLOCK["schema"]}]}
            shape = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
            demand, create = {"type": "any"}, sdks.anthropic.messages.create
    if fault.asks == "tool":
        body |= tool | {"tool_choice": demand}
    elif fault.asks == "schema":
        body |= shape
    return create, body


_CONTENT = (
    "content_block_delta",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
)


def _brings(event: Any) -> bool:
    """Whether an event of any of the formats brings content."""
    kind: str | None = getattr(event, "type", None)
    if kind is not None:
        return kind in _CONTENT
    return any(choice.delta.content or choice.delta.tool_calls for choice in event.choices)


def _end(answer: Any) -> str:
    """The finish reason in an answer or an event; empty where there is none."""
    if getattr(answer, "choices", None):
        return answer.choices[0].finish_reason or ""
    delta = getattr(answer, "delta", None)
    reason = getattr(answer, "stop_reason", None) or getattr(delta, "stop_reason", None)
    if reason is not None:
        return reason
    response = getattr(answer, "response", answer)
    details = getattr(response, "incomplete_details", None)
    if details is not None:
        return f"incomplete: {details.reason}"
    return "completed" if getattr(response, "status", None) == "completed" else ""


def _note(seen: Seen, error: openai.APIError | anthropic.APIError) -> None:
    seen.error, seen.end = type(error).__name__, ""
    code = getattr(error, "code", None) or getattr(error, "error_code", None)
    seen.code = str(code) if code is not None else None
    response = getattr(error, "response", None)
    if response is not None:
        seen.status = response.status_code
        told = ("x-should-retry", "retry-after", "retry-after-ms")
        seen.headers = {name: response.headers[name] for name in told if name in response.headers}


@asynccontextmanager
async def open_faults(directory: Path) -> AsyncGenerator[Pairs]:
    """A gateway with `CONFIG` before a simulated provider, and the callers."""
    async with (
        running(directory, CONFIG, Settings()) as gateway,
        Callers(gateway.url) as callers,
    ):
        yield Pairs(gateway, callers)
