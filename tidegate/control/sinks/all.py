"""All sinks of a control process: opened together, stopped together, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tidegate.clock import Clock, SystemClock
from tidegate.control.sinks.clickhouse import ClickHouseWay
from tidegate.control.sinks.forms import TraceForm, WebhookForm
from tidegate.control.sinks.parquet import ParquetWay
from tidegate.control.sinks.post import Post
from tidegate.control.sinks.sending import Sending, Standing
from tidegate.control.sinks.settings import ClickHouse, Parquet, Settings, Sinks, Traces
from tidegate.control.sinks.way import Posting, Way
from tidegate.net.dns import Resolver
from tidegate.store.database import Database
from tidegate.store.sinks import SinkStore

_LOOK_S: Final = 5.0
LAST_S: Final = 5.0
"""How long they are told of the last records when the process stops; the rest waits stored."""

_log = logging.getLogger("tidegate.control")


class AllSinks:
    """The sinks that `settings` name."""

    def __init__(self, settings: Sinks, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stopping = asyncio.Event()
        self._sending: dict[str, Sending] = {}

    def standing(self) -> dict[str, Standing]:
        """How it goes with each."""
        return {
            name: self._sending[name].standing if name in self._sending else Standing()
            for name in self._settings
        }

    async def run(self, database: Database, spool: str) -> None:
        """Tell them all until `stop`, or until cancelled."""
        if not self._settings:
            return
        resolver, ways = Resolver(), list[Way]()
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, settings in self._settings.items():
                    ways.append(way_to(settings, resolver, self._clock))
                    store = SinkStore(database, name, spool)
                    each = Sending(name, ways[-1], store, clock=self._clock)
                    self._sending[name] = each
                    tasks.create_task(each.run(self._stopping))
                tasks.create_task(self._look())
        finally:
            for way in ways:
                await way.close()
            await resolver.close()

    async def _look(self) -> None:
        while not self._stopping.is_set():
            for name, each in self._sending.items():
                try:
                    await asyncio.to_thread(each.look)
                except SQLAlchemyError as error:
                    _log.warning("how far the sink %s is behind is not known: %s", name, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_S)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Let `running`, the task of `run`, tell of the last records, for `LAST_S` at most."""
        self._stopping.set()
        if self._sending:
            await asyncio.wait([running], timeout=LAST_S)
        running.cancel()
        await asyncio.wait([running])


def way_to(settings: Settings, resolver: Resolver, clock: Clock) -> Way:
    """The way to the sink of `settings`; made in a running loop."""
    if isinstance(settings, Parquet):
        return ParquetWay(settings, clock)
    post = Post(settings.to, resolver)
    if isinstance(settings, ClickHouse):
        return ClickHouseWay(settings, post)
    if isinstance(settings, Traces):
        return Posting(TraceForm(settings), post)
    return Posting(WebhookForm(settings, clock.now_ns), post)
