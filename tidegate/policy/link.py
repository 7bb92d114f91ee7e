"""The line to Redis: the only file that knows its driver, which is loaded when a line is made.

Two connections, because one that has subscribed takes no other commands. Nothing here tries again
or reconnects: any trouble, slowness included, is one `LinkBroken`, and whoever uses the line makes
it anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from tidegate.redact import redact

TIMEOUT_S = 0.5
"""How long anything may take; a Redis that is slower is as good as gone."""
_REASON_CHARACTERS = 200

_TELL = """
local held = redis.call('GET', KEYS[1])
local until_ms = held and tonumber(string.match(held, '^(%d+) '))
if until_ms and until_ms >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
"""
"""Keeps and publishes a message unless the one that is held lasts as long; in one step."""

log = logging.getLogger("tidegate.policy")


class LinkBroken(Exception):
    """Redis does not answer, not in time, or not as it should. The message is fit for a log."""


class Link:
    """A line to the Redis at `url`, closed until `open`.

    Messages are bytes that begin with their end in Unix milliseconds and a space.

    Raises: `ImportError` when the driver is not installed, `ValueError` when `url` is none.
    """

    def __init__(self, url: str, *, prefix: str = "tidegate", timeout_s: float = TIMEOUT_S) -> None:
        try:
            driver = import_module("redis.asyncio")
        except ImportError as error:
            raise ImportError(
                "Sharing breakers needs the driver of Redis: pip install 'tidegate[redis]'."
            ) from error
        retry = import_module("redis.asyncio.retry").Retry
        no_backoff = import_module("redis.backoff").NoBackoff
        errors = import_module("redis.exceptions")
        self._slowness = (TimeoutError, errors.TimeoutError)
        self._troubles = (OSError, TimeoutError, errors.RedisError)
        self._channel = f"{prefix}:openings"
        self._key = f"{prefix}:open:"
        self._timeout_s = timeout_s
        # Two connections are all there ever are: one that asks, one that listens.
        self._client: Any = driver.Redis.from_url(
            url, protocol=2, socket_connect_timeout=timeout_s, socket_timeout=timeout_s,
            retry=retry(no_backoff(), 0), max_connections=2,
        )  # fmt: skip
        self._listening: Any = None

    async def open(self) -> None:
        """Connect, and hear everything from here on. Raises: `LinkBroken`."""
        async with self._promptly():
            self._listening = self._client.pubsub()
            await self._listening.subscribe(self._channel)
        if await self._next(self._timeout_s) is None:  # which would say that we are heard
            raise LinkBroken("it does not let us listen")

    async def tell(self, target: str, until_ms: int, lasts_ms: int, message: bytes) -> None:
        """Keep `message` about `target` for `lasts_ms` and tell everybody.

        Nothing happens if one that lasts as long or longer is held. Raises: `LinkBroken`.
        """
        async with self._promptly():
            key = f"{self._key}{target}"
            await self._client.eval(_TELL, 1, key, until_ms, message, lasts_ms, self._channel)

    async def held(self, targets: Sequence[str]) -> list[bytes]:
        """The messages that are held about `targets`. Raises: `LinkBroken`."""
        if not targets:
            return []
        async with self._promptly():
            values: list[bytes | None] = await self._client.mget(
                [f"{self._key}{target}" for target in targets]
            )
        return [value for value in values if value is not None]

    async def hear(self, silence_s: float) -> bytes | None:
        """The next message; None when nothing was said for a while, though the line is good.

        After `silence_s` the other end is asked whether it is still there. Raises: `LinkBroken`.
        """
        said = await self._next(silence_s)
        if said is None:
            async with self._promptly():
                await self._listening.ping()
            said = await self._next(self._timeout_s)
            if said is None:
                raise LinkBroken("it has fallen silent")
        return said["data"] if said["type"] == "message" else None

    async def close(self) -> None:
        """Let go of the connections, politely or not; the line may be opened again."""
        listening, self._listening = self._listening, None
        try:
            async with asyncio.timeout(self._timeout_s):
                if listening is not None:
                    await listening.aclose()
                await self._client.connection_pool.disconnect()
        except self._troubles:
            log.debug("the line to Redis could not be closed in order", exc_info=True)

    async def _next(self, wait_s: float) -> dict[str, Any] | None:
        async with self._promptly(wait_s):
            return await self._listening.get_message(timeout=wait_s)

    @asynccontextmanager
    async def _promptly(self, wait_s: float = 0.0) -> AsyncGenerator[None]:
        """Turn every trouble of the driver, and slowness, into `LinkBroken`.

        The driver sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation
        that comes as the sending is done; here it is found again.
        """
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(wait_s + self._timeout_s):
                yield
        except self._troubles as error:
            raise LinkBroken(self._why(error)) from error
        finally:
            if task and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError

    def _why(self, error: Exception) -> str:
        if isinstance(error, self._slowness):
            return f"it did not answer within {self._timeout_s * 1000:.0f} ms"
        return redact(str(error) or type(error).__name__)[:_REASON_CHARACTERS]
