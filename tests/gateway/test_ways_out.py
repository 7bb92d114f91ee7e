"""Every way out of a request, and what must be true after it.

Of the caller's bytes, of the record and of the upstream: docs/explanation/ways-out.md.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

import pytest

from tidegate.providers.simulated.settings import Settings

from .conftest import Gateway, Open

PATH = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


def ask(model: str, *, stream: bool, close: bool = True) -> bytes:
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    ).encode()
    ending = "connection: close\r\n" if close else ""
    head = f"POST {PATH} HTTP/1.1\r\nhost: g\r\n{ending}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def dechunked(answer: bytes) -> bytes:
    """The body of a chunked answer; fails when its last chunk is missing."""
    rest = answer.partition(b"\r\n\r\n")[2]
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return body
        body += rest[:length]
        rest = rest[length + 2 :]


def events(body: bytes) -> list[Any]:
    assert body.endswith(b"\n\n")
    return [
        json.loads(event.removeprefix(b"data: "))
        for event in body.split(b"\n\n")[:-1]
        if event != DONE.strip()
    ]


async def upstream_has(gateway: Gateway, open_requests: int) -> None:
    """Return when so many are open at the provider; raises TimeoutError otherwise."""
    async with asyncio.timeout(60):
        while gateway.sim.stats.open_requests != open_requests:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Way:
    """A fault, and what it becomes."""

    fault: str
    outcome: str
    code: str | None = None
    committed: bool = True


WAYS = [
    Way("", "ok"),
    Way("+odd-framing", "ok"),
    Way("+missing-usage", "ok"),
    Way("+length", "ok"),
    Way("+content-filter", "ok"),
    Way("+truncate:3", "failed_after_commit", "upstream_cut"),
    Way("+cut:3", "failed_after_commit", "upstream_cut"),
    Way("+reset-after:3", "failed_after_commit", "upstream_cut"),
    Way("+error-event:3+gap:9ms", "failed_after_commit", "upstream_failed"),
    Way("+malformed-json+gap:9ms", "failed_after_commit", "upstream_malformed"),
    Way("+hang-after-first", "failed_after_commit", "upstream_idle_timeout"),
    Way("+error-event:3", "upstream_failed", committed=False),  # in one piece with the content
    Way("+truncate:0", "upstream_cut", committed=False),
    Way("+error-event:0", "upstream_failed", committed=False),
    Way("+hang", "upstream_first_token_timeout", committed=False),
    Way("+early-headers+ttft:5s", "upstream_first_token_timeout", committed=False),
    Way("+empty-choices", "upstream_malformed", committed=False),
    Way("+reset", "upstream_unreachable", committed=False),
    Way("+not-http", "upstream_protocol", committed=False),
    Way("+wrong-content-type", "upstream_malformed", committed=False),
    Way("+status:500", "upstream_failed", committed=False),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.fault or "good")
async def test_a_stream_ends_well_or_says_that_it_does_not(gateway: Gateway, way: Way) -> None:
    answer = await gateway.raw(ask("sim/sim-1" + way.fault, stream=True))
    record = await gateway.record()
    assert record.outcome == way.outcome
    assert len(gateway.records()) == 1
    if way.outcome == "ok":
        assert dechunked(answer).rstrip().endswith(b"[DONE]")
        assert record.finish_reason
    elif way.committed:
        body = dechunked(answer)
        assert DONE not in body
        assert events(body)[-1]["error"]["code"] == way.code == record.error_code
        assert events(body)[0]["choices"]
        assert record.status == 200
    else:
        assert b"200 OK" not in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == way.outcome
    await upstream_has(gateway, 0)


async def test_a_failure_before_the_first_content_is_invisible_behind_a_fallback(
    gateway: Gateway,
) -> None:
    for number, fault in enumerate(["reset", "truncate:0", "early-headers+ttft:9s"], 1):
        body = dechunked(await gateway.raw(ask(f"try/sim-1+{fault}", stream=True)))
        assert body.endswith(DONE)
        assert b"error" not in body
        record = await gateway.record(number)
        assert record.attempts[0].outcome.startswith("upstream_")
        assert [attempt.outcome for attempt in record.attempts[1:]] == ["ok"]
    await upstream_has(gateway, 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_caller_who_leaves_takes_the_upstream_with_it(
    gateway: Gateway, stream: bool, phase: str
) -> None:
    model = "sim/sim-1+ttft:60s" if phase == "before" else "sim/sim-1+tokens:10000+gap:20ms"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(ask(model, stream=stream))
    if phase == "after" and stream:
        await reader.readuntil(b"data: ")
    else:
        await upstream_has(gateway, 1)
    writer.close()
    record = await gateway.record()
    assert (record.outcome, record.status) == ("client_gone", 499)
    if phase == "after" and stream:
        assert record.target == "sim/sim-1+tokens:10000+gap:20ms"
        assert record.chunks > 0
    await upstream_has(gateway, 0)
    assert len(gateway.records()) == 1


async def test_a_caller_who_leaves_within_its_body_leaves_a_record(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: 10\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    assert (await gateway.record()).outcome == "client_gone"


async def test_a_drain_lets_requests_finish_and_cuts_the_rest_with_an_error(
    open_gateway: Open,
) -> None:
    gateway = await open_gateway(settings=Settings(gap="5ms", length="20"))
    quick = asyncio.create_task(gateway.raw(ask("assistant", stream=True)))
    slow = asyncio.create_task(gateway.raw(ask("sim/sim-1+tokens:9999+gap:50ms", stream=True)))
    early = asyncio.create_task(gateway.raw(ask("sim/sim-1+ttft:60s", stream=False)))
    await upstream_has(gateway, 3)
    await gateway.server.drain(1.0)
    assert dechunked(await quick).endswith(DONE)
    cut = dechunked(await slow)
    assert DONE not in cut
    assert events(cut)[-1]["error"]["code"] == "draining"
    assert b"503 Service Unavailable" in await early
    outcomes = sorted(record.outcome for record in gateway.records())
    assert outcomes == ["draining", "failed_after_commit", "ok"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", gateway.port)


async def test_a_caller_who_does_not_read_is_cut_at_the_deadline(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(ask("sim/sim-1+tokens:2000000", stream=True))
    record = await gateway.record()
    assert record.outcome == "failed_after_commit"
    assert record.error_code == "deadline_exceeded"
    await upstream_has(gateway, 0)
    writer.close()
    assert reader


async def test_a_reload_swaps_for_the_next_request_and_lets_the_running_one_finish(
    open_gateway: Open,
) -> None:
    gateway = await open_gateway(settings=Settings(gap="10ms", length="40"))
    running = asyncio.create_task(gateway.raw(ask("assistant", stream=True)))
    await upstream_has(gateway, 1)
    before = gateway.live.config.version
    text = gateway.config.read_text()
    gateway.config.write_text(
        text.replace("  assistant:", "  renamed:").replace(
            "fallback: [assistant]", "fallback: [renamed]"
        )
    )
    assert await gateway.live.reload()
    assert b"404 Not Found" in await gateway.raw(ask("assistant", stream=True))
    assert dechunked(await gateway.raw(ask("renamed", stream=True))).endswith(DONE)
    assert dechunked(await running).endswith(DONE)
    versions = {record.alias: record.config_version for record in gateway.records()}
    assert versions["renamed"] == gateway.live.config.version != before


async def test_a_bad_configuration_changes_nothing(gateway: Gateway) -> None:
    before = gateway.live.config.version
    gateway.config.write_text("models: {assistant: {target: []}}")
    assert not await gateway.live.reload()
    assert gateway.live.config.version == before
    assert dechunked(await gateway.raw(ask("assistant", stream=True))).endswith(DONE)


async def test_the_record_is_in_the_spool_before_the_last_byte_leaves(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for number in range(1, 30):
        writer.write(ask("assistant", stream=number % 2 == 0, close=False))
        await reader.readuntil(b"0\r\n\r\n" if number % 2 == 0 else b'"usage":')
        await asyncio.sleep(0)
        assert len(gateway.records()) == number
        if number % 2:
            await reader.readuntil(b"}}")
    writer.close()


async def test_no_bad_end_leaves_a_request_behind_under_concurrency(gateway: Gateway) -> None:
    faults = ["", "+cut:3", "+reset", "+status:500", "+truncate:3", "+hang-after-first"]
    asked = [ask(f"sim/sim-1{faults[n % 6]}", stream=n % 4 < 2) for n in range(120)]
    answers = await asyncio.gather(*(gateway.raw(each) for each in asked))
    assert all(answers)
    records = gateway.records()
    assert len(records) == len({record.request_id for record in records}) == 120
    assert gateway.live._house.in_flight == 0
    await upstream_has(gateway, 0)


async def test_streams_share_a_connection_to_the_provider(gateway: Gateway) -> None:
    for _ in range(5):
        answer = await gateway.raw(ask("assistant", stream=True))
        assert dechunked(answer).endswith(DONE)
    provider = cast("Any", gateway.live._house.rooms.providers["sim"])
    assert len(provider.replicas.all[0].pool._open) == 1


async def test_a_cut_with_one_of_two_choices_finished_is_a_failure(gateway: Gateway) -> None:
    body = json.dumps(
        {
            "model": "sim/sim-1+truncate:1",
            "n": 2,
            "stream": True,
            "messages": [{"role": "user", "content": "Hello"}],
        }
    ).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n"
    await gateway.raw(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert (await gateway.record()).error_code == "upstream_cut"
