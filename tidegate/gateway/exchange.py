"""One HTTP exchange with a caller: its request in, its answer out, its record, its leaving.

The rules of ASGI live here, so that `serve.py` reads as the domain. What is promised: the answer
begins once and ends once; nothing is written after the caller left; a caller who leaves cancels
the task that serves it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tidegate.errors import BadRequest, BodyTooLarge, SlowBody
from tidegate.telemetry.record import Record

log = logging.getLogger("tidegate.gateway")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

WATCH_AFTER_S = 0.05
"""Requests shorter than this are not watched for a leaving caller: a watch costs a task."""

STUCK_GRACE_S = 1.0

KEPT_BODY_BYTES = 1 << 20
"""What a record keeps of an answer at most, where policy says to keep it."""

JSON: Header = (b"content-type", b"application/json")


class CallerGone(Exception):
    """The caller closed its connection before its request was complete."""


class Exchange:
    """A request and its answer. One is made for each request, and used by one task."""

    __slots__ = (
        "_kept",
        "_kept_bytes",
        "_receive",
        "_send",
        "_timer",
        "_watcher",
        "abort",
        "began",
        "gone",
        "headers",
        "keep",
        "late",
        "loop",
        "record",
        "started",
    )

    def __init__(
        self, scope: Message, receive: Receive, send: Send, record: Record, began: float
    ) -> None:
        """Begin one; `began` is the loop's time at which the request's head was in."""
        self.headers: list[Header] = scope["headers"]
        self.record = record
        self.loop = asyncio.get_running_loop()
        self.began = began
        self.started = False
        self.gone = False
        self.late = False
        self.keep = False
        self.abort: Callable[[], None] = scope["extensions"]["tidegate.abort"]
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._receive = receive
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def elapsed_ms(self) -> float:
        """Milliseconds since the request's head was in."""
        return (self.loop.time() - self.began) * 1000.0

    async def body(self, limit_bytes: int, wait_s: float) -> bytes:
        """The request's whole body.

        Raises: `BodyTooLarge`, `SlowBody`, `BadRequest`, `CallerGone`.
        """
        for name, value in self.headers:
            if name == b"content-length":
                if int(value) > limit_bytes:
                    raise _too_large(limit_bytes)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise BadRequest("Compressed request bodies are not accepted; send it plain.")
        message = await self._within(wait_s)
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts = bytearray(body)
            until = self.loop.time() + wait_s
            while message.get("more_body"):
                message = await self._within(until - self.loop.time())
                parts += message.get("body", b"")
                if len(parts) > limit_bytes:
                    raise _too_large(limit_bytes)
            body = bytes(parts)
        elif len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        self.record.request_bytes = len(body)
        return body

    async def _within(self, wait_s: float) -> Message:
        try:
            async with asyncio.timeout(wait_s):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody("The request's body did not arrive in time.") from None
        if message["type"] == "http.disconnect":
            self.gone = True
            raise CallerGone
        return message

    def watch(self, until: float) -> None:
        """From now on, cancel the current task when the caller leaves.

        Also when it is still busy at `until` (loop time) plus a grace: everything that waits for an
        upstream knows its deadline, but a caller may read so slowly that writing to it hangs.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self._timer = self.loop.call_later(WATCH_AFTER_S, self._start_watch, task, until)

    def _start_watch(self, task: asyncio.Task[None], until: float) -> None:
        self._watcher = self.loop.create_task(self._watch(task, until))

    async def _watch(self, task: asyncio.Task[None], until: float) -> None:
        try:
            async with asyncio.timeout_at(until + STUCK_GRACE_S):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            self.gone = True
        except TimeoutError:
            self.late = True
        task.cancel()

    def unwatch(self) -> None:
        """Stop watching: from now on the caller's leaving changes nothing."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[Header]) -> None:
        """Begin the answer."""
        self.started = True
        self.record.status = status
        headers.append((b"x-request-id", self.record.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send more of the answer's body; waits while the caller reads too slowly."""
        self.count(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes) -> None:
        """Send the last of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    def count(self, data: bytes) -> None:
        """Note `data` as a part of the answer, before it is sent."""
        size = len(data)
        self.record.response_bytes += size
        if self.keep and self._kept_bytes < KEPT_BODY_BYTES:
            self._kept.append(data[: KEPT_BODY_BYTES - self._kept_bytes])
            self._kept_bytes += size

    def kept(self) -> bytes:
        """What was kept of the answer."""
        return b"".join(self._kept)


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request's body is longer than the limit of {limit_bytes:,} bytes.")
