"""What the edge does with requests while the gateway has more to do than it can."""

import asyncio

import pytest

from tidegate.gateway.edge import Bounds
from tidegate.gateway.exchange import Exchange
from tidegate.gateway.server import Server
from tidegate.net.listen import listen
from tidegate.policy.saturation import Gate, Load

POST = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n%b\r\nbody"


async def told(*requests: bytes, share: float = 0.0) -> bytes:
    """What is answered to `requests` on one connection."""
    seen: list[Exchange] = []

    async def app(exchange: Exchange) -> None:
        seen.append(exchange)
        await asyncio.sleep(0)
        exchange.abort()

    gate = Gate()
    gate.load, gate.shedding = Load(share=share), True
    server, listener = Server(app, Bounds(8192, 5.0, 5.0), gate), listen("127.0.0.1", 0)
    await server.start(listener, None)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    answers = b""
    try:
        for request in requests:
            writer.write(request)
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                answers += head + await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # closed, as some are to be
    finally:
        writer.close()
        await server.drain(1.0)
    return answers


async def test_refused_caller_may_ask_again_on_its_connection() -> None:
    answers = await told(POST % (b"/v1/chat/completions", b""), POST % (b"/v1/messages", b""))
    assert answers.count(b"HTTP/1.1 429") == 2
    assert answers.count(b"retry-after: 1") == 2
    assert b'"code":"overloaded"' in answers
    assert b'"type":"error"' in answers


@pytest.mark.parametrize("header", [b"connection: close\r\n", b"expect: 100-continue\r\n"])
async def test_connection_that_cannot_go_on_is_closed_after_the_refusal(header: bytes) -> None:
    answers = await told(*[POST % (b"/v1/chat/completions", header)] * 2)
    assert answers.count(b"HTTP/1.1 429") == 1
    assert b"connection: close" in answers


async def test_health_is_told_at_any_time() -> None:
    assert b"429" not in await told(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
