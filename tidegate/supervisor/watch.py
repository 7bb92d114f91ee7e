"""Notices when a file was written, so that nobody has to send a signal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

_Stamp = tuple[int, int, int]


async def changes(path: Path, *, poll_s: float = 0.5) -> AsyncIterator[None]:
    """Yield each time `path` has changed and then been left alone for one poll.

    Half-written files are thus not looked at, and a file that is replaced by a rename (editors,
    mounted secrets) counts as changed. A file that has gone is waited for.
    """
    told = seen = _stamp(path)
    while True:
        await asyncio.sleep(poll_s)
        now = _stamp(path)
        if now is not None and now == seen and now != told:
            told = now
            yield
        seen = now


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
