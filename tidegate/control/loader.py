"""Moves what is in the spool into the store: each once, in order, then deletes the segment.

Nearly all of it are records; between them stand the answers that are kept to be continued, and how
far requests have got that hold money.

However often the loader dies, and at any moment: a segment's rows and the offset behind them are
committed together, and a segment is deleted only when its writer is gone and all of it is
committed. One loader at a time works on a spool; a second one waits.

A damaged frame is never loaded and never silently dropped: the segment gets a second name in
`bad/`, where it stays, and the log says so.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tidegate.alerts.objectives import Objective
from tidegate.control.brief import Brief
from tidegate.control.burns import is_slow
from tidegate.control.measures import Measures
from tidegate.control.observing import Sampler
from tidegate.control.rows import read
from tidegate.files import write_private
from tidegate.ledger.segment import (
    SpoolCorrupt,
    claim,
    lock,
    read_segment,
    segments,
)
from tidegate.store.records import RecordStore
from tidegate.store.rows import Added, Batch, Place
from tidegate.telemetry.record import Record

QUARANTINE = "bad"
LOCK_FILE = "loader.lock"
NAME_FILE = "spool.id"
"""What the spool is called in the store: several may be loaded into one."""

_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_OBJECTS = 100_000
"""About as many are made for a batch."""

_log = logging.getLogger("tidegate.control")


Ended = list[Brief | Record]
"""The records of a batch, beside their rows and in their order."""
_Part = tuple[Batch, Ended, int]
"""Of a segment: and up to where it was read."""


class Loader:
    """The one reader of a spool `directory`, and the one writer of `store`.

    `measures` counts each record that the store has taken; what is slow by the `objectives` of its
    alias is noted with it.
    """

    def __init__(
        self,
        directory: Path,
        store: RecordStore,
        *,
        batch_rows: int = 4_000,
        measures: Measures | None = None,
        objectives: Callable[[], Mapping[str, Objective]] = dict,
    ) -> None:
        self._directory = directory
        self._store = store
        self._batch_rows = batch_rows
        self._measures = measures or Measures()
        self._sampler = Sampler()
        self._objectives = objectives
        self._reader = ThreadPoolExecutor(1, "tidegate-spool")
        self._lock_fd: int | None = None
        self._name = ""
        self._offsets: dict[str, int] = {}
        self._stuck: set[str] = set()

    @property
    def spool(self) -> str:
        """The name of the spool in the store; empty until it was ours for the first time."""
        return self._name

    def load(self) -> int | None:
        """Load everything that is in the spool now; return how many records were new.

        None when another loader holds the spool. Raises: `OSError`, `SQLAlchemyError`; nothing is
        lost by either, the next call goes on where this one stopped.
        """
        if self._lock_fd is None and not self._begin():
            return None
        if not self._store.exists():
            _log.error("the store was deleted while it was in use; a new one is made")
            self._store.create()
        with _seldom_collected():
            return sum(self._load_segment(path) for path in segments(self._directory))

    def waiting(self) -> tuple[int, int]:
        """How many segments have something that is not loaded, and how many bytes it is."""
        count = size_bytes = 0
        for path in segments(self._directory):
            try:
                rest_bytes = path.stat().st_size - self._offsets.get(path.name, 0)
            except FileNotFoundError:
                continue
            if rest_bytes > 0:
                count += 1
                size_bytes += rest_bytes
        return count, size_bytes

    def close(self) -> None:
        """Let another loader have the spool."""
        self._reader.shutdown()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _begin(self) -> bool:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mine = lock(fd)
            if mine:
                self._name = _name_of(self._directory)
                self._store.name_spool(self._name)
                self._offsets = self._store.offsets(self._name)
                present = {path.name for path in segments(self._directory)}
                for name in self._offsets.keys() - present:  # died between deleting and forgetting
                    self._forget(name)
        except BaseException:
            os.close(fd)
            raise
        if mine:
            self._lock_fd = fd
        else:
            os.close(fd)
        return mine

    def _load_segment(self, path: Path) -> int:
        try:
            with claim(path) as finished:  # asked before reading, so that the end read is the end
                loaded = 0
                batches = self._batches(path, self._offsets.get(path.name, 0))
                with closing(self._ahead(batches)) as ahead:
                    for batch, ended, offset in ahead:
                        loaded += self._commit(path, batch, ended, offset)
                if finished:
                    self._finish(path)
        except FileNotFoundError:  # a writer deletes its segment when it wrote nothing
            return 0
        return loaded

    def _ahead(self, batches: Iterator[_Part]) -> Generator[_Part]:
        # The next batch is read while one is written: then the database is waited for, or works.
        coming = next(batches, None)
        while (batch := coming) is not None:
            if len(batch[0]) < self._batch_rows:  # very likely the last one
                yield batch
                coming = next(batches, None)
                continue
            reading = self._reader.submit(next, batches, None)
            try:
                yield batch
            finally:
                wait([reading])
            coming = reading.result()

    def _batches(self, path: Path, offset: int) -> Iterator[_Part]:
        batch, ended = Batch(), Ended()
        rows, size_bytes, committed = 0, 0, offset
        for payload, behind in self._payloads(path, offset):
            offset = behind
            if payload is not None and self._read(path, payload, behind, batch, ended):
                rows += 1
                size_bytes += len(payload)
            if rows >= self._batch_rows or size_bytes >= _BATCH_BYTES:
                yield batch, ended, offset
                batch, ended = Batch(), Ended()
                rows, size_bytes, committed = 0, 0, offset
        if offset > committed:
            yield batch, ended, offset

    def _payloads(self, path: Path, offset: int) -> Iterator[tuple[bytes | None, int]]:
        # As `read_segment`, and steps over damaged frames where the next one can be found.
        while path.name not in self._stuck:
            try:
                for payload, behind in read_segment(path, offset):
                    yield payload, behind
                    offset = behind
            except SpoolCorrupt as corrupt:
                self._quarantine(path, corrupt.offset, "the frame is damaged")
                if corrupt.resume is None:
                    self._stuck.add(path.name)
                else:
                    offset = corrupt.resume
                    yield None, offset
            else:
                return

    def _read(self, path: Path, payload: bytes, behind: int, batch: Batch, ended: Ended) -> bool:
        try:
            read(payload, batch, ended, self._sampler)
        except msgspec.DecodeError as error:
            self._quarantine(path, behind - len(payload), f"not a record: {error}")
            return False
        return True

    def _commit(self, path: Path, batch: Batch, ended: Ended, offset: int) -> int:
        self._note_slow(batch, ended)
        added = self._store.insert(batch, Place(self._name, path.name, offset))
        self._offsets[path.name] = offset
        if ended:
            taken = ended if not added.known else _taken(batch, ended, added)
            self._measures.take(taken, found=added.found)
        if added.judged:
            self._measures.judge(added.judged)
        if added.known:
            _log.error(
                "%d records of %s have request ids that the store knows; they were left out",
                added.known,
                path.name,
            )
        return added.new

    def _note_slow(self, batch: Batch, ended: Ended) -> None:
        promised = {
            alias: each.under_s
            for alias, each in self._objectives().items()
            if each.latency is not None
        }
        if promised:
            for row, record in zip(batch.records, ended, strict=True):
                under_s = promised.get(record.alias or "")
                if under_s is not None and is_slow(record, under_s):
                    row["slow"] = True

    def _finish(self, path: Path) -> None:
        rest_bytes = path.stat().st_size - self._offsets.get(path.name, 0)
        if rest_bytes and path.name not in self._stuck:
            _log.warning(
                "%s ends in a cut frame of %d bytes, dropped: its writer died in the middle of it, "
                "before the request was answered in full",
                path.name,
                rest_bytes,
            )
        path.unlink()
        if path.name in self._offsets:
            self._forget(path.name)
        self._stuck.discard(path.name)

    def _forget(self, name: str) -> None:
        self._store.forget(self._name, name)
        del self._offsets[name]

    def _quarantine(self, path: Path, offset: int, why: str) -> None:
        kept = self._directory / QUARANTINE / path.name
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        if not kept.exists():
            os.link(path, kept)
        _log.error(
            "%s at byte %d: %s; not loaded, the segment is kept in %s",
            path.name,
            offset,
            why,
            kept.parent,
        )


@contextmanager
def _seldom_collected() -> Generator[None]:
    # Rows come by the thousand and refer to nothing that refers to them: to look for circles among
    # them, again and again, took a tenth of the time.
    often = gc.get_threshold()
    gc.set_threshold(_BATCH_OBJECTS, *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)


def _taken(batch: Batch, ended: Ended, added: Added) -> Ended:
    """Of `ended`, those that the store has not left out."""
    names = set(added.records)
    taken: Ended = []
    for row, record in zip(batch.records, ended, strict=True):
        if row["request_id"] in names:
            names.remove(row["request_id"])  # of two in one batch the first one was taken
            taken.append(record)
    return taken


def _name_of(directory: Path) -> str:
    # Written beside its place first: a name that was cut short by a crash would be another name.
    path = directory / NAME_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(8).encode())
    return path.read_text().strip()
