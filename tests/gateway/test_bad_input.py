"""What bad input gets: a clear error, the right status, and a healthy gateway afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from .conftest import CONFIG, Gateway, Open

GOOD = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}
PATH = "/v1/chat/completions"


def request(body: bytes, headers: str = "", path: str = PATH, method: str = "POST") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def parsed(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, json.loads(body)


async def assert_healthy(gateway: Gateway) -> None:
    status, _, answer = parsed(await gateway.raw(request(json.dumps(GOOD).encode())))
    assert status == 200
    assert answer["choices"]


DEEP = b"[" * 10_000 + b"]" * 10_000
BODIES: dict[str, tuple[bytes, str, str | None]] = {
    "nothing": (b"", "not valid JSON", None),
    "not JSON": (b"model=assistant", "not valid JSON", None),
    "half": (b'{"model": "assi', "ends too early", None),
    "no object": (b"[1]", "must be a JSON object", None),
    "NaN": (b'{"model":"assistant","messages":[{}],"temperature":NaN}', "not valid JSON", None),
    "deep": (b'{"model":"assistant","messages":' + DEEP + b"}", "nested too deeply", None),
    "not UTF-8": (b'{"model":"\xff\xfe"}', "not UTF-8", None),
    "lone surrogate": (b'{"model":"assistant","messages":[{"content":"\\ud800"}]}', "half", None),
    "no model": (b'{"messages":[{}]}', "missing required field", "model"),
    "model a number": (b'{"model":7,"messages":[{}]}', "Expected `str`", "model"),
    "no messages": (b'{"model":"assistant"}', "missing required field", "messages"),
    "empty messages": (b'{"model":"assistant","messages":[]}', "length >= 1", "messages"),
    "message no object": (b'{"model":"assistant","messages":[3]}', "`object`", "messages[0]"),
    "stream no boolean": (b'{"model":"assistant","messages":[{}],"stream":"yes"}', "", "stream"),
    "no length": (b'{"model":"assistant","messages":[{}],"max_tokens":0}', ">= 1", "max_tokens"),
    "twice": (b'{"model":"a","model":"assistant","messages":[{}]}', "more than once", "model"),
    "twice, escaped": (
        b'{"model":"a","mod\\u0065l":"b","messages":[{}]}',
        "more than once",
        "model",
    ),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_body_is_told_what_is_wrong_and_where(gateway: Gateway, name: str) -> None:
    body, says, param = BODIES[name]
    status, headers, answer = parsed(await gateway.raw(request(body)))
    error = answer["error"]
    assert status == 400
    assert says in error["message"]
    assert (error["code"], error["type"]) == ("invalid_request", "invalid_request_error")
    assert error["param"] == param
    assert headers["x-should-retry"] == "false"
    record = await gateway.record()
    assert record.request_id == headers["x-request-id"]
    assert (record.outcome, record.status) == ("invalid_request", 400)
    assert gateway.sim.stats.requests == 0
    await assert_healthy(gateway)


async def test_an_unknown_model_is_told_the_names_that_exist(gateway: Gateway) -> None:
    body = json.dumps(GOOD | {"model": "assistent"}).encode()
    status, _, answer = parsed(await gateway.raw(request(body)))
    assert status == 404
    assert answer["error"]["code"] == "model_not_found"
    assert "Did you mean 'assistant'?" in answer["error"]["message"]
    assert "covered" in answer["error"]["message"]


async def test_an_unknown_path_and_a_wrong_method_are_errors_in_openais_format(
    gateway: Gateway,
) -> None:
    status, _, answer = parsed(await gateway.raw(request(b"{}", path="/v2/chat")))
    assert (status, answer["error"]["code"]) == (404, "unknown_path")
    status, headers, answer = parsed(await gateway.raw(request(b"", method="PUT")))
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == "POST"
    assert [record.outcome for record in gateway.records()] == [
        "unknown_path", "method_not_allowed",
    ]  # fmt: skip


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_while_it_is_sent(
    gateway: Gateway, chunked: bool
) -> None:
    size = 100 << 20
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    writer.write(f"POST {PATH} HTTP/1.1\r\nhost: gateway\r\n{framing}\r\n\r\n".encode())
    piece = b"x" * 65536
    sent = 0
    while sent < size and not reader._buffer:  # pyright: ignore[reportAttributeAccessIssue]
        writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        await writer.drain()
        sent += len(piece)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()
    assert sent < size
    assert (await gateway.record()).outcome == "body_too_large"
    await assert_healthy(gateway)


async def test_a_caller_may_finish_sending_what_was_refused_and_go_on(gateway: Gateway) -> None:
    body = b"x" * (3 << 20)
    good = json.dumps(GOOD).encode()
    first = f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    answer = await gateway.raw(first + body + request(good))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 OK" in answer


async def test_a_body_that_comes_too_slowly_is_given_up(gateway: Gateway) -> None:
    status, _, answer = parsed(
        await gateway.raw(
            f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: 100\r\n\r\n{{".encode()
        )
    )
    assert (status, answer["error"]["code"]) == (408, "body_timeout")
    assert (await gateway.record()).outcome == "body_timeout"
    await assert_healthy(gateway)


async def test_a_head_that_comes_too_slowly_is_given_up(gateway: Gateway) -> None:
    status, _, answer = parsed(await gateway.raw(b"POST /v1/chat/completions HTTP/1.1\r\nhost: "))
    assert (status, answer["error"]["code"]) == (408, "body_timeout")
    assert await gateway.raw(b"") == b""


@pytest.mark.parametrize("piece", [b"x-long: " + b"a" * 9000, b"a: b\r\n" * 2000])
async def test_a_head_over_the_limit_is_refused(gateway: Gateway, piece: bytes) -> None:
    answer = await gateway.raw(b"GET /v1/models HTTP/1.1\r\nhost: g\r\n" + piece + b"\r\n\r\n")
    status, _, error = parsed(answer)
    assert (status, error["error"]["code"]) == (431, "headers_too_large")
    await assert_healthy(gateway)


SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: smuggled\r\n\r\n"
SHAPES = {
    "both lengths": b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 4\r\ncontent-length: 4\r\n\r\n{}{}",
    "two different lengths": b"content-length: 4\r\ncontent-length: 5\r\n\r\n{}{}",
    "length list": b"content-length: 4, 4\r\n\r\n{}{}",
    "negative length": b"content-length: -1\r\n\r\n{}",
    "signed length": b"content-length: +2\r\n\r\n{}",
    "two encodings": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown encoding": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "hidden encoding": b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "folded": b"x-folded: a\r\n b: c\r\ncontent-length: 2\r\n\r\n{}",
    "bare line feed": b"x: a\ncontent-length: 2\r\n\r\n{}",
    "bad chunk size": b"transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "null in a name": b"x\x00y: 1\r\ncontent-length: 2\r\n\r\n{}",
    "two hosts": b"host: other\r\ncontent-length: 2\r\n\r\n{}",
    "space before": b" host: x\r\n\r\n",
}


@pytest.mark.parametrize("name", SHAPES)
async def test_what_could_smuggle_a_request_is_refused_and_the_connection_closed(
    gateway: Gateway, name: str
) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: g\r\n".encode()
    answer = await gateway.raw(head + SHAPES[name] + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1
    status, headers, error = parsed(answer)
    assert (status, error["error"]["code"]) == (400, "invalid_request")
    assert headers["connection"] == "close"
    await assert_healthy(gateway)


async def test_a_line_break_in_a_model_name_never_becomes_a_header(gateway: Gateway) -> None:
    body = json.dumps(GOOD | {"model": "sim/sim-1\r\nx-injected: yes"}).encode()
    answer = await gateway.raw(request(body))
    head = answer.partition(b"\r\n\r\n")[0]
    assert b"\r\nx-injected" not in head
    assert head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_offer_of_another_protocol_does_not_cost_the_body(
    gateway: Gateway, chunked: bool, pieces: int
) -> None:
    body = json.dumps(GOOD).encode()
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: g\r\nconnection: Upgrade, HTTP2-Settings\r\n"
        f"upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n{framing}\r\n\r\n"
    ).encode()
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    if pieces == 1:
        answer = await gateway.raw(head + sent)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(sent)
        answer = await reader.read()
        writer.close()
    status, headers, answered = parsed(answer)
    assert (status, headers["connection"]) == (200, "close")
    assert answered["choices"]


async def test_an_offer_without_a_body_is_answered_as_it_is(gateway: Gateway) -> None:
    answer = await gateway.raw(
        b"GET /healthz HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        b"\x81\x05hello"
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    await assert_healthy(gateway)


async def test_pipelined_requests_are_answered_in_their_order(gateway: Gateway) -> None:
    many = b"".join(
        f"GET /v1/models/{name} HTTP/1.1\r\nhost: g\r\n\r\n".encode()
        for name in ("assistant", "dead", "covered")
    )
    answer = await gateway.raw(many + request(b"", method="GET", path="/v1/models/full"))
    ids = [part.split(b'"')[0] for part in answer.split(b'"id":"')[1:]]
    assert ids == [b"assistant", b"dead", b"covered", b"full"]


async def test_a_caller_of_http_1_0_gets_a_stream_that_ends_with_the_connection(
    gateway: Gateway,
) -> None:
    body = json.dumps(GOOD | {"stream": True}).encode()
    head = f"POST {PATH} HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    answer = await gateway.raw(head + body)
    assert b"chunked" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


KEYED = (
    CONFIG
    + """
