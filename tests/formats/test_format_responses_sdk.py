"""OpenAI's own client reads what we write, from a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from test_format_responses_reply import REPLY
from test_format_responses_stream import DELTAS

from tidegate.errors import ContextOverflow, TidegateError, UpstreamCut
from tidegate.formats.responses import (
    error_body,
    error_event,
    read_ask,
    write_reply,
    writer,
)
from tidegate.formats.words import Delta, Finished, Reply, Said, Text, TextDelta

Json = dict[str, Any]
HEAD = (
    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n"
    "content-length: {length}\r\nconnection: close\r\n\r\n"
)


class Served:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = DELTAS
        self.reply: Reply = REPLY
        self.error: TidegateError | None = None
        self.body: Json = {}

    def answer(self, body: Json) -> tuple[str, str, bytes]:
        self.body = body
        ask = read_ask(body)
        if ask.stream:
            wrote = writer(ask)
            stream = b"".join(wrote.write([delta]) for delta in self.deltas)
            last = wrote.end() if self.error is None else error_event(self.error, "req_1")
            return "200 OK", "text/event-stream", stream + last
        if self.error is not None:
            return "400 Bad Request", "application/json", error_body(self.error, "req_1")
        return "200 OK", "application/json", write_reply(self.reply, ask.model, ask)


@asynccontextmanager
async def serving(served: Served) -> AsyncGenerator[openai.AsyncOpenAI]:
    """A client of a server that answers each request as `served` says."""

    async def respond(reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        status, kind, body = served.answer(json.loads(await reader.readexactly(length)))
        out.write(HEAD.format(status=status, kind=kind, length=len(body)).encode() + body)
        await out.drain()
        out.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    "strict": True,
}


async def test_whole_answer() -> None:
    async with serving(Served()) as client:
        answer = await client.responses.create(model="m", input="hello", tools=[TOOL])
    assert answer.output_text == "It rains."
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 5
    assert [item.type for item in answer.output] == [
        "reasoning", "reasoning", "message", "function_call",
    ]  # fmt: skip


async def test_stream_is_put_together_to_the_same_answer() -> None:
    async with (
        serving(Served()) as client,
        client.responses.stream(model="m", input="hello", tools=[TOOL]) as stream,
    ):
        kinds = [event.type async for event in stream]
        answer = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert answer.output_text == "It rains."
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("weather", '{"city":"Oslo"}'),
        ("weather", "{}"),
    ]


async def test_what_came_out_can_go_in_again() -> None:
    served = Served()
    async with serving(served) as client:
        answer = await client.responses.create(model="m", input="hello")
        items: Any = [item.model_dump(exclude_none=True) for item in answer.output]
        result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "wet"}
        await client.responses.create(model="m", input=[*items, result])
    parts = read_ask(served.body).turns[0].parts
    assert [getattr(part, "signature", None) for part in parts] == [
        "c2ln", None, None, None, "dGg=",
    ]  # fmt: skip


async def test_json_is_parsed() -> None:
    class Place(BaseModel):
        city: str

    served = Served()
    served.reply = Reply(None, None, (Said((Text('{"city":"Oslo"}'),), "stop"),), None)
    served.deltas = [TextDelta('{"city":'), TextDelta('"Oslo"}'), Finished("stop")]
    async with serving(served) as client:
        whole = await client.responses.parse(model="m", input="hello", text_format=Place)
        async with client.responses.stream(model="m", input="hi", text_format=Place) as stream:
            streamed = await stream.get_final_response()
    assert whole.output_parsed == streamed.output_parsed == Place(city="Oslo")
    asked = read_ask(served.body).output
    assert asked is not None
    assert asked.strict


async def test_incomplete_answer_is_told_as_one() -> None:
    served = Served()
    served.deltas = [TextDelta("It"), Finished("length")]
    async with serving(served) as client:
        events = [
            event
            async for event in await client.responses.create(model="m", input="hi", stream=True)
        ]
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_failure_in_a_stream_is_raised() -> None:
    served = Served()
    served.error = UpstreamCut("It was cut.")
    async with serving(served) as client:
        with pytest.raises(openai.APIError, match="It was cut"):
            async for _ in await client.responses.create(model="m", input="hello", stream=True):
                pass
        with pytest.raises(openai.APIError, match="It was cut"):
            async with client.responses.stream(model="m", input="hello") as stream:
                await stream.until_done()


async def test_refusal_is_raised_with_its_code() -> None:
    served = Served()
    served.error = ContextOverflow("Too long.")
    async with serving(served) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.create(model="m", input="hello")
    assert raised.value.code == "context_length_exceeded"
