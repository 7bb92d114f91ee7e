"""A store with records in it, and ways to be told of them."""

from __future__ import annotations

from typing import Any

from spools import record
from store.storing import put, row

from tidegate.clock import Clock, SystemClock
from tidegate.control.sinks.sending import Sending
from tidegate.control.sinks.way import Way
from tidegate.store.records import RecordStore
from tidegate.store.sinks import SinkStore

NOW_NS = SystemClock().now_ns()


class Stock:
    """Records in a store, numbered from 0 on."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.names: list[str] = []

    def add(self, count: int, started_ns: int = NOW_NS, **fields: Any) -> list[str]:
        """Put so many more into the store; their ids."""
        first = len(self.names)
        names = [f"req_{first + number}" for number in range(count)]
        put(
            self.store,
            *(
                row(0, request_id=name, started_ns=started_ns,
                    payload=record(name, started_ns=started_ns, **fields))
                for name in names
            ),
        )  # fmt: skip
        self.names += names
        return names

    def told(self, way: Way, clock: Clock | None = None, spool: str = "here") -> Sending:
        """What tells `way`; another one each time, as after a crash."""
        store = SinkStore(self.store.database, "exports.there", spool)
        return Sending("exports.there", way, store, clock=clock or SystemClock())


async def through(sending: Sending) -> None:
    """Turn until there is nothing left to be told."""
    while await sending.turn(last=True) == 0.0:
        pass
