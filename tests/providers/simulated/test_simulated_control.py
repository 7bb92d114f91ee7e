"""Outages switched at run time, keys with a fate, quotas, and the list of calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from vendor_formats import FORMATS

from tidegate.providers.simulated import Server
from tidegate.providers.simulated.accounts import fingerprint

Chat = Callable[..., Awaitable[Any]]
Raw = Callable[..., Awaitable[Any]]
Simulate = Callable[..., Awaitable[Server]]


def control(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: sim\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_an_outage_lasts_until_it_is_removed(server: Server, chat: Chat, raw: Raw) -> None:
    async def switch(method: str, body: bytes = b"") -> Any:
        return await raw(server.port, control(method, "/_faults", body))

    assert (await switch("PUT", b'{"all": "status:503; retry-after:3"}')).status == 200
    for _ in range(2):
        down = await chat()
        assert (down.status, down.headers["retry-after"]) == (503, "3")
    assert (await chat("status=500")).status == 503, "the outage wins"
    assert (await chat("tokens=2", model="other")).status == 503
    assert (await switch("GET")).json == {"all": "status:503; retry-after:3"}
    await switch("PUT", b'{"sim-1": "length"}')
    assert (await chat(model="sim-1+tokens:2")).json["choices"][0]["finish_reason"] == "length"
    assert (await chat(model="sim-2")).json["choices"][0]["finish_reason"] == "stop"
    assert (await switch("DELETE")).status == 200
    assert (await chat()).json["choices"][0]["finish_reason"] == "stop"


async def test_an_outage_strikes_probes_too(server: Server, raw: Raw) -> None:
    for path in ("/health", "/api/version"):
        assert (await raw(server.port, control("GET", path))).status == 200
        await raw(server.port, control("PUT", "/_faults", b'{"all": "status:503"}'))
        assert (await raw(server.port, control("GET", path))).status == 503
        await raw(server.port, control("DELETE", "/_faults"))
    assert (await raw(server.port, control("GET", "/healthz"))).status == 200
    assert not server.stats.calls


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"all": 1}', b'{"all": "nonsense"}', b'{"a": "hang=1"}']
)
async def test_an_outage_nobody_understands_is_refused(
    server: Server, chat: Chat, raw: Raw, body: bytes
) -> None:
    await raw(server.port, control("PUT", "/_faults", b'{"all": "status:503"}'))
    refused = await raw(server.port, control("PUT", "/_faults", body))
    assert (refused.status, bool(refused.json["error"]["message"])) == (400, True)
    assert (await chat()).status == 503, "what held still holds"
    assert (await raw(server.port, control("POST", "/_faults"))).status == 405


FATES = {
    "chat": {"revoked": 401, "empty": 402, "spent": 429, "limited": 429},
    "responses": {"revoked": 401, "empty": 402, "spent": 429, "limited": 429},
    "messages": {"revoked": 401, "empty": 402, "spent": 400, "limited": 429},
    "gemini": {"revoked": 401, "empty": 402, "spent": 429, "limited": 429},
    "converse": {"revoked": 401, "empty": 402, "spent": 403, "limited": 429},
}
KEYS = {
    "chat": "authorization: Bearer {}",
    "responses": "api-key: {}",
    "messages": "x-api-key: {}",
    "gemini": "x-goog-api-key: {}",
    "converse": "authorization: AWS4-HMAC-SHA256 Credential={}/20260101/eu-1/bedrock/aws4_request",
}


@pytest.mark.parametrize("name", list(FORMATS))
async def test_a_key_s_name_says_what_becomes_of_it(server: Server, raw: Raw, name: str) -> None:
    async def ask(key: str) -> Any:
        request = FORMATS[name].request()
        line = f"\r\n{KEYS[name].format(key)}\r\nhost:".encode()
        return await raw(server.port, request.replace(b"\r\nhost:", line, 1))

    assert (await ask("sk-good")).status == 200
    for fate, status in FATES[name].items():
        answer = await ask(f"sk-{fate}-1")
        assert (answer.status, FORMATS[name].is_error(answer.json)) == (status, True)
        assert ("retry-after" in answer.headers) == (fate == "limited")
        assert f"sk-{fate}" not in answer.raw.decode()
    keys = server.stats.usage_by_key
    assert (list(keys), keys[fingerprint(b"sk-good")].billed_tokens) == (
        [fingerprint(b"sk-good")],
        16,
    )


async def test_a_key_in_the_query_is_one_too(server: Server, raw: Raw) -> None:
    request = FORMATS["gemini"].request().replace(b"Content ", b"Content?alt=json&key=AI-empty ", 1)
    assert (await raw(server.port, request)).status == 402


async def test_a_quota_is_told_and_used_up(server: Server, raw: Raw) -> None:
    async def ask(name: str, key: str) -> Any:
        line = f"\r\n{KEYS[name].format(key)}\r\nhost:".encode()
        return await raw(server.port, FORMATS[name].request().replace(b"\r\nhost:", line, 1))

    left = [(await ask("chat", "sk-quota-2")) for _ in range(3)]
    assert [answer.status for answer in left] == [200, 200, 429]
    assert [a.headers.get("x-ratelimit-remaining-requests") for a in left] == ["1", "0", None]
    assert 0 < int(left[2].headers["retry-after"]) <= 60
    told = (await ask("messages", "sk-ant-quota-9")).headers
    assert told["anthropic-ratelimit-requests-remaining"] == "8"
    assert told["anthropic-ratelimit-input-tokens-limit"] == "4500"
    assert told["anthropic-ratelimit-tokens-reset"].endswith("Z")


async def test_calls_are_listed_with_what_they_cost(simulate: Simulate, raw: Raw) -> None:
    server = await simulate(name="b")
    chat = FORMATS["chat"]
    answer = (await raw(server.port, chat.request("cached=3; reasoning=2"))).json
    await raw(server.port, chat.request("cut=2", stream=True))
    await raw(server.port, chat.request("status=500"))
    calls = (await raw(server.port, control("GET", "/calls"))).json
    assert [(call["id"], call["complete"], call["stream"]) for call in calls] == [
        ("sim-b-0", True, False),
        ("sim-b-1", False, True),
    ]
    assert answer["id"] == "chatcmpl-sim-b-0"
    whole, cut = calls
    assert (whole["prompt_tokens"], whole["cached_tokens"], whole["billed_tokens"]) == (8, 3, 18)
    assert (cut["delivered_tokens"], cut["billed_tokens"]) == (2, 2)
    assert server.stats.requests == 3


async def test_counting_tokens_costs_nothing(server: Server, raw: Raw) -> None:
    for name, path, field in (
        ("messages", "/v1/messages/count_tokens", "input_tokens"),
        ("gemini", "/v1beta/models/sim-1:countTokens", "totalTokens"),
    ):
        form = FORMATS[name]
        request = form.request().replace(form.path.encode(), path.encode(), 1)
        answer = (await raw(server.port, request)).json
        assert answer[field] == form.usage((await raw(server.port, form.request())).json)[0]
    assert server.stats.prompt_tokens == 16
    assert len(server.stats.calls) == 2


async def test_a_reply_that_was_cut_by_its_reader_is_no_complete_call(
    server: Server, raw: Raw
) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(FORMATS["messages"].request("gap=1ms; tokens=100000", stream=True))
    await reader.readuntil(b"text_delta")
    writer.close()
    await writer.wait_closed()
    while not server.stats.calls:
        await raw(server.port, control("GET", "/stats"))
    ((meter, complete),) = server.stats.calls
    assert (complete, 0 < meter.billed_tokens < 100_000) == (False, True)
    told = (await raw(server.port, control("GET", "/stats"))).json["usage_by_model"]["sim-1"]
    assert told["billed_tokens"] == meter.billed_tokens


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/openai/deployments/sim-1/chat/completions?api-version=2024-10-21", 200),
        ("/openai/v1/chat/completions", 200),
        ("/api/v1/chat/completions", 200),
        ("/inference/v1/chat/completions", 200),
        ("/v2/chat/completions", 404),
        ("/v1beta/models/sim-1:doNothing", 404),
        ("/model/sim-1/nothing", 404),
        ("/v1/messages/nothing", 404),
    ],
)
async def test_vendors_have_paths_of_their_own(
    server: Server, raw: Raw, path: str, status: int
) -> None:
    chat = FORMATS["chat"]
    request = chat.request().replace(chat.path.encode(), path.encode(), 1)
    answer = await raw(server.port, request)
    assert answer.status == status
    assert json.loads(answer.body)


async def test_models_are_listed_as_each_vendor_does(simulate: Simulate, raw: Raw) -> None:
    server = await simulate(models=("a", "b"))

    async def get(path: str, *headers: str) -> Any:
        lines = "\r\n".join((f"GET {path} HTTP/1.1", "host: sim", *headers))
        return (await raw(server.port, lines.encode() + b"\r\n\r\n")).json

    version = "anthropic-version: 2023-06-01"
    assert [one["id"] for one in (await get("/v1/models"))["data"]] == ["a", "b"]
    assert (await get("/v1/models", version))["last_id"] == "b"
    assert (await get("/v1/models/a", version))["type"] == "model"
    assert (await get("/v1beta/models"))["models"][1]["name"] == "models/b"
    assert (await get("/v1beta/models/a"))["displayName"] == "a"
    assert (await get("/v1beta/models/c"))["error"]["status"] == "NOT_FOUND"