keys:
  - {{name: web, secret: tg-web-secret-1234, team: product}}
  - {{name: narrow, secret: tg-narrow-secret-1, models: [full]}}
"""
)


@pytest.mark.parametrize(
    "sent",
    ["", "authorization: Bearer wrong\r\n", "authorization: Basic eDp5\r\n", "x-api-key:\r\n"],
)
async def test_no_key_and_a_wrong_key_get_the_same_answer(open_gateway: Open, sent: str) -> None:
    gateway = await open_gateway(KEYED)
    status, _, answer = parsed(await gateway.raw(request(json.dumps(GOOD).encode(), sent)))
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert answer["error"]["message"].startswith("No valid API key was sent.")
    record = await gateway.record()
    assert (record.outcome, record.key) == ("invalid_api_key", None)
    assert gateway.sim.stats.requests == 0


@pytest.mark.parametrize("header", ["authorization: Bearer {}", "x-api-key: {}", "api-key: {}"])
async def test_a_good_key_is_recorded_by_its_name(open_gateway: Open, header: str) -> None:
    gateway = await open_gateway(KEYED)
    sent = header.format("tg-web-secret-1234") + "\r\n"
    status, _, _ = parsed(await gateway.raw(request(json.dumps(GOOD).encode(), sent)))
    assert status == 200
    record = await gateway.record()
    assert (record.key, record.team) == ("web", "product")


async def test_a_key_sees_and_reaches_only_its_own_models(open_gateway: Open) -> None:
    gateway = await open_gateway(KEYED)
    key = "authorization: Bearer tg-narrow-secret-1\r\n"
    status, _, answer = parsed(await gateway.raw(request(json.dumps(GOOD).encode(), key)))
    assert status == 404
    assert answer["error"]["message"].endswith("Models you can use: full.")
    _, _, listed = parsed(await gateway.raw(request(b"", key, "/v1/models", "GET")))
    assert [each["id"] for each in listed["data"]] == ["full"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("dead", 502, "upstream_unreachable"),
        ("sim/sim-1+not-http", 502, "upstream_protocol"),
        ("sim/sim-1+reset", 502, "upstream_unreachable"),
        ("sim/sim-1+wrong-content-type", 502, "upstream_malformed"),
        ("sim/sim-1+malformed-json", 502, "upstream_malformed"),
        ("sim/sim-1+empty-choices", 502, "upstream_malformed"),
        ("sim/sim-1+cut", 502, "upstream_cut"),
        ("sim/sim-1+status:503", 502, "upstream_failed"),
        ("sim/sim-1+status:401", 502, "upstream_denied"),
        ("sim/sim-1+hang", 504, "deadline_exceeded"),
        ("sim/sim-1+context-overflow", 400, "context_length_exceeded"),
    ],
)
async def test_an_upstream_that_fails_is_told_apart_and_nothing_of_it_leaks(
    gateway: Gateway, model: str, status: int, code: str
) -> None:
    body = json.dumps(GOOD | {"model": model}).encode()
    got, _, answer = parsed(await gateway.raw(request(body)))
    assert (got, answer["error"]["code"]) == (status, code)
    told = json.dumps(answer)
    assert "127.0.0.1" not in told
    assert "Traceback" not in told
    record = await gateway.record()
    assert record.status == status
    assert [attempt.outcome for attempt in record.attempts] == [record.outcome]
    await assert_healthy(gateway)


async def test_a_wait_that_a_provider_asks_for_reaches_the_caller(gateway: Gateway) -> None:
    body = json.dumps(GOOD | {"model": "sim/sim-1+retry-after:7"}).encode()
    status, headers, answer = parsed(await gateway.raw(request(body)))
    assert (status, answer["error"]["code"]) == (429, "upstream_rate_limited")
    assert headers["retry-after"] == "7"
    assert "x-should-retry" not in headers


async def test_what_no_record_can_hold_is_shortened_in_it(gateway: Gateway) -> None:
    odd: dict[str, Any] = {"seed": 10**30, "stop": ["x" * 5000], "temperature": 0.5}
    status, _, _ = parsed(await gateway.raw(request(json.dumps(GOOD | odd).encode())))
    assert status == 200
    kept = (await gateway.record()).parameters
    assert kept is not None
    assert kept["seed"] == str(10**30)
    assert kept["temperature"] == 0.5
    assert len(kept["stop"]) < 300
