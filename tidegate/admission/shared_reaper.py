"""Holds whose request should be over long since: found, and closed with what the ledger says.

For the control process. A gateway that was killed leaves its holds in Redis, and one that lost
Redis for long may have given up telling; their money stays held until somebody knows what it was
spent on. What nobody knows of for too long holds no money any more, but stays: the records of a
machine that comes back are charged to it, once. Leases end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tidegate.admission.engine import Spent
from tidegate.admission.redis_address import Address
from tidegate.admission.redis_line import Line, LineBroken, dial
from tidegate.admission.redis_words import NotRedis
from tidegate.admission.shared_asking import NOT_SEEDED
from tidegate.admission.shared_parts import Keys
from tidegate.admission.shared_scripts import FORGO, OVERDUE, SETTLE, Script, settled_words
from tidegate.admission.shared_untold import unpacked

TIMEOUT_S = 2.0
GRACE_S = 60.0
"""How long a hold may be past its time: its gateway may still be about to settle it."""
AT_ONCE = 200
AGAIN_S = 300.0
"""How long after a look at a hold without a record it is looked at again."""


class Overdue(Struct, frozen=True):
    """A request that should be over and still holds money."""

    request_id: str
    until_ms: int
    """Unix time at which it should have been over, by Redis's clock."""
    held_nanousd: int
    """The most that it holds of one budget."""


class Reaper:
    """Looks for holds past their time, in the Redis at `url`. Everything raises `LineBroken`.

    Raises: `ValueError` when `url` is none.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "tidegate",
        timeout_s: float = TIMEOUT_S,
        grace_s: float = GRACE_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._address = Address.of(url)
        self._keys = Keys(prefix)
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._again_s = again_s
        self._line: Line | None = None
        self._dialling = asyncio.Lock()

    async def overdue(self, most: int = AT_ONCE) -> list[Overdue]:
        """At most so many of them, the oldest first."""
        return await self._found(self._keys.index, most, self._grace_s)

    async def unrecorded(self, most: int = AT_ONCE) -> list[Overdue]:
        """At most so many of what `forgo` kept and that is to be looked at again."""
        return await self._found(self._keys.unrecorded, most, self._again_s)

    async def forgo(self, request_id: str) -> bool:
        """Let go of its money and keep the hold for its record; false when it is gone."""
        keys = (self._keys.hold(request_id), self._keys.index, self._keys.unrecorded)
        answer = await self._call(FORGO, keys, (request_id.encode(),))
        return answer == 1

    async def settle_lost(self, request_id: str, spent: Sequence[Spent]) -> bool:
        """Charge what was spent and let go of the rest; false when nothing was held any more.

        A second time changes nothing. Raises: `LineBroken` also while Redis has not been told
        what was spent: then again later.
        """
        keys = (self._keys.hold(request_id), self._keys.index, self._keys.epoch)
        answer = _unpacked(await self._call(SETTLE, keys, settled_words(request_id, spent)))
        if answer[0] == NOT_SEEDED:
            raise LineBroken("Redis has not been told yet what was spent")
        return answer[0] == 1

    def close(self) -> None:
        """Let go of the connection; it is made again when it is needed."""
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _found(self, index: bytes, most: int, grace_s: float) -> list[Overdue]:
        said = (b"%d" % most, self._keys.holds, b"%r" % grace_s, b"")
        return [Overdue(*one) for one in _unpacked(await self._call(OVERDUE, [index], said))]

    async def _call(self, script: Script, keys: Sequence[bytes], said: Sequence[bytes]) -> object:
        async with self._dialling:
            if self._line is None or self._line.ended.done():
                self._line = await dial(self._address, (), self._timeout_s)
        count = b"%d" % len(keys)
        line, timeout_s = self._line, self._timeout_s
        try:
            return await line.call(b"EVAL", script.text, count, *keys, *said, timeout_s=timeout_s)
        except LineBroken:
            line.close()
            raise


def _unpacked(answer: object) -> list[Any]:
    try:
        return unpacked(answer)
    except NotRedis as error:
        raise LineBroken(str(error)) from error
