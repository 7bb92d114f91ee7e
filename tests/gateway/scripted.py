"""A provider that does, request by request, what its script says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

DRIP_S = 0.01


@dataclass(frozen=True)
class Step:
    """What is done with one request: an answer, a status, silence, or a cut."""

    status: int = 200
    text: str = "Hello there."
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    hang: bool = False
    """Nothing comes until the test lets it, or the connection is closed."""
    finish: str = "stop"
    tool_arguments: str | None = None
    cut_after: int | None = None
    """The stream is cut after so many chunks."""
    raw: bytes | None = None
    """All that is sent, whatever is asked for; the connection is closed after it."""
    drip: bytes | None = None
    """Sent again and again, after `raw`, until the gateway closes the connection."""
    wait_s: float = 0.0
    """Silence before it."""


@dataclass
class Scripted:
    """The running provider: what it has got, and what it will do."""

    url: str
    steps: list[Step]
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    heads: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    closed: int = 0
    """Requests whose connection the gateway closed before the answer was over."""
    mute: int = 0
    """Requests whose connection was closed without a byte."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    choose: Callable[[], Step] = Step
    """What is done when no step is left."""

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def next(self) -> Step:
        return self.steps.pop(0) if self.steps else self.choose()


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncGenerator[Scripted]:
    """Run one; after its last step it answers well."""
    here = Scripted("", list(steps))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _exchange(here, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    here.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield here
    finally:
        here.release.set()
        server.close()
        await server.wait_closed()


async def _exchange(
    here: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    sent = await reader.readexactly(int(lines.get("content-length", "0")))
    body: dict[str, Any] = json.loads(sent) if sent else {}
    here.heads.append(head)
    here.bodies.append(body)
    here.keys.append(lines.get("authorization", "").removeprefix("bearer "))
    step = here.next()
    if step.wait_s:
        await asyncio.sleep(step.wait_s)
    if step.hang:
        gone = asyncio.ensure_future(reader.read(1))
        released = asyncio.ensure_future(here.release.wait())
        await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
        released.cancel()
        if gone.done():
            here.closed += 1
            return False
        gone.cancel()
    if step.raw is not None:
        return await _raw(here, step, step.raw, reader, writer)
    if body.get("stream") and step.status == 200:
        return await _stream(step, writer)
    answer = step.body if step.body is not None else _whole(step)
    more = "".join(f"{name}: {value}\r\n" for name, value in step.headers.items())
    writer.write(
        f"HTTP/1.1 {step.status} X\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(answer)}\r\n\r\n".encode()
        + answer
    )
    await writer.drain()
    return True


async def _raw(
    here: Scripted,
    step: Step,
    raw: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    here.mute += raw == b"" and step.drip is None
    writer.write(raw)
    await writer.drain()
    if step.drip is not None:
        gone = asyncio.ensure_future(reader.read(1))
        while not (gone.done() or here.release.is_set()):
            writer.write(step.drip)
            await asyncio.wait([gone], timeout=DRIP_S)
        here.closed += gone.done()
        gone.cancel()
    return False


def _whole(step: Step) -> bytes:
    if step.status != 200:
        return json.dumps({"error": {"message": "scripted", "code": None}}).encode()
    message: dict[str, Any] = {"role": "assistant", "content": step.text}
    if step.tool_arguments is not None:
        call = {"name": "look", "arguments": step.tool_arguments}
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": call}]
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "scripted-1",
            "choices": [{"index": 0, "message": message, "finish_reason": step.finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
    ).encode()


async def _stream(step: Step, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    chunks: list[dict[str, Any]] = [{"role": "assistant"}, {"content": step.text}]
    if step.tool_arguments is not None:
        function = {"name": "look", "arguments": step.tool_arguments}
        chunks.append(
            {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}
        )
    for number, delta in enumerate(chunks):
        if number == step.cut_after:
            return False
        writer.write(_event({"index": 0, "delta": delta, "finish_reason": None}))
        await writer.drain()
    if step.cut_after == len(chunks):
        return False
    writer.write(_event({"index": 0, "delta": {}, "finish_reason": step.finish}))
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()
    return False


def _event(choice: dict[str, Any]) -> bytes:
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted-1",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
