"""Recorded exchanges with real providers, played again behind a real gateway in their own format.

The caller asks what was asked, and a server in the provider's place answers what was answered:
nothing of either is lost on the way, neither a field, nor a header that matters, nor an error's
meaning.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tests.formats.recorded import Exchange, recorded
from tests.gateway.running import Gateway, running
from tests.pairs.pair_tap import close_all
from tidegate.net.sse import Event, SseDecoder
from tidegate.telemetry.record import Record

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}
CONFIG = """
providers:
  chat: {{kind: openai, base_url: "{there}/v1", allow_private: true, api_key: key}}
  embeddings: {{kind: openai, base_url: "{there}/v1", allow_private: true, api_key: key}}
  responses:
    {{kind: openai, api: responses, base_url: "{there}/v1", allow_private: true, api_key: key}}
  messages: {{kind: anthropic, base_url: "{there}/v1", allow_private: true, api_key: key}}
models:
""" + "".join(
    f"""
  "{kind}/*":
    targets: [{{{{provider: {kind}, model: "*"}}}}]
    retry: {{{{attempts: 1}}}}
    breaker: null
"""
    for kind in PATHS
)


@dataclass
class Message:
    """A request or an answer, as it was on the wire; names of headers in lower case."""

    start: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Player:
    """The server in the provider's place."""

    url: str = ""
    exchange: Exchange | None = None
    asked: list[Message] = field(default_factory=list[Message])
    open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                self.asked.append(await message(reader))
                exchange = self.exchange
                assert exchange is not None
                body = exchange.body.encode()
                if exchange.stream and exchange.status == 200:
                    body += b"\n\n"
                lines = "".join(f"{name}: {value}\r\n" for name, value in exchange.headers.items())
                head = f"HTTP/1.1 {exchange.status} X\r\n{lines}content-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.open.remove(writer)
            writer.close()


async def message(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    start, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if headers.get("transfer-encoding") != "chunked":
        return Message(start, headers, await reader.readexactly(int(headers["content-length"])))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return Message(start, headers, body)


@dataclass
class Stage:
    """The gateway between a caller and the player."""

    gateway: Gateway
    player: Player
    records: int = 0

    async def play(self, exchange: Exchange) -> tuple[Message, Record]:
        """What the caller gets for the exchange's request, and the record of it."""
        self.player.exchange = exchange
        self.player.asked.clear()
        asked = exchange.request | {"model": f"{exchange.kind}/{exchange.request['model']}"}
        body = json.dumps(asked).encode()
        head = f"POST {PATHS[exchange.kind]} HTTP/1.1\r\nhost: g\r\ncontent-length: {len(body)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(head.encode() + b"\r\n" + body)
        answer = await message(reader)
        writer.close()
        self.records += 1
        return answer, await self.gateway.record(self.records)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    player = Player()
    server = await asyncio.start_server(player.serve, "127.0.0.1", 0)
    player.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    directory = tmp_path_factory.mktemp("recorded")
    async with server:
        async with running(directory, CONFIG, there=player.url) as gateway:
            yield Stage(gateway, player)
        await close_all(player.open)


GOOD = [each for kind in PATHS for each in recorded(kind)]
STREAMED = [each for kind in PATHS for each in recorded(kind, stream=True)]
REFUSED = [e for kind in PATHS for status in (400, 404) for e in recorded(kind, status=status)]


def check_request(stage: Stage, exchange: Exchange) -> None:
    """Fails unless the provider was asked what was asked, with the usage besides."""
    (asked,) = stage.player.asked
    assert asked.start == f"POST {PATHS[exchange.kind]} HTTP/1.1"
    expected = dict(exchange.request)
    if exchange.stream and exchange.kind == "chat":
        expected["stream_options"] = (expected.get("stream_options") or {}) | {
            "include_usage": True
        }
    assert asked.json == expected


def check_headers(answer: Message, exchange: Exchange) -> None:
    """Fails unless the headers that matter to a caller are passed on."""
    for name, value in exchange.headers.items():
        if name.startswith("openai-"):
            assert answer.headers[name] == value
        elif name == "x-request-id":
            assert answer.headers["x-upstream-request-id"] == value
    told = exchange.headers["content-type"]
    assert answer.headers["content-type"].partition(";")[0] == told.partition(";")[0]


@pytest.mark.parametrize("exchange", GOOD)
async def test_a_whole_answer_comes_as_it_was(stage: Stage, exchange: Exchange) -> None:
    answer, record = await stage.play(exchange)
    assert answer.start == "HTTP/1.1 200 OK", answer.body
    assert answer.body == exchange.body.encode()
    check_request(stage, exchange)
    check_headers(answer, exchange)
    told = answer.json
    assert (record.outcome, record.model) == ("ok", told["model"])
    check_usage(record, told.get("usage"))


@pytest.mark.parametrize("exchange", STREAMED)
async def test_a_streamed_answer_comes_as_it_was(stage: Stage, exchange: Exchange) -> None:
    answer, record = await stage.play(exchange)
    assert answer.start == "HTTP/1.1 200 OK", answer.body
    told = events(exchange.body.encode() + b"\n\n")
    options: Json = exchange.request.get("stream_options") or {}
    if exchange.kind == "chat" and not options.get("include_usage"):
        told = [event for event in told if not only_usage(event)]
    assert [each.data for each in events(answer.body)] == [each.data for each in told]
    assert [each.event for each in events(answer.body)] == [each.event for each in told]
    check_request(stage, exchange)
    check_headers(answer, exchange)
    assert record.outcome == "ok"
    assert record.finish_reason


@pytest.mark.parametrize("exchange", REFUSED)
async def test_a_refusal_keeps_its_meaning(stage: Stage, exchange: Exchange) -> None:
    answer, record = await stage.play(exchange)
    error, told = answer.json["error"], json.loads(exchange.body)["error"]
    assert int(answer.start.split()[1]) == exchange.status == record.status
    if not stage.player.asked:  # the gateway saw by itself what was wrong
        assert error["param"]
        return
    check_request(stage, exchange)
    for name in ("message", "type", "code", "param"):
        assert error.get(name) == told.get(name), name


def events(stream: bytes) -> list[Event]:
    return [event for event in SseDecoder(1 << 24).feed(stream) if event.data]


def only_usage(event: Event) -> bool:
    """Whether a chunk is there for its usage alone."""
    if event.data == b"[DONE]":
        return False
    chunk = json.loads(event.data)
    return not chunk["choices"] and chunk.get("usage") is not None


def check_usage(record: Record, told: Json | None) -> None:
    """Fails unless the record has the tokens that the provider told."""
    assert not record.usage_estimated
    if told is None:  # it answers later
        assert record.input_tokens is record.output_tokens is None
        return
    if "prompt_tokens" in told:
        assert record.input_tokens == told["prompt_tokens"]
        assert (record.output_tokens or 0) >= told.get("completion_tokens", 0)
        return
    cached = told.get("cache_read_input_tokens") or 0
    written = told.get("cache_creation_input_tokens") or 0
    # What another model advised stands beside the sums.
    more = [each for each in told.get("iterations") or () if each["type"] != "message"]
    asked, said = (
        told[name] + sum(each[name] for each in more) for name in ("input_tokens", "output_tokens")
    )
    assert record.input_tokens == asked + cached + written
    assert record.output_tokens == said
