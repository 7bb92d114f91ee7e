"""Moves what is in the spool into the store: each once, in order, then deletes the segment.

Nearly all of it are records; between them stand the answers that are kept to be continued.

However often the loader dies, and at any moment: a segment's rows and the offset behind them are
committed together, and a segment is deleted only when its writer is gone and all of it is
committed. One loader at a time works on a spool; a second one waits.

A damaged frame is never loaded and never silently dropped: the segment gets a second name in
`bad/`, where it stays, and the log says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidegate.conversations import kept as conversations
from tidegate.ledger.segment import (
    SpoolCorrupt,
    claim,
    lock,
    read_segment,
    segments,
)
from tidegate.store.records import AnyRow, RecordStore, Row
from tidegate.store.responses import ResponseRow
from tidegate.telemetry.record import decode

QUARANTINE = "bad"
LOCK_FILE = "loader.lock"

_BATCH_BYTES = 16 * 1024 * 1024

_log = logging.getLogger("tidegate.control")


class Loader:
    """The one reader of a spool `directory`, and the one writer of `store`."""

    def __init__(self, directory: Path, store: RecordStore, *, batch_rows: int = 1000) -> None:
        self._directory = directory
        self._store = store
        self._batch_rows = batch_rows
        self._lock_fd: int | None = None
        self._offsets: dict[str, int] = {}
        self._stuck: set[str] = set()

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
        return sum(self._load_segment(path) for path in segments(self._directory))

    def close(self) -> None:
        """Let another loader have the spool."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _begin(self) -> bool:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mine = lock(fd)
            if mine:
                self._offsets = self._store.offsets()
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
                for rows, offset in self._batches(path, self._offsets.get(path.name, 0)):
                    loaded += self._commit(path, rows, offset)
                if finished:
                    self._finish(path)
        except FileNotFoundError:  # a writer deletes its segment when it wrote nothing
            return 0
        return loaded

    def _batches(self, path: Path, offset: int) -> Iterator[tuple[list[AnyRow], int]]:
        rows: list[AnyRow] = []
        size_bytes, committed = 0, offset
        for payload, behind in self._payloads(path, offset):
            offset = behind
            if payload is not None and (row := self._row(path, payload, behind)):
                rows.append(row)
                size_bytes += len(payload)
            if len(rows) >= self._batch_rows or size_bytes >= _BATCH_BYTES:
                yield rows, offset
                rows, size_bytes, committed = [], 0, offset
        if offset > committed:
            yield rows, offset

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

    def _row(self, path: Path, payload: bytes, behind: int) -> AnyRow | None:
        try:
            return _response(payload) if conversations.is_kept(payload) else _record(payload)
        except msgspec.DecodeError as error:
            self._quarantine(path, behind - len(payload), f"not a record: {error}")
            return None

    def _commit(self, path: Path, rows: list[AnyRow], offset: int) -> int:
        new = self._store.insert(rows, path.name, offset)
        self._offsets[path.name] = offset
        if new < len(rows):
            _log.error(
                "%d records of %s have request ids that the store knows; they were left out",
                len(rows) - new,
                path.name,
            )
        return new

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
        self._store.forget(name)
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


def _record(payload: bytes) -> Row:
    record = decode(payload)
    return Row(
        request_id=record.request_id,
        started_ns=record.started_ns,
        alias=record.alias,
        key=record.key,
        outcome=record.outcome,
        provider=record.provider,
        target=record.target,
        payload=payload,
    )


def _response(payload: bytes) -> ResponseRow:
    kept = conversations.decode(payload)
    return ResponseRow(
        id=kept.id,
        owner=kept.owner,
        root=kept.root,
        previous=kept.previous,
        created_ns=kept.created_ns,
        expires_ns=kept.expires_ns,
        payload=payload,
    )
