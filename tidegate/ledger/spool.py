"""The gateway's end of the spool: records go into segment files, the control process loads them.

What holds:

- All records appended during one turn of the event loop share one `os.write`.
- Once the future that `append` returned is done, the record outlives the process, `kill -9`
  included: it is in the operating system's hands. Nothing is synced, so a power cut or a kernel
  crash can cost the last seconds, up to what the system had not written out yet.
- A record that the disk takes in part is cut off again and tried anew; until then it waits in
  memory. Frames within a segment are whole, save one cut at the very end by the writer's death.
- A writer only appends to files that it made itself and holds the lock of.
- A segment is left when it is full or old, whether or not anything is written: what is loaded, and
  was deleted or erased in the store, is not kept by a file that nobody fills.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import deque
from pathlib import Path
from typing import Final

from tidegate.clock import Clock, SystemClock
from tidegate.errors import Unavailable
from tidegate.ledger.segment import SUFFIX, frame, lock

_WRITE_BYTES = 4 * 1024 * 1024
_RETRY_S = 0.2
SEGMENT_S: Final = 60.0
"""How long one segment is written to."""

_log = logging.getLogger("tidegate.spool")


class SpoolFull(Unavailable):
    """The disk refuses records, and as many wait in memory as may."""

    code = "spool_full"
    remedy = "The operator must free space on the disk of `spool.directory`."


class _Segment:
    """A file that is being written; `size_bytes` counts its whole frames."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size_bytes = 0

    def exists(self) -> bool:
        return os.fstat(self.fd).st_nlink > 0

    def close(self) -> None:
        if self.size_bytes == 0:
            self.path.unlink(missing_ok=True)
        os.close(self.fd)


class SpoolWriter:
    """The gateway's end of the spool; lives on one event loop."""

    def __init__(
        self,
        directory: Path,
        *,
        writer: str,
        segment_bytes: int = 16 * 1024 * 1024,
        segment_s: float = SEGMENT_S,
        max_pending_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", writer):
            raise ValueError(f"writer {writer!r} must be letters, digits, '.', '_' or '-'")
        self._directory = directory
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._max_pending_bytes = max_pending_bytes
        self._clock = clock or SystemClock()
        # Asked for once: before Python 3.12 each asking costs a system call.
        self._loop = asyncio.get_running_loop()
        self._segment: _Segment | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._named_ns = 0
        self._pending: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._pending_bytes = 0
        self._due: asyncio.Handle | None = None
        self._refused = False
        self._closed = False

    @property
    def healthy(self) -> bool:
        """False while the disk refuses and the records that wait have reached their bound.

        As much again is still taken, for the requests that are under way; new ones should not be.
        """
        return self._pending_bytes < self._max_pending_bytes

    @property
    def pending_bytes(self) -> int:
        """Size of the records that are not written yet."""
        return self._pending_bytes

    def append(self, payload: bytes) -> asyncio.Future[None]:
        """Queue one record; the future is done when it is written.

        Each caller has its own future, so one who gives up waiting disturbs nobody; the record is
        written all the same. While the disk refuses, the future is done when the record is safe in
        memory, from where it is written as soon as the disk takes it.

        Raises: `SpoolFull` when twice `max_pending_bytes` wait already; the record is not taken.
        """
        if self._closed:
            raise RuntimeError("the spool is closed")
        if self._pending_bytes >= 2 * self._max_pending_bytes:
            raise SpoolFull("The disk of the spool is full and so is the memory kept for records.")
        loop = self._loop
        framed = frame(payload)
        written: asyncio.Future[None] = loop.create_future()
        self._pending.append((framed, written))
        self._pending_bytes += len(framed)
        if self._due is None:
            self._due = loop.call_soon(self._flush)
        return written

    def close(self) -> None:
        """Write what waits, then let the segment go. Call it on the loop, before the loop ends.

        Raises: `SpoolFull` when the disk still refuses; says how many records are lost by that.
        """
        if self._closed:
            return
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        try:
            self._write_pending()
        except OSError as error:
            lost = SpoolFull(f"{len(self._pending)} records could not be written: {error}")
            for _, written in self._pending:
                if not written.done():
                    written.set_exception(lost)
            raise lost from error
        finally:
            self._leave_segment()

    def _flush(self) -> None:
        self._due = None
        try:
            self._write_pending()
        except OSError as error:
            # The segment is given up: once nobody writes to it, it can be loaded and deleted,
            # which may be what frees the space.
            self._leave_segment()
            self._due = self._loop.call_later(_RETRY_S, self._flush)
            # Nobody waits for a disk to be mended: the answers go out, and the records stay here.
            for _, written in self._pending:
                if not written.done():
                    written.set_result(None)
            if not self._refused:
                self._refused = True
                _log.error(
                    "the spool's disk refuses records, they wait in memory: %s",
                    error,
                    extra={"fields": {"directory": str(self._directory)}},
                )
        else:
            if self._refused:
                self._refused = False
                _log.warning("the spool's disk takes records again, none was lost")

    def _write_pending(self) -> None:
        while self._pending:
            segment = self._writable_segment()
            frames: list[bytes] = []
            size_bytes = 0
            for framed, _ in self._pending:
                frames.append(framed)
                size_bytes += len(framed)
                if size_bytes >= _WRITE_BYTES:
                    break
            self._write(segment, frames)

    def _write(self, segment: _Segment, frames: list[bytes]) -> None:
        data = memoryview(b"".join(frames))
        written_bytes = 0
        try:
            while written_bytes < len(data):  # a second turn only when the disk filled up
                written_bytes += os.write(segment.fd, data[written_bytes:])
        finally:
            whole_bytes = self._settle(written_bytes)
            segment.size_bytes += whole_bytes
            if written_bytes > whole_bytes:
                os.ftruncate(segment.fd, segment.size_bytes)

    def _settle(self, written_bytes: int) -> int:
        # Takes the frames that lie wholly within `written_bytes` off the queue; returns their size.
        whole_bytes = 0
        while self._pending and whole_bytes + len(self._pending[0][0]) <= written_bytes:
            framed, written = self._pending.popleft()
            whole_bytes += len(framed)
            if not written.done():
                written.set_result(None)
        self._pending_bytes -= whole_bytes
        return whole_bytes

    def _writable_segment(self) -> _Segment:
        segment = self._segment
        if segment is not None and not segment.exists():
            _log.error("%s was deleted while it was written; so were its records", segment.path)
            self._leave_segment()
        elif segment is not None and segment.size_bytes >= self._segment_bytes:
            self._leave_segment()
        if self._segment is None:
            self._segment = self._new_segment()
            self._leaving = self._loop.call_later(self._segment_s, self._leave_segment)
        return self._segment

    def _leave_segment(self) -> None:
        segment, self._segment = self._segment, None
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if segment is not None:
            segment.close()

    def _new_segment(self) -> _Segment:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            self._named_ns = max(self._clock.now_ns(), self._named_ns + 1)
            path = self._directory / f"{self._named_ns:020d}-{self._writer}{SUFFIX}"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            except FileExistsError:
                continue
            segment = _Segment(path, fd)
            try:
                mine = lock(fd) and segment.exists()
            except OSError:
                segment.close()
                raise
            if mine:
                return segment
            # Before it was locked, a reader took the file for a dead writer's, and deletes it.
            os.close(fd)
