"""The server as an HTTP server: order, limits, bad input, and callers that leave or do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.providers.simulated import Server

BODY = b'{"model":"sim-1","messages":[{"role":"user","content":"hi"}]}'
Chat = Callable[..., Awaitable[Any]]
Raw = Callable[..., Awaitable[Any]]
Simulate = Callable[..., Awaitable[Server]]


def post(body: bytes, *headers: str, path: str = "/v1/chat/completions") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def stats_of(server: Server, raw: Raw) -> dict[str, Any]:
    return (await raw(server.port, b"GET /stats HTTP/1.1\r\nhost: sim\r\n\r\n")).json


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    slow = post(BODY, "x-simulate: ttft=20ms")
    writer.write(slow + post(BODY) * 40 + post(BODY, "x-simulate: status=418", "connection: close"))
    answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 41
    assert [f'"id":"chatcmpl-sim-{n:x}"'.encode() in answer for n in range(41)] == [True] * 41
    assert answer.index(b"chatcmpl-sim-0") < answer.index(b"chatcmpl-sim-1")
    assert answer.rindex(b"418") > answer.rindex(b"HTTP/1.1 200 OK")


async def test_a_request_in_single_bytes_is_read(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for byte in post(BODY, "connection: close"):
        writer.write(bytes([byte]))
        await writer.drain()
    assert b"200 OK" in await reader.read()
    writer.close()


async def test_http_1_0_gets_a_stream_that_ends_with_the_connection(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    body = BODY[:-1] + b',"stream":true}'
    writer.write(post(body).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await reader.read()
    writer.close()
    assert b"chunked" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "could not parse"),
        (b"not json", "could not parse"),
        (b"[]", "could not parse"),
        (b'{"model":"sim-1"}', "messages"),
        (b'{"model":1,"messages":[]}', "model"),
        (b'{"model":"sim-1","messages":[]}', "empty array"),
        (b'{"model":"sim-1","messages":"hi"}', "messages"),
        (b'{"model":"sim-1","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "parse"),
        (b'{"model":"sim-1","messages":[],"extra":NaN}', "could not parse"),
        (BODY[:-1] + b',"n":0}', "'n'"),
        (BODY[:-1] + b',"n":129}', "'n'"),
        (BODY[:-1] + b',"max_tokens":0}', "max_tokens"),
        (BODY[:-1] + b',"max_completion_tokens":0}', "max_completion_tokens"),
        (BODY[:-1] + b',"max_tokens":1,"max_completion_tokens":1}', "same time"),
        (BODY[:-1] + b',"stream_options":{"include_usage":true}}', "stream_options"),
        (BODY[:-1] + b',"top_logprobs":2}', "top_logprobs"),
        (BODY[:-1] + b',"tool_choice":"required"}', "tools"),
        (BODY[:-1] + b',"tools":[{}]}', "tools"),
        (BODY[:-1] + b',"response_format":{"type":"json_schema"}}', "json_schema"),
    ],
)
async def test_a_bad_body_is_a_bad_request(
    server: Server, raw: Raw, body: bytes, says: str
) -> None:
    answer = await raw(server.port, post(body))
    assert answer.status == 400
    assert says in answer.json["error"]["message"]
    assert (await raw(server.port, post(BODY))).status == 200


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"model": "m", "input": []}, "input"),
        ("/v1/embeddings", {"model": "m", "input": [1, "a"]}, "input"),
        ("/v1/embeddings", {"model": "m", "input": [[1, "a"]]}, "input"),
        ("/v1/embeddings", {"model": "m", "input": "a", "dimensions": 0}, "dimensions"),
        ("/v1/embeddings", {"model": "m", "input": "a", "encoding_format": "x"}, "encoding_format"),
        ("/v1/completions", {"model": "m", "prompt": {}}, "prompt"),
    ],
)
async def test_a_bad_field_is_named(
    server: Server, raw: Raw, path: str, body: object, param: str
) -> None:
    answer = await raw(server.port, post(json.dumps(body).encode(), path=path))
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_unknown_paths_and_methods_are_refused(server: Server, raw: Raw) -> None:
    assert (await raw(server.port, post(BODY, path="/v1/nothing"))).status == 404
    assert (await raw(server.port, post(b"", path="/v1/models"))).status == 405
    wrong = await raw(server.port, b"GET /v1/chat/completions HTTP/1.1\r\nhost: sim\r\n\r\n")
    assert wrong.status == 405
    assert (await raw(server.port, b"GET /reset HTTP/1.1\r\nhost: sim\r\n\r\n")).status == 405
    assert (await raw(server.port, b"GET /healthz HTTP/1.1\r\nhost: sim\r\n\r\n")).status == 200


async def test_what_is_not_http_is_refused(server: Server, raw: Raw) -> None:
    answer = await raw(server.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert answer.status == 400
    huge = b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n"
    assert (await raw(server.port, huge)).status == 400


async def test_a_key_is_required_when_set(simulate: Simulate, raw: Raw) -> None:
    server = await simulate(key="sk-right")
    for header in ("authorization: Bearer sk-wrong", "x-nothing: 1"):
        refused = await raw(server.port, post(BODY, header))
        assert (refused.status, refused.json["error"]["code"]) == (401, "invalid_api_key")
        assert "sk-" not in refused.raw.decode()
    assert (await raw(server.port, post(BODY, "authorization: Bearer sk-right"))).status == 200


async def test_only_named_models_exist_when_named(simulate: Simulate, raw: Raw) -> None:
    server = await simulate(models=("sim-1", "sim-2"))
    assert (await raw(server.port, post(BODY))).status == 200
    assert (await raw(server.port, post(BODY.replace(b"sim-1", b"sim-2+length")))).status == 200
    unknown = await raw(server.port, post(BODY.replace(b"sim-1", b"sim-3")))
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


async def test_a_caller_that_leaves_stops_the_stream(server: Server, raw: Raw) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(post(BODY[:-1] + b',"stream":true}', "x-simulate: gap=1ms; tokens=100000"))
    await reader.readuntil(b"content")
    assert (server.stats.open_streams, server.stats.open_requests) == (1, 1)
    writer.close()
    await writer.wait_closed()
    while (stats := await stats_of(server, raw))["open_requests"]:
        pass
    assert (stats["open_streams"], stats["cancelled"]) == (0, 1)
    tokens = stats["completion_tokens"]
    assert 0 < tokens["delivered"] == tokens["billed"] < 100_000


async def test_a_caller_that_does_not_read_holds_the_stream(server: Server, raw: Raw) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
    writer.write(post(BODY[:-1] + b',"stream":true}', "x-simulate: tokens=100000"))
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = server._connections
    while connection._delivery is not None and not connection._delivery._stalled:
        await stats_of(server, raw)
    assert connection._reply is not None
    assert 0 < connection._reply.meter.delivered_tokens < 100_000
    assert connection._transport.get_write_buffer_size() < 1 << 20
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        rest = rest[-5:] + await reader.read(1 << 20)
    writer.close()
    stats = await stats_of(server, raw)
    assert (stats["completion_tokens"]["delivered"], stats["cancelled"]) == (100_000, 0)


async def test_what_was_received_is_counted(server: Server, chat: Chat, raw: Raw) -> None:
    await chat("", "x-request-id: mine")
    await chat("status=500")
    await chat("reset", model="sim-2")
    await chat("reasoning=7; tokens=3", stream=True)
    stats = await stats_of(server, raw)
    assert stats["requests"] == 4
    assert stats["by_model"] == {"sim-1": 3, "sim-2": 1}
    assert stats["by_status"] == {"200": 2, "500": 1, "none": 1}
    assert stats["by_path"] == {"/v1/chat/completions": 4}
    assert stats["completion_tokens"] == {"delivered": 19, "billed": 26}
    assert stats["prompt_tokens"] == 16
    assert stats["request_ids"] == ["mine", "req-sim-1", "req-sim-2", "req-sim-3"]
    assert (stats["open_requests"], stats["cancelled"]) == (0, 0)
    assert (await raw(server.port, post(b"", path="/reset"))).status == 200
    stats = await stats_of(server, raw)
    assert (stats["requests"], stats["by_model"], stats["request_ids"]) == (0, {}, [])


async def test_names_are_counted_within_a_bound(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for number in range(1100):
        writer.write(post(BODY.replace(b"sim-1", b"m%d" % number)))
    writer.write(post(BODY, "connection: close"))
    await reader.read()
    writer.close()
    assert len(server.stats.by_model) == 1001
    assert server.stats.by_model["(other)"] == 101
    assert len(server.stats.request_ids) == 1000


async def test_the_same_seed_gives_the_same_again(simulate: Simulate, raw: Raw) -> None:
    async def texts(server: Server) -> list[str]:
        answers = [await raw(server.port, post(BODY)) for _ in range(5)]
        return [answer.json["choices"][0]["message"]["content"] for answer in answers]

    first = await simulate(seed=3, length="uniform:1..50")
    said = await texts(first)
    assert len({len(text) for text in said}) > 1
    assert await texts(await simulate(seed=3, length="uniform:1..50")) == said
    assert await texts(await simulate(seed=4, length="uniform:1..50")) != said
    await raw(first.port, post(b"", path="/reset"))
    assert await texts(first) == said


async def test_random_gaps_end_in_a_whole_answer(simulate: Simulate, raw: Raw) -> None:
    server = await simulate(ttft="normal:2ms,1ms", gap="exp:1ms", length="normal:8,2")
    whole = await raw(server.port, post(BODY))
    streamed = await raw(server.port, post(BODY[:-1] + b',"stream":true}'))
    assert whole.json["choices"]
    assert streamed.events[-1] == "[DONE]"


async def test_closing_the_server_drops_what_is_under_way(simulate: Simulate, raw: Raw) -> None:
    server = await simulate()
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(post(BODY, "x-simulate: hang"))
    while not (await stats_of(server, raw))["open_requests"]:
        pass
    server.close()
    await server.wait_closed()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
