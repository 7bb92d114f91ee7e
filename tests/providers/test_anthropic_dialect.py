"""Anthropic's API, asked through a real pool: in its own format unchanged, in others translated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tidegate.errors import (
    BadRequest,
    ContextOverflow,
    Unsupported,
    UpstreamCut,
    UpstreamFailed,
    UpstreamMalformed,
)
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts
from tidegate.providers.anthropic import Anthropic
from tidegate.providers.dialect import Dialect
from tidegate.types import Answer, Call, Choice, Facts, Target, Usage
from tidegate.types import Timeouts as Deadlines

DIALECT: Dialect = Anthropic()
KEY = Anthropic.credential("secret", {})
OLD, NEW = "claude-sonnet-4-5", "claude-opus-5-5"
HELLO = [{"role": "user", "content": "Hello"}]
PATIENT = Timeouts(connect_s=5, first_byte_s=5, idle_s=5)


def choice(model: str = OLD, **target: Any) -> Choice:
    wait = Deadlines(connect_s=5, first_token_s=5, idle_s=5, total_s=5)
    chosen = Target(provider="anthropic", model=model, timeouts=wait, **target)
    name = f"anthropic/{model}"
    return Choice(chosen, model, name, "test", name.encode(), b"test")


def call(wire: str = "messages", forward: Any = (), **body: Any) -> Call:
    said = {"model": "assistant", "messages": HELLO, **body}
    if wire == "messages":
        said = {"max_tokens": 100, **said}
    return Call(wire, "assistant", said, bool(said.get("stream")), True, forward)


def sent(asked: Call, to: Choice | None = None) -> dict[str, Any]:
    return json.loads(DIALECT.request(to or choice(), asked, KEY).body)


# Requests


def test_a_request_in_the_same_format_changes_its_model_only() -> None:
    odd: dict[str, Any] = {
        "unheard_of": [1, {"x": None}],
        "temperature": 0.5,
        "system": "Be brief.",
    }
    request = DIALECT.request(choice(NEW), call(**odd), KEY)
    assert request.path == "/messages"
    assert not request.dropped
    assert json.loads(request.body) == {
        "model": NEW, "max_tokens": 100, "messages": HELLO, **odd,
    }  # fmt: skip


def test_headers_say_the_key_and_the_version() -> None:
    lines = DIALECT.request(choice(), call(), KEY).headers
    assert lines.split(b"\r\n") == [
        b"content-type: application/json", b"x-api-key: secret", b"anthropic-version: 2023-06-01",
        b"",
    ]  # fmt: skip
    told = ((b"anthropic-beta", b"a,b"), (b"anthropic-version", b"2024-01-01"))
    lines = DIALECT.request(choice(), call(forward=told), KEY).headers
    assert lines.endswith(b"anthropic-beta: a,b\r\nanthropic-version: 2024-01-01\r\n")
    operator = Anthropic.credential("secret", {"Anthropic-Version": "2025-01-01"})
    lines = DIALECT.request(choice(), call(forward=told), operator).headers
    assert lines.count(b"anthropic-version") == 1
    assert b"anthropic-version: 2025-01-01\r\n" in lines
    assert DIALECT.signature(KEY, "POST", "/", b"") == KEY + b"anthropic-version: 2023-06-01\r\n"


def test_an_operator_may_name_another_credential() -> None:
    assert b"x-api-key" not in Anthropic.credential("secret", {"Authorization": "Bearer x"})
    assert b"x-api-key: other\r\n" in Anthropic.credential("secret", {"X-Api-Key": "other"})
    assert b"x-api-key" not in Anthropic.credential(None, {})


def test_the_ceiling_holds_for_the_answer_and_its_thinking() -> None:
    bounded = choice(output_max=4_000)
    assert sent(call(max_tokens=9_000), bounded)["max_tokens"] == 4_000
    assert sent(call(max_tokens=3_000), bounded)["max_tokens"] == 3_000
    thinking = {"type": "enabled", "budget_tokens": 8_000, "display": "omitted"}
    body = sent(call(max_tokens=9_000, thinking=thinking), bounded)
    assert body["thinking"] == thinking | {"budget_tokens": 3_000}
    small = sent(call(max_tokens=9_000, thinking=thinking), choice(output_max=1_000))
    assert "thinking" not in small


def test_counting_is_asked_where_it_is_done() -> None:
    request = DIALECT.request(choice(output_max=5), call("count_tokens", tools=[]), KEY)
    assert request.path == "/messages/count_tokens"
    assert json.loads(request.body) == {"model": OLD, "messages": HELLO, "tools": []}


def test_another_format_is_translated_for_the_model_that_is_asked() -> None:
    asked = call("chat", temperature=0.5, seed=3, reasoning_effort="low")
    request = DIALECT.request(choice(NEW, output_default=700), asked, KEY)
    assert (request.path, request.dropped) == ("/messages", ("temperature", "seed"))
    assert json.loads(request.body) == {
        "model": NEW,
        "max_tokens": 700,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
    }


def test_what_cannot_be_said_is_refused_where_the_operator_wants_that() -> None:
    strict = choice(unsupported="error")
    with pytest.raises(Unsupported, match="seed"):
        DIALECT.request(strict, call("chat", seed=3), KEY)
    assert DIALECT.request(strict, call("chat"), KEY)
    assert DIALECT.request(strict, call(seed=3), KEY)


def test_there_are_no_embeddings() -> None:
    asked = Call("embeddings", "assistant", {"model": "a", "input": "x"}, False, False)
    with pytest.raises(Unsupported):
        DIALECT.request(choice(), asked, KEY)


def test_a_nest_too_deep_is_refused() -> None:
    nest: list[Any] = []
    for _ in range(1_500):
        nest = [nest]
    with pytest.raises(BadRequest):
        DIALECT.request(choice(), call(nest=nest), KEY)


# Answers

Ask = Callable[..., Coroutine[None, None, tuple[bytes, Answer]]]


@pytest.fixture
async def ask() -> AsyncGenerator[Ask]:
    async with AsyncExitStack() as stack:
        resolver = Resolver()
        stack.push_async_callback(resolver.close)

        async def ask_(asked: Call, *, body: bytes, kind: str) -> tuple[bytes, Answer]:
            """Everything the caller gets when the vendor answers `body`; its answer."""

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                told = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = told.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}"
                writer.write(head.encode() + b"\r\n\r\n" + body)
                await reader.read()  # until the pool has closed
                writer.close()
                await writer.wait_closed()
                served.set()

            served = asyncio.Event()
            server = await stack.enter_async_context(
                await asyncio.start_server(serve, "127.0.0.1", 0)
            )
            stack.push_async_callback(served.wait)
            port = server.sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}/v1"
            pool = Pool(url, allow_private=True, resolver=resolver)
            stack.push_async_callback(pool.close)
            request = DIALECT.request(choice(), asked, KEY)
            deadline = asyncio.get_running_loop().time() + 5
            response = await pool.open(
                "POST", request.path, request.headers, request.body,
                timeouts=PATIENT, deadline=deadline,
            )  # fmt: skip
            stack.callback(response.close)
            answer = DIALECT.answer(response, asked, Facts())
            read: list[bytes] = []
            while data := await answer.read():
                read.append(data)
            answer.close()
            return b"".join(read), answer

        yield ask_


EVENTS, JSON = "text/event-stream; charset=utf-8", "application/json"
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
    "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5, "new": 1},
    "unheard_of": True,
}  # fmt: skip
WHOLE = json.dumps(MESSAGE, indent=1).encode()
END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def event(**data: Any) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}   \n\n".encode()


BEGIN = event(type="message_start", message=MESSAGE | {"content": [], "stop_reason": None})
BLOCK = event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
PING = event(type="ping")
PIECE = event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
DONE = event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})


async def test_a_whole_answer_passes_unchanged(ask: Ask) -> None:
    read, answer = await ask(call(), body=WHOLE, kind=JSON)
    assert read == WHOLE
    facts = answer.facts
    assert (facts.finish_reason, facts.model, facts.content) == ("end_turn", "claude-x", True)
    assert facts.usage == Usage(7, 5, cached_input=4)


async def test_a_stream_passes_unchanged_and_its_end_is_held_back(ask: Ask) -> None:
    events = BEGIN + BLOCK + PING + PIECE + DONE
    read, answer = await ask(call(stream=True), body=events + END, kind=EVENTS)
    assert (read, answer.last) == (events, END)
    assert answer.facts.usage == Usage(7, 5, cached_input=4)


async def test_a_stream_without_its_last_event_is_closed_for_the_caller(ask: Ask) -> None:
    events = BEGIN + BLOCK + PIECE + DONE
    read, answer = await ask(call(stream=True), body=events, kind=EVENTS)
    assert (read, answer.last) == (events, END)


@pytest.mark.parametrize("wire", ["messages", "chat"])
async def test_a_stream_without_its_reason_is_cut(ask: Ask, wire: str) -> None:
    with pytest.raises(UpstreamCut):
        await ask(call(wire, stream=True), body=BEGIN + BLOCK + PIECE, kind=EVENTS)


@pytest.mark.parametrize("wire", ["messages", "chat"])
async def test_a_stream_that_reports_an_error_fails(ask: Ask, wire: str) -> None:
    error = event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    with pytest.raises(UpstreamFailed):
        await ask(call(wire, stream=True), body=BEGIN + error, kind=EVENTS)


async def test_a_count_passes(ask: Ask) -> None:
    read, answer = await ask(call("count_tokens"), body=b'{"input_tokens": 7}', kind=JSON)
    assert read == b'{"input_tokens": 7}'
    assert answer.facts.usage is None
    with pytest.raises(UpstreamMalformed):
        await ask(call("count_tokens"), body=b"{}", kind=JSON)


async def test_a_whole_answer_is_translated(ask: Ask) -> None:
    read, answer = await ask(call("chat"), body=WHOLE, kind=JSON)
    told = json.loads(read)
    assert told["choices"][0]["message"]["content"] == "Hi"
    assert told["choices"][0]["finish_reason"] == answer.facts.finish_reason == "stop"
    assert told["usage"]["prompt_tokens"] == 7


async def test_a_stream_is_translated(ask: Ask) -> None:
    body = BEGIN + BLOCK + PING + PIECE + DONE + END
    read, answer = await ask(call("chat", stream=True), body=body, kind=EVENTS)
    assert b'"content":"Hi"' in read
    assert b"[DONE]" not in read
    assert answer.last.endswith(b"data: [DONE]\n\n")
    assert answer.facts.usage == Usage(7, 5, cached_input=4)


async def test_another_kind_of_content_is_malformed(ask: Ask) -> None:
    with pytest.raises(UpstreamMalformed, match="text/html"):
        await ask(call(), body=b"<html>", kind="text/html")
    with pytest.raises(UpstreamMalformed):
        await ask(call(stream=True), body=WHOLE, kind=JSON)


def test_a_refusal_is_understood() -> None:
    body = json.dumps({"error": {"message": "prompt is too long: 3 tokens > 2 maximum"}})
    assert isinstance(DIALECT.refusal(400, body.encode()), ContextOverflow)
