"""The format of a segment: how records stand in a file, and how the file is read and claimed.

A segment is a row of frames: length, its complement, CRC-32 of the payload (three little-endian
unsigned 32-bit words), then the payload. The complement makes a damaged length visible, so that a
record that was cut at the end of a file is never confused with one that was changed.

Whoever writes a segment holds its lock. Whoever else can take that lock knows that the file will
never grow again.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

SUFFIX = ".spool1"
"""Ending of segment names; the digit is the version of the format."""

_HEADER = struct.Struct("<III")
_ONES = 0xFFFF_FFFF
_READ_BYTES = 1024 * 1024


class SpoolCorrupt(Exception):
    """A frame of a segment is not what was written, and the reason is not a cut at the end.

    `resume` is where the next frame begins; None when the damage hides that.
    """

    def __init__(self, path: Path, offset: int, resume: int | None) -> None:
        super().__init__(f"{path.name} is damaged at byte {offset}")
        self.path = path
        self.offset = offset
        self.resume = resume


def frame(payload: bytes) -> bytes:
    """`payload` as it stands in a segment."""
    length = len(payload)
    return _HEADER.pack(length, length ^ _ONES, crc32(payload)) + payload


def segments(directory: Path) -> list[Path]:
    """The segments in `directory`, oldest first; none when it does not exist."""
    try:
        return sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except FileNotFoundError:
        return []


def read_segment(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Each whole payload from `offset` on, with the offset behind it; ends before a cut frame.

    Raises: `SpoolCorrupt` at a frame that was changed; everything before it has been yielded.
    """
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(offset)
        read, at = b"", 0  # `read[at:]` is what stands at `offset`
        while offset + _HEADER.size <= end:
            body = at + _HEADER.size
            if body > len(read):
                read, at, body = read[at:] + file.read(_READ_BYTES), 0, _HEADER.size
                if body > len(read):  # its writer has just taken a cut frame back
                    return
            length, complement, checksum = _HEADER.unpack_from(read, at)
            if length ^ _ONES != complement:
                raise SpoolCorrupt(path, offset, None)
            behind = offset + _HEADER.size + length
            if behind > end:
                return
            if body + length > len(read):
                more = file.read(max(_READ_BYTES, length))
                read, at, body = read[at:] + more, 0, _HEADER.size
            at = body + length
            payload = read[body:at]
            if crc32(payload) != checksum:
                raise SpoolCorrupt(path, offset, behind)
            yield payload, behind
            offset = behind


@contextmanager
def claim(path: Path) -> Generator[bool]:
    """Whether the segment's writer is gone for good; while inside, nobody else can claim it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield lock(fd)
    finally:
        os.close(fd)


def lock(fd: int) -> bool:
    """Take the lock of an open segment; False when another holds it. Closing `fd` frees it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
