"""Ask every replica now and then whether it is well, whatever its traffic says.

A server that answers at all, if only with a refusal, is up: one that wants a key for its health
page, or has no such page, must not be taken for a dead one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tidegate.errors import UpstreamError
from tidegate.net.http import Timeouts
from tidegate.providers.replicas.replica import Health, Replica

ILL: Final = 500
"""From this status on a server says itself that it is not well."""
ANSWER_LIMIT_BYTES: Final = 64 << 10
JITTER: Final = 0.2
"""Intervals differ by up to so much, or the probes of all gateways would fall into step."""

Pause = Callable[[float], Awaitable[None]]


class Probed(Protocol):
    """Who is told (`Replicas`)."""

    health: Health

    def probed(self, replica: Replica, *, good: bool, now_s: float) -> None:
        """Take in what a probe found."""
        ...


async def watch(
    replicas: Probed,
    replica: Replica,
    path: str,
    *,
    pause: Pause = asyncio.sleep,
    draw: Callable[[], float] = random.random,
) -> None:
    """Probe `replica` at `path` until cancelled. One probe is under way at a time."""
    time = asyncio.get_running_loop().time
    health = replicas.health
    await pause(health.interval_s * draw())
    while True:
        good = await is_well(replica, path, health.timeout_s)
        replicas.probed(replica, good=good, now_s=time())
        await pause(health.interval_s * (1 - JITTER / 2 + JITTER * draw()))


async def is_well(replica: Replica, path: str, timeout_s: float) -> bool:
    """Whether `GET path` is answered in time, and not with an error of the server's."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        response = await replica.probe_pool.open(
            "GET",
            path,
            b"",
            b"",
            timeouts=Timeouts(timeout_s, timeout_s, timeout_s),
            deadline=deadline,
        )
        try:
            await response.read_all(ANSWER_LIMIT_BYTES)  # or its connection could not be kept
        finally:
            response.close()
    except UpstreamError:
        return False
    return response.status < ILL
