"""Segments written byte by byte, the records to put in them, and what arrived in the store."""

import time
from pathlib import Path
from typing import Any

from tidegate.ledger.segment import SUFFIX, frame
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import Record, decode, encode

NOW_NS = time.time_ns()
"""Recent, so that nobody deletes the records as too old."""


def record(name: str, **fields: Any) -> bytes:
    """The payload of a record whose request id is `name`."""
    usual: dict[str, Any] = {
        "request_id": name, "started_ns": NOW_NS, "worker": "gw-0", "wire": "chat",
        "path": "/v1/chat/completions", "config_version": "c0ffee", "alias": "fast", "key": "web",
        "provider": "local", "target": "local/smol",
    }  # fmt: skip
    return encode(Record(**{**usual, **fields}))


def names(store: RecordStore) -> list[str]:
    """The request ids in the store, in the order of loading."""
    return [decode(found.payload).request_id for found in store.after(0, 10**6, Filter())]


class Spool:
    """A directory of segments, written byte by byte."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bad = directory / "bad"

    def segment(self, name: str, *payloads: bytes) -> Path:
        self.directory.mkdir(exist_ok=True)
        path = self.directory / f"{name}{SUFFIX}"
        with path.open("ab") as file:
            file.write(b"".join(map(frame, payloads)))
        return path
