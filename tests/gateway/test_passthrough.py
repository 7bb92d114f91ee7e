"""Requests that go to one provider as they are: the same keys, bounds and records."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted

CONFIG = """
providers:
  open: {{kind: openai, base_url: "{one}", allow_private: true, passthrough: true, api_key: ours}}
  shut: {{kind: openai, base_url: "{one}", allow_private: true}}
  dead: {{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true, passthrough: true}}
models:
  assistant: {{targets: [{{provider: open, model: m-1}}]}}
keys:
  - {{name: all, secret: key-of-all}}
  - {{name: door, secret: key-of-door, models: [passthrough/*]}}
  - {{name: narrow, secret: key-of-narrow, models: [assistant]}}
server: {{body_limit: 1MiB}}
"""
BODY = json.dumps({"model": "m-9", "messages": [{"role": "user", "content": "Hello"}]}).encode()


@pytest.fixture
async def provider() -> AsyncGenerator[Scripted]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def gateway(open_gateway: Open, provider: Scripted) -> Gateway:
    return await open_gateway(CONFIG, None, one=provider.url)


def request(path: str, body: bytes = BODY, key: str = "key-of-all", more: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\n{more}"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


def parsed(answer: bytes) -> tuple[int, bytes, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), json.loads(body)


CHAT = "/passthrough/open/chat/completions"


async def test_the_answer_is_the_providers_and_its_record_is_ours(
    gateway: Gateway, provider: Scripted
) -> None:
    status, head, answer = parsed(await gateway.raw(request(CHAT)))
    assert (status, answer["model"]) == (200, "scripted-1")
    assert b"x-request-id: req_" in head
    record = await gateway.record()
    assert (record.wire, record.provider, record.key) == ("passthrough", "open", "all")
    assert (record.model, record.input_tokens, record.output_tokens) == ("scripted-1", 3, 2)
    assert provider.bodies == [json.loads(BODY)]


async def test_the_provider_sees_our_key_and_never_the_callers(
    gateway: Gateway, provider: Scripted
) -> None:
    await gateway.raw(request(CHAT, more="x-api-key: another\r\ncookie: a=b\r\n"))
    assert provider.keys == ["ours"]


@pytest.mark.parametrize("path", [CHAT, "/passthrough/open/v1/chat/completions"])
async def test_the_version_is_asked_for_once_whoever_brings_it(
    gateway: Gateway, provider: Scripted, path: str
) -> None:
    assert parsed(await gateway.raw(request(path)))[0] == 200
    assert provider.heads[0].startswith("POST /v1/chat/completions ")


async def test_an_error_of_the_provider_passes_as_it_is(
    gateway: Gateway, provider: Scripted
) -> None:
    provider.steps.append(Step(429, headers={"retry-after": "7"}))
    status, head, answer = parsed(await gateway.raw(request(CHAT)))
    assert (status, answer["error"]["message"]) == (429, "scripted")
    assert b"retry-after: 7" in head
    assert (await gateway.record()).outcome == "upstream_refused"
    assert provider.calls == 1


async def test_a_stream_passes_as_it_is(gateway: Gateway) -> None:
    body = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    answer = await gateway.raw(request(CHAT, body))
    assert b"data: [DONE]" in answer
    assert answer.endswith(b"0\r\n\r\n")
    record = await gateway.record()
    assert (record.stream, record.finish_reason, record.outcome) == (True, "stop", "ok")


async def test_a_stream_that_is_cut_is_told_as_such(gateway: Gateway, provider: Scripted) -> None:
    provider.steps.append(Step(hang=True))
    body = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    answer = await gateway.raw(request(CHAT, body, more="x-tidegate-timeout-ms: 60\r\n"))
    assert parsed(answer)[0] == 504
    assert (await gateway.record()).outcome == "deadline_exceeded"


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("/passthrough/shut/models", "key-of-all", 404, "unknown_path"),
        ("/passthrough/nobody/models", "key-of-all", 404, "unknown_path"),
        ("/passthrough/", "key-of-all", 404, "unknown_path"),
        (CHAT, "key-of-narrow", 403, "not_allowed"),
        (CHAT, "wrong", 401, "invalid_api_key"),
        ("/passthrough/open/../admin", "key-of-all", 400, "invalid_request"),
        ("/passthrough/open/%2e%2e/admin", "key-of-all", 400, "invalid_request"),
        ("/passthrough/open/%252e%252e/admin", "key-of-all", 400, "invalid_request"),
        ("/passthrough/open/..;x=1/admin", "key-of-all", 400, "invalid_request"),
        ("/%70assthrough/open/models", "key-of-all", 404, "unknown_path"),
        ("http://open/passthrough/open/models", "key-of-all", 404, "unknown_path"),
        ("/passthrough/dead/models", "key-of-all", 502, "upstream_unreachable"),
    ],
)
async def test_what_may_not_pass_is_refused_and_recorded(
    gateway: Gateway, provider: Scripted, *, path: str, key: str, status: int, code: str
) -> None:
    got, _, answer = parsed(await gateway.raw(request(path, key=key)))
    assert (got, answer["error"]["code"]) == (status, code)
    assert (await gateway.record()).outcome == code
    assert provider.calls == 0


async def test_a_key_for_doors_opens_them(gateway: Gateway) -> None:
    assert parsed(await gateway.raw(request(CHAT, key="key-of-door")))[0] == 200


async def test_a_body_that_is_too_long_stays_here(gateway: Gateway, provider: Scripted) -> None:
    head, _, _ = request(CHAT, b"x" * (1 << 20) + b"y").partition(b"\r\n\r\n")
    assert parsed(await gateway.raw(head + b"\r\n\r\n"))[0] == 413
    assert provider.calls == 0


def bodiless(method: str, path: str, more: str = "") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer key-of-all\r\n{more}"
        "connection: close, x-hop\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "REPORT"])
async def test_a_method_that_could_tell_our_key_is_not_handed_on(
    gateway: Gateway, provider: Scripted, method: str
) -> None:
    status, _, answer = parsed(await gateway.raw(bodiless(method, CHAT)))
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert provider.calls == 0


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_to_head_is_over_with_its_head(
    gateway: Gateway, provider: Scripted, kind: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ncontent-type: {kind}\r\n\r\n"
    provider.steps.append(Step(raw=head.encode()))
    answer = await gateway.raw(bodiless("HEAD", "/passthrough/open/models"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"\r\n\r\n") == 1
    assert answer.endswith(b"\r\n\r\n")
    assert (await gateway.record()).outcome == "ok"


async def test_headers_of_one_hop_and_our_own_stay_here(
    gateway: Gateway, provider: Scripted
) -> None:
    more = "x-hop: 1\r\nx-tidegate-conversation: c\r\nx-other: 2\r\n"
    provider.steps.append(
        Step(
            raw=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-hop\r\nx-hop: 1\r\n"
            b"alt-svc: h3\r\nx-tidegate-target: another\r\nx-other: 2\r\n\r\n{}"
        )
    )
    _, head, _ = parsed(await gateway.raw(bodiless("GET", "/passthrough/open/models", more)))
    for seen in (provider.heads[0].lower(), head.decode()):
        assert "x-other: 2" in seen
        assert "x-hop:" not in seen
        assert "alt-svc" not in seen
    assert "x-tidegate" not in provider.heads[0].lower()
    assert head.count(b"x-tidegate-target") == 1


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("/passthrough/open", "/v1/"),
        ("/passthrough/open?a=/b/../c", "/v1/?a=/b/../c"),
        ("/passthrough/open/x%20y?q=%2F", "/v1/x%20y?q=%2F"),
        ("/passthrough/open//other/x", "/v1//other/x"),
    ],
)
async def test_path_and_query_arrive_as_they_were_sent(
    gateway: Gateway, provider: Scripted, sent: str, got: str
) -> None:
    await gateway.raw(bodiless("GET", sent))
    assert provider.heads[0].startswith(f"GET {got} HTTP/1.1")
