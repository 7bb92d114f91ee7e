"""Records as Parquet files, by day and hour: `date=2026-11-21/hour=14/part-….parquet`.

A file is written under a name that readers pass over, brought to the disk, and renamed: nobody ever
reads half of one. Its name is the place in the store after which its page begins. Who dies before
the page is noted as told writes the very same page again, so the same files: no record is in two
of them.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import compress
from pathlib import Path
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.control.sinks.columns import PLACE, STARTED, columns, read
from tidegate.control.sinks.post import NotTaken
from tidegate.control.sinks.settings import Parquet
from tidegate.control.sinks.way import Pace, Told
from tidegate.store.records import Found
from tidegate.telemetry.record import Record

_NAME = re.compile(r"part-\d{16}\.parquet")
_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")
_HOUR_NS: Final = 3_600 * 10**9
_PAGE_BYTES: Final = 32 << 20
_LAST_NS: Final = (1 << 63) - 1
_SWEEP_S: Final = 600.0


class ParquetWay:
    """The way into one directory; see `Way`."""

    def __init__(self, settings: Parquet, clock: Clock) -> None:
        self.pace = Pace(settings.rows, _PAGE_BYTES, settings.every_s, exact=True)
        self._settings = settings
        self._clock = clock
        self._columns = columns(bodies=settings.bodies)
        self._swept_s = -_SWEEP_S

    async def take(self, page: Sequence[Found], after: int) -> Told:
        """See `Way.take`."""
        try:
            return await asyncio.to_thread(self._write, page, after)
        except ModuleNotFoundError as error:
            raise NotTaken("it needs pyarrow: pip install 'tidegate[parquet]'") from error
        except OSError as error:
            where = self._settings.directory
            raise NotTaken(
                f"{where} cannot be written: {error.strerror or error}; make room, or let the "
                "control process's user write there"
            ) from error

    async def close(self) -> None:
        """See `Way.close`."""

    def _write(self, page: Sequence[Found], after: int) -> Told:
        places, records = read(page)
        hours = [_hour(each.started_ns) for each in records]
        parts = defaultdict[int, list[bool]](list)
        for hour in sorted(set(hours)):
            parts[hour] = [each == hour for each in hours]
        name = f"part-{after:016d}.parquet"
        size_bytes = 0
        for hour, mine in parts.items():
            directory = self._settings.directory / _partition(hour)
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            table = self._table(list(compress(places, mine)), list(compress(records, mine)))
            size_bytes += self._put(table, directory / name)
        self._sweep()
        return Told(len(records), unreadable=len(page) - len(records), size_bytes=size_bytes)

    def _put(self, table: Any, path: Path) -> int:
        parquet: Any = import_module("pyarrow.parquet")  # an extra, and slow to come
        fresh = path.with_name(f".{path.name}.new")
        parquet.write_table(table, fresh, compression="zstd", version="2.6")
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
        fresh.replace(path)
        for directory in (path.parent, path.parent.parent, path.parent.parent.parent):
            _sync(directory)
        return size_bytes

    def _table(self, places: list[int], records: list[Record]) -> Any:
        pa: Any = import_module("pyarrow")
        types = _types(pa)
        began = [min(max(0, each.started_ns), _LAST_NS) // 1_000 for each in records]
        fields: list[tuple[str, Any, list[Any]]] = [
            (PLACE, types["int"], places),
            (STARTED, types[STARTED], began),
            *((each.name, types[each.kind], each.values(records)) for each in self._columns),
        ]
        arrays: list[Any] = [pa.array(values, type_) for _, type_, values in fields]
        schema = pa.schema([(name, type_) for name, type_, _ in fields])
        return pa.Table.from_arrays(arrays, schema=schema)

    def _sweep(self) -> None:
        """Delete days that are too old, now and then."""
        days, now_s = self._settings.keep_days, self._clock.monotonic()
        if days is None or now_s - self._swept_s < _SWEEP_S:
            return
        self._swept_s = now_s
        today = datetime.fromtimestamp(self._clock.now_ns() // 10**9, UTC).date()
        for directory in self._settings.directory.iterdir():
            day = _DAY.fullmatch(directory.name)
            if day and date.fromisoformat(day[1]) < today - timedelta(days=days):
                _remove(directory)


def _types(pa: Any) -> dict[str, Any]:
    """Arrow's types, by kind."""
    return {
        "text": pa.string(), "label": pa.dictionary(pa.int32(), pa.string()), "int": pa.int64(),
        "float": pa.float64(), "bool": pa.bool_(), "texts": pa.list_(pa.string()),
        "json": pa.string(), "bytes": pa.binary(), STARTED: pa.timestamp("us", tz="UTC"),
    }  # fmt: skip


def _remove(day: Path) -> None:
    # Our own files, and directories that are empty then: what others put there stays.
    for hour in day.iterdir():
        if hour.is_dir():
            for path in hour.iterdir():
                if _NAME.fullmatch(path.name.removeprefix(".").removesuffix(".new")):
                    path.unlink()
            _remove_if_empty(hour)
    _remove_if_empty(day)


def _remove_if_empty(directory: Path) -> None:
    if not any(directory.iterdir()):
        directory.rmdir()


def _hour(started_ns: int) -> int:
    return min(max(0, started_ns), _LAST_NS) // _HOUR_NS


def _partition(hour: int) -> str:
    return datetime.fromtimestamp(hour * 3_600, UTC).strftime("date=%Y-%m-%d/hour=%H")


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
