"""Hand kept responses out to the gateways: `GET` and `DELETE /internal/responses/{id}`.

What a gateway has just kept may still be in the spool. Before something is said not to be there, or
is deleted, the spool is loaded; a response that is found needs no such wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import msgspec

from tidegate.clock import Clock, SystemClock
from tidegate.net.door import Door
from tidegate.store.responses import ResponseStore

PREFIX = "/internal/responses/"
MOST_TURNS = 1_000

Answer = tuple[int, bytes]
"""Status and body; what was found is a list in msgpack, anything else an empty body."""

FOUND, DENIED, MISSING, WRONG, FAILING = 200, 401, 404, 405, 503


class Counter:
    """Where gateways come for kept responses; closed until the spool is ours."""

    def __init__(
        self,
        store: ResponseStore,
        load: Callable[[], Awaitable[bool]],
        hang: Callable[[], Door],
        clock: Clock | None = None,
    ) -> None:
        """Make one.

        Args:
            store: Where they are.
            load: Loads what is in the spool now; whether that could be done.
            hang: Makes the door that gateways come through. Raises: `OSError`.
            clock: Says what has expired.
        """
        self._store = store
        self._load = load
        self._hang = hang
        self._clock = clock or SystemClock()
        self._door: Door | None = None

    def open(self) -> None:
        """Let gateways in, now or when this is called again."""
        if self._door is None:
            with contextlib.suppress(OSError):  # the spool's disk: its loader says what is wrong
                self._door = self._hang()

    def admits(self, word: bytes) -> bool:
        """Whether `word` is what gateways say at the door, and it is open."""
        return self._door is not None and self._door.opens(word)

    async def serve(self, method: str, id_: str, query: bytes, word: bytes) -> Answer:
        """Answer one request. Raises: `SQLAlchemyError`."""
        if not self.admits(word):
            return DENIED, b""
        asked = parse_qs(query.decode("latin-1"))
        owner, most = asked.get("owner", [""])[0], asked.get("most", ["1"])[0]
        match method:
            case "GET":
                turns = int(most) if most.isdecimal() and len(most) < 6 else 1  # noqa: PLR2004
                return await self._find(id_, owner, min(turns, MOST_TURNS))
            case "DELETE":
                return await self._forget(id_, owner)
            case _:
                return WRONG, b""

    async def _find(self, id_: str, owner: str, most: int) -> Answer:
        now_ns = self._clock.now_ns()
        past = await asyncio.to_thread(self._store.past, id_, owner, now_ns, most)
        if past.missing:
            if not await self._load():
                return FAILING, b""
            past = await asyncio.to_thread(self._store.past, id_, owner, now_ns, most)
        if not past.payloads:
            return MISSING, b""
        return FOUND, msgspec.msgpack.encode(past.payloads)

    async def _forget(self, id_: str, owner: str) -> Answer:
        if not await self._load():
            return FAILING, b""
        gone = await asyncio.to_thread(self._store.forget, id_, owner)
        return (FOUND if gone else MISSING), b""
