"""Ask the control process for what is kept, over loopback, in the name of this gateway.

A request waits a few seconds for it at most, and one that needs nothing kept never does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import msgspec

from tidegate.conversations.door import Door, find
from tidegate.conversations.kept import Kept, decode
from tidegate.errors import Unavailable, UpstreamError
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts

PATH = "/internal/responses/"
ANSWER_BYTES = 64 << 20
PATIENCE_S = 5.0

_TIMEOUTS = Timeouts(connect_s=1.0, first_byte_s=PATIENCE_S, idle_s=1.0)
_FOUND, _DENIED, _MISSING = 200, 401, 404

_decode_rows = msgspec.msgpack.Decoder(list[bytes]).decode


class ControlArchive:
    """The store, through the control process whose door hangs in `directory`."""

    def __init__(self, directory: Path, resolver: Resolver) -> None:
        self._directory = directory
        self._resolver = resolver
        self._time = asyncio.get_running_loop().time
        self._door: Door | None = None
        self._pool: Pool | None = None

    async def past(self, id_: str, owner: str, most: int) -> list[Kept]:
        """See `keeper.Archive.past`."""
        status, body = await self._ask("GET", f"{_path(id_, owner)}&most={most}")
        if status == _MISSING:
            return []
        try:
            return [decode(row) for row in _decode_rows(body)]
        except msgspec.DecodeError as error:
            raise _unavailable() from error

    async def forget(self, id_: str, owner: str) -> bool:
        """See `keeper.Archive.forget`."""
        status, _ = await self._ask("DELETE", _path(id_, owner))
        return status == _FOUND

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        """The answer, good or "not there". Raises: `Unavailable`."""
        deadline = self._time() + PATIENCE_S
        for _ in range(2):  # the process may have been started again, behind another door
            door = self._door or await self._look()
            try:
                answer = await self._send(door, method, path, deadline)
            except UpstreamError as error:
                if not await self._moved(door):
                    raise _unavailable() from error
                continue
            if answer[0] in (_FOUND, _MISSING):
                return answer
            if answer[0] != _DENIED or not await self._moved(door):
                break
        raise _unavailable()

    async def _send(self, door: Door, method: str, path: str, deadline: float) -> tuple[int, bytes]:
        if self._pool is None:
            self._pool = Pool(
                door.url, allow_private=True, max_connections=16, resolver=self._resolver
            )
        headers = b"authorization: Bearer %b\r\n" % door.word.encode()
        response = await self._pool.open(
            method, path, headers, b"", timeouts=_TIMEOUTS, deadline=deadline
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


def _path(id_: str, owner: str) -> str:
    return f"{PATH}{quote(id_, safe='')}?owner={quote(owner, safe='')}"


def _unavailable() -> Unavailable:
    return Unavailable("Kept answers cannot be read now.", retry_after_s=1)
