"""What the caller by the clock makes of good and of bad answers."""

from __future__ import annotations

import asyncio
import math

import pytest
from servers import free_port

from bench.steady import Asked, Steady
from tidegate.providers.simulated import Settings, start


def _request(faults: str = "") -> bytes:
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"tide"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-simulate: {faults}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _played(port: int, faults: str = "") -> list[Asked]:
    steady = Steady(port, _request(faults), rate=200)
    asyncio.get_running_loop().call_later(0.05, steady.stop)
    await steady.run()
    assert steady.asked
    return steady.asked


async def test_times_of_an_answer_come_in_their_order() -> None:
    async with await start(Settings(ttft="2ms", length="3")) as server:
        for asked in await _played(server.port):
            assert asked.failure is None
            assert asked.due_s <= asked.sent_s < asked.first_s <= asked.ended_s
            assert asked.first_ms >= 2


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ("status=503", "HTTP/1.1 503"),
        ("truncate=1", "ended without [DONE]"),
        ("reset-after=1", "connection lost"),
        ("not-http", "connection lost"),
    ],
)
async def test_anything_but_a_whole_stream_is_a_failure(faults: str, told: str) -> None:
    async with await start(Settings(length="3")) as server:
        for asked in await _played(server.port, faults):
            assert asked.failure is not None
            assert told in asked.failure
            assert asked.ended_s >= asked.due_s


async def test_nobody_there_is_a_failure() -> None:
    for asked in await _played(free_port()):
        assert asked.failure is not None
        assert math.isnan(asked.first_s)
        assert not math.isnan(asked.ended_s)
