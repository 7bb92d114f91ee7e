"""Anthropic's own SDK as the judge of what we write in its format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anthropic
from anthropic.types import Message, MessageStreamEvent, RawMessageStreamEvent
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tidegate.formats.format import Reader, Writer
from tidegate.formats.words import Delta
from tidegate.net.sse import SseDecoder

SAMPLING = {"temperature", "top_p", "top_k"}
"""Older models take these; the SDK knows newer ones only."""

_WHOLE = TypeAdapter[Any](MessageCreateParamsNonStreaming)
_STREAMED = TypeAdapter[Any](MessageCreateParamsStreaming)
_EVENT = TypeAdapter[Any](RawMessageStreamEvent)


def assert_request(body: dict[str, Any]) -> None:
    """`body` with a model's name is one that the SDK would send."""
    body = {"model": "claude", **json.loads(json.dumps(body))}
    unknown = body.keys() - SAMPLING - _names()
    assert not unknown, unknown
    _consume((_STREAMED if body.get("stream") else _WHOLE).validate_python(body))


def _names() -> set[str]:
    return set(MessageCreateParamsStreaming.__required_keys__) | set(
        MessageCreateParamsStreaming.__optional_keys__
    )


def _consume(value: object) -> None:
    """Iterables are validated only while they are read."""
    if isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            _consume(each)
    elif isinstance(value, Iterator | list):
        for each in cast("Iterator[Any]", value):
            _consume(each)


class Told:
    """What the tiny server has been asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[dict[str, Any]] = []


@asynccontextmanager
async def serving(
    body: bytes, *, kind: str = "application/json", status: int = 200
) -> AsyncGenerator[tuple[anthropic.AsyncAnthropic, Told]]:
    """The official client, and a server that answers everything with `body`."""
    told = Told()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
        told.heads.append(head)
        told.bodies.append(json.loads(await reader.readexactly(int(length))))
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n"
            f"request-id: req_1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        anthropic.AsyncAnthropic(
            base_url=f"http://127.0.0.1:{port}", api_key="none", max_retries=0
        ) as client,
    ):
        yield client, told


async def parsed_message(body: bytes) -> Message:
    """A whole answer as the SDK understands it, strictly."""
    Message.model_validate_json(body)
    async with serving(body) as (client, _):
        return await client.messages.create(
            model="claude", max_tokens=10, messages=[{"role": "user", "content": "Hello"}]
        )


async def parsed_stream(
    events: bytes,
) -> tuple[list[MessageStreamEvent], Message]:
    """A streamed answer's events, and the message that the SDK puts together from them."""
    for event in sse(events):
        _EVENT.validate_json(event[1])
    async with (
        serving(events, kind="text/event-stream") as (client, _),
        client.messages.stream(
            model="claude", max_tokens=10, messages=[{"role": "user", "content": "Hello"}]
        ) as stream,
    ):
        seen = [event async for event in stream]
        return cast("list[MessageStreamEvent]", seen), await stream.get_final_message()


def sse(events: bytes) -> list[tuple[bytes, bytes]]:
    """The type and data of each event."""
    decoder = SseDecoder()
    read = [(event.event, event.data) for event in decoder.feed(events)]
    decoder.close()
    return [each for each in read if each[1]]


def streamed(*datas: dict[str, Any]) -> bytes:
    """Events as Anthropic sends them."""
    return b"".join(
        f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode() for data in datas
    )


def read_stream(reader: Reader, events: bytes) -> list[Delta]:
    """Every delta in `events`, which must end as they should."""
    deltas = [delta for event, data in sse(events) for delta in reader.read(event, data)]
    assert reader.complete()
    return deltas


def written_stream(writer: Writer, deltas: list[Delta]) -> bytes:
    """The whole stream that says `deltas`, one event at a time."""
    return b"".join(writer.write([delta]) for delta in deltas) + writer.end()
