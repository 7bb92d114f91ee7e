"""Holds in Redis whose request is over: closed with what the ledger says that it cost.

Two kinds are looked for. Requests that were given up as lost are closed as soon as they are; a hold
that is past its time is closed once its record is known, by whichever machine has loaded it. If
none comes for an hour its money is let go; should the record come later, as that of a machine that
was away, it is charged then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tidegate.admission.engine import Spent
from tidegate.admission.redis_line import LineBroken
from tidegate.admission.shared_reaper import AT_ONCE, Reaper
from tidegate.clock import Clock, SystemClock
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Record, decode

LOOK_S: Final = 1.0
LOOKS_BACK_NS: Final = 3600 * 10**9
"""How far a control process that has just begun looks back for losses; older ones are overdue."""
UNKNOWN_MS: Final = 3600 * 10**3
"""A hold that nobody has a record of so long after its time was most likely never written down, and
no provider asked."""
FORGONE_AT_ONCE: Final = 50

_log = logging.getLogger("tidegate.control")


class Closing:
    """Closes holds in the Redis at `url` by the records of `store`."""

    def __init__(
        self,
        store: RecordStore,
        url: str,
        *,
        reaper: Reaper | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._reaper = reaper or Reaper(url)
        self._clock = clock or SystemClock()
        self._since_ns = self._clock.now_ns() - LOOKS_BACK_NS
        self._done: frozenset[str] = frozenset()
        """Those of the very time that is looked from on."""

    async def run(self) -> None:
        """Look again and again until cancelled."""
        try:
            while True:
                with suppress(LineBroken):  # the gateways say so
                    await self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._reaper.close()

    async def look(self) -> int:
        """Close what can be closed now; how many were. Raises: `LineBroken`."""
        try:
            return await self._lost() + await self._overdue() + await self._unrecorded()
        except SQLAlchemyError as error:
            _log.error("what Redis holds for requests that are over cannot be looked up: %s", error)
            return 0

    async def _lost(self) -> int:
        closed = 0
        while True:
            found = await asyncio.to_thread(
                self._store.held.given_up, self._since_ns, AT_ONCE + len(self._done)
            )
            fresh = [each for each in found if each[0] not in self._done]
            for request_id, settled_ns in fresh:
                closed += await self._close(request_id)
                if settled_ns > self._since_ns:
                    self._since_ns, self._done = settled_ns, frozenset((request_id,))
                else:
                    self._done |= {request_id}
            if not fresh:
                return closed

    async def _overdue(self) -> int:
        closed = 0
        for hold in await self._reaper.overdue():
            if await self._close(hold.request_id):
                closed += 1
            elif hold.until_ms + UNKNOWN_MS < self._clock.now_ns() // 10**6:
                closed += await self._reaper.forgo(hold.request_id)
        return closed

    async def _unrecorded(self) -> int:
        closed = 0
        for hold in await self._reaper.unrecorded(FORGONE_AT_ONCE):
            if await self._close(hold.request_id):
                closed += 1
            await self._reaper.forgo(hold.request_id)
        return closed

    async def _close(self, request_id: str) -> bool:
        payload = await asyncio.to_thread(self._store.get, request_id)
        if payload is None:
            return False
        return await self._reaper.settle_lost(request_id, spent_of(decode(payload)))


def spent_of(record: Record) -> list[Spent]:
    """What the request of `record` has used, at each provider."""
    tokens, nanousd = defaultdict[str, int](int), defaultdict[str, int](int)
    rest = record.cost_nanousd or 0
    for tried in record.attempts:
        provider = tried.target.partition("/")[0]
        if tried.cost_nanousd:
            nanousd[provider] += tried.cost_nanousd
            rest -= tried.cost_nanousd
        tokens[provider] += (tried.input_tokens or 0) + (tried.output_tokens or 0)
    last = record.provider or ""
    nanousd[last] += rest
    tokens[last] += (record.input_tokens or 0) + (record.output_tokens or 0)
    return [Spent(name, tokens[name], nanousd[name]) for name in sorted({*tokens, *nanousd})]
