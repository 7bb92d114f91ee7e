"""Ask the control process, over loopback, in the name of this gateway.

Whoever asks waits a few seconds at most, or as long as it says. A process that was started again is
found by its new door.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tidegate.errors import Unavailable, UpstreamError
from tidegate.net.dns import Resolver
from tidegate.net.door import Door, find
from tidegate.net.http import Pool, Timeouts

ANSWER_BYTES = 64 << 20
PATIENCE_S = 5.0
FOUND, MISSING = 200, 404

_CONNECT_S, _IDLE_S = 1.0, 1.0
_DENIED = 401


class ControlLine:
    """The control process whose door hangs in `directory`."""

    def __init__(self, directory: Path, resolver: Resolver) -> None:
        self._directory = directory
        self._resolver = resolver
        self._time = asyncio.get_running_loop().time
        self._door: Door | None = None
        self._pool: Pool | None = None

    async def ask(
        self, method: str, path: str, patience_s: float = PATIENCE_S
    ) -> tuple[int, bytes]:
        """Status and body of its answer, which is `FOUND` or `MISSING`. Raises: `Unavailable`."""
        deadline = self._time() + patience_s
        for _ in range(2):  # the process may have been started again, behind another door
            door = self._door or await self._look()
            try:
                answer = await self._send(door, method, path, deadline)
            except UpstreamError as error:
                if not await self._moved(door):
                    raise _unavailable() from error
                continue
            if answer[0] in (FOUND, MISSING):
                return answer
            if answer[0] != _DENIED or not await self._moved(door):
                break
        raise _unavailable()

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()

    async def _send(self, door: Door, method: str, path: str, deadline: float) -> tuple[int, bytes]:
        if self._pool is None:
            self._pool = Pool(
                door.url, allow_private=True, max_connections=16, resolver=self._resolver
            )
        headers = b"authorization: Bearer %b\r\n" % door.word.encode()
        # Only the deadline bounds how long it may think.
        timeouts = Timeouts(_CONNECT_S, deadline - self._time(), _IDLE_S)
        response = await self._pool.open(
            method, path, headers, b"", timeouts=timeouts, deadline=deadline
        )
        try:
            return response.status, await response.read_all(ANSWER_BYTES)
        finally:
            response.close()

    async def _look(self) -> Door:
        """Find the door that hangs there now. Raises: `Unavailable`."""
        door = find(self._directory)
        if door is None:
            raise _unavailable()
        if door != self._door:
            pool, self._pool = self._pool, None
            self._door = door
            if pool is not None:
                await pool.close()
        return door

    async def _moved(self, door: Door) -> bool:
        """Whether another door than `door` hangs there now."""
        return await self._look() != door


def _unavailable() -> Unavailable:
    return Unavailable("The control process cannot be asked now.", retry_after_s=1)
