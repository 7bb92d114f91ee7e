"""What the spool holds of prompts and answers, by the policies of aliases and teams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from tidegate.conversations.kept import is_kept
from tidegate.gateway.keeping import is_sampled
from tidegate.guard.access import Access, TeamRecords
from tidegate.ledger.segment import read_segment, segments
from tidegate.telemetry.content import content

from .conftest import Gateway, Open

CONFIG = """
providers:
  sim: {{kind: openai, base_url: "{sim}", allow_private: true, api_key: upstream-key}}
  dead: {{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}
records: {{bodies: redacted}}
responses: {{store: true}}
teams:
  lawyers: {{records: {{bodies: none}}}}
  doctors: {{records: {{bodies: metadata}}}}
  cooks: {{records: {{share: 0%}}}}
keys:
  - {{name: plain, secret: plain-key}}
  - {{name: law, secret: law-key, team: lawyers}}
  - {{name: med, secret: med-key, team: doctors}}
  - {{name: cook, secret: cook-key, team: cooks}}
models:
  echo: {{targets: [{{provider: sim, model: sim-1+echo}}]}}
  full: {{targets: [{{provider: sim, model: sim-1+echo}}], records: {{bodies: full}}}}
  small:
    targets: [{{provider: sim, model: sim-1+echo}}]
    records: {{max_body: 300B}}
  short:
    targets: [{{provider: sim, model: sim-1+echo}}]
    records: {{bodies: full, max_body: 20B}}
  "some/*": {{targets: [{{provider: sim, model: "*"}}], records: {{share: 50%}}}}
  dead: {{targets: [{{provider: dead, model: none}}], retry: {{attempts: 1}}}}
"""
MAIL, CARD = "ann.smith@example.com", "4111 1111 1111 1111"
TEXT = f"Write to {MAIL} and charge {CARD}."
USER: Any = [{"role": "user", "content": TEXT}]


@pytest.fixture
async def gateway(open_gateway: Open) -> Gateway:
    return await open_gateway(CONFIG)


@pytest.fixture
async def as_key(gateway: Gateway) -> AsyncGenerator[Callable[[str], AsyncOpenAI]]:
    async with AsyncExitStack() as stack:
        made: dict[str, AsyncOpenAI] = {}
        for key in ("plain", "law", "med", "cook"):
            one = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=f"{key}-key", max_retries=0)
            made[key] = await stack.enter_async_context(one)
        yield made.__getitem__


@pytest.fixture
def client(as_key: Callable[[str], AsyncOpenAI]) -> AsyncOpenAI:
    return as_key("plain")


def payloads(gateway: Gateway) -> list[bytes]:
    spool = gateway.directory / ".tidegate" / "spool"
    return [payload for path in segments(spool) for payload, _ in read_segment(path, 0)]


def on_disk(gateway: Gateway) -> bytes:
    return b"".join(payloads(gateway))


async def post(gateway: Gateway, path: str, body: dict[str, Any]) -> str:
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer plain-key\r\n"
    head += f"connection: close\r\ncontent-length: {len(sent)}\r\n\r\n"
    answer = await gateway.raw(head.encode() + sent)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer.decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": USER}),
        ("/v1/completions", {"prompt": TEXT}),
        ("/v1/messages", {"messages": USER, "max_tokens": 2000}),
        ("/v1/responses", {"input": TEXT, "store": False}),
    ],
)
async def test_marks_are_kept_and_the_caller_gets_what_was_said(
    gateway: Gateway, path: str, asked: dict[str, Any], stream: bool
) -> None:
    answer = await post(gateway, path, {"model": "echo", "stream": stream, **asked})
    record = await gateway.record()
    assert stream or MAIL in answer
    assert record.bodies == "redacted"
    assert record.cut == []
    assert record.findings == {"email": 2, "card": 2}
    for body in (record.request_body, record.response_body):
        assert body is not None
        assert "[EMAIL] and charge [CARD]." in json.dumps(json.loads(body))
    disk = on_disk(gateway)
    assert MAIL.encode() not in disk
    assert CARD.encode() not in disk
    traced = json.dumps(content(record))
    assert MAIL not in traced


async def test_value_in_several_chunks_is_masked(gateway: Gateway, client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="echo", messages=USER, stream=True, n=2)
    pieces = [choice.delta.content or "" async for each in stream for choice in each.choices]
    assert not any(MAIL in piece for piece in pieces)
    assert "".join(pieces).count(MAIL) or len(pieces) > 2
    record = await gateway.record()
    assert record.response_body is not None
    assert b"[EMAIL]" in record.response_body
    assert MAIL.encode() not in record.response_body


async def test_full_keeps_the_bytes_and_cuts_them_at_the_bound(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    await client.chat.completions.create(model="full", messages=USER)
    record = await gateway.record()
    assert record.request_body is not None
    assert record.response_body is not None
    assert MAIL.encode() in record.request_body
    assert MAIL.encode() in record.response_body
    assert (record.bodies, record.cut, record.findings) == ("full", [], {})
    await client.chat.completions.create(model="short", messages=USER)
    record = await gateway.record(2)
    assert record.cut == ["request", "response"]
    assert record.request_body is not None
    assert record.response_body is not None
    assert len(record.request_body) == len(record.response_body) == 20


async def test_masked_bodies_that_are_cut_are_json_still(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    long: Any = [{"role": "user", "content": TEXT + "and so on " * 500}]
    await client.chat.completions.create(model="small", messages=long)
    record = await gateway.record()
    assert record.cut == ["request", "response"]
    for body in (record.request_body, record.response_body):
        assert body is not None
        assert len(body) <= 300
        assert "[cut]" in json.dumps(json.loads(body))


@pytest.mark.parametrize("key", ["law", "med", "cook"])
async def test_stricter_of_alias_and_team_holds(
    gateway: Gateway, as_key: Callable[[str], AsyncOpenAI], key: str
) -> None:
    sent = as_key(key).chat.completions.create
    await sent(model="full", messages=USER, temperature=0.5)
    record = await gateway.record()
    assert record.bodies is record.request_body is record.response_body is None
    assert record.parameters == (None if key == "law" else {"temperature": 0.5})
    assert MAIL.encode() not in on_disk(gateway)


async def test_admin_api_makes_a_team_of_the_file_stricter_only(
    gateway: Gateway, as_key: Callable[[str], AsyncOpenAI]
) -> None:
    said = {"lawyers": TeamRecords("full"), "doctors": TeamRecords("none", 0.5)}
    gateway.live.adopt(Access(records=said))
    for number, key in enumerate(("law", "med"), 1):
        await as_key(key).chat.completions.create(model="full", messages=USER, temperature=0.5)
        record = await gateway.record(number)
        assert record.bodies is record.request_body is record.parameters is None


async def test_nothing_is_kept_to_go_on_from_where_nothing_may_be_kept(
    gateway: Gateway, as_key: Callable[[str], AsyncOpenAI]
) -> None:
    await as_key("law").responses.create(model="echo", input=TEXT)
    assert not any(map(is_kept, payloads(gateway)))
    first = await as_key("med").responses.create(model="echo", input="Hello")
    assert any(map(is_kept, payloads(gateway)))
    second = await as_key("med").responses.create(
        model="echo", input="And?", previous_response_id=first.id
    )
    assert second.previous_response_id == first.id


async def test_share_keeps_both_bodies_or_neither_as_the_id_says(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    for number in range(1, 31):
        await client.chat.completions.create(model="some/sim-1", messages=USER)
        record = await gateway.record(number)
        chosen = is_sampled(record.request_id, 0.5)
        assert (record.request_body is not None) is chosen
        assert (record.response_body is not None) is chosen
    assert 3 < sum(record.bodies is not None for record in gateway.records()) < 27


def test_share_of_ids_is_as_large_as_said() -> None:
    ids = [f"req_{number:08x}" for number in range(10_000)]
    assert not any(is_sampled(each, 0.0) for each in ids)
    assert all(is_sampled(each, 1.0) for each in ids)
    assert 800 < sum(is_sampled(each, 0.1) for each in ids) < 1_200


async def test_tool_arguments_are_masked_as_json(gateway: Gateway, client: AsyncOpenAI) -> None:
    called = {
        "id": "c",
        "type": "function",
        "function": {"name": "send", "arguments": '{"to": "ann.smith\\u0040example.com", "n": 1}'},
    }
    turns: Any = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": TEXT},
    ]
    await client.chat.completions.create(model="echo", messages=turns)
    record = await gateway.record()
    assert record.request_body is not None
    told = json.loads(record.request_body)["messages"][1]["tool_calls"][0]["function"]
    assert json.loads(told["arguments"]) == {"to": "[EMAIL]", "n": 1}


async def test_what_errors_quote_is_masked(gateway: Gateway, client: AsyncOpenAI) -> None:
    with pytest.raises(APIStatusError):
        await client.chat.completions.create(model=f"no-{MAIL}", messages=USER, stop=[TEXT])
    record = await gateway.record()
    assert record.error is not None
    assert "[EMAIL]" in record.error
    assert MAIL not in record.error


async def test_prompt_in_tokens_is_not_kept(gateway: Gateway) -> None:
    await post(gateway, "/v1/completions", {"model": "echo", "prompt": [1, 2, 3]})
    record = await gateway.record()
    assert record.request_body is not None
    assert json.loads(record.request_body)["prompt"] == "[TOKENS]"


async def test_others_are_answered_while_a_long_body_is_masked(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    send = client.chat.completions.create
    hostile: Any = [{"role": "user", "content": "444 4111 1111 1111 1112 " * 2_000}]
    await asyncio.gather(
        send(model="echo", messages=hostile, user="slow"),
        *(send(model="echo", messages=USER) for _ in range(4)),
    )
    await gateway.record(5)
    *others, last = gateway.records()
    assert [record.findings for record in others] == [{"email": 2, "card": 2}] * 4
    assert last.request_body is not None
    assert len(last.request_body) > 40_000
    assert last.cut == []


async def test_what_takes_too_long_to_mask_is_not_kept(
    gateway: Gateway, client: AsyncOpenAI
) -> None:
    many: Any = [{"role": "user", "content": MAIL}] * 9_000
    await client.chat.completions.create(model="small", messages=many, stop=[TEXT])
    record = await gateway.record()
    assert record.cut == ["request unread", "response unread"]
    assert (record.bodies, record.findings) == ("redacted", {})
    assert record.request_body is record.response_body is None
    assert record.outcome == "ok"
    assert MAIL.encode() not in on_disk(gateway)
