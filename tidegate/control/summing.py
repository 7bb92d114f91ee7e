"""Sums up hours and days that are over, a little at a time, so that pages need not."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tidegate.clock import Clock
from tidegate.store.database import Database
from tidegate.store.marginals import Marginals

_IDLE_S: Final = 10.0
_SECOND_NS: Final = 10**9

_log = logging.getLogger("tidegate.control")


class Summing:
    """Has marginals made wherever roll-ups have changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._marginals = Marginals(database)
        self._clock = clock
        self._failing = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began_s = self._clock.monotonic()
            more = await asyncio.to_thread(self.once)
            # As much time as it took is left to the loader, which writes to the same store.
            await asyncio.sleep(self._clock.monotonic() - began_s if more else _IDLE_S)

    def once(self) -> bool:
        """Sum up one hour or day; whether there was one."""
        try:
            more = self._marginals.make(self._clock.now_ns() // _SECOND_NS)
        except SQLAlchemyError as error:
            if not self._failing:
                _log.error("hours and days are not summed up, tried again: %s", error)
            self._failing = True
            return False
        self._failing = False
        return more
