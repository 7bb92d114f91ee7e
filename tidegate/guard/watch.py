"""Notice what the control process changes in the access document, within two looks a second.

What is in force is the last good document: one that is damaged, too large, not readable or gone
changes nothing, and is told in the log once. So keys that were revoked stay so, and a control
process that is down takes nobody's key away. At the start, when none is in force yet, one that
cannot be used stands for keys that are not known.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from tidegate.guard.access import FILE, Access, decode

LOOK_S = 0.5
LIMIT_BYTES = 64 << 20
ASIDE_BYTES = 256 << 10
"""From this size on a document is read in a thread: the disk may be slow."""

Stamp = tuple[int, int, int]

log = logging.getLogger("tidegate.guard")


async def pause_between() -> None:
    """What passes between two looks."""
    await asyncio.sleep(LOOK_S)


class _Read(Struct, frozen=True):
    """What was found: a document with its digest, or what is wrong."""

    digest: bytes = b""
    access: Access | None = None
    """None if the digest is the one that was known."""
    wrong: str | None = None
    passing: bool = False
    """Whether the file may become readable without a sign of it."""


class Watch:
    """Looks at the access document of `directory`; `access` is the one in force."""

    def __init__(self, directory: Path) -> None:
        self.access = Access()
        self._path = directory / FILE
        self._stamp: Stamp | None = None
        self._settled = False
        self._digest = b""
        self._wrong: str | None = None

    def read(self) -> Access:
        """The document in force, after a look now: empty if there is none yet."""
        stamp = self._moved()
        if stamp is not None:
            self._note(stamp, _read(self._path, self._digest))
        if self._wrong is not None and not self._digest:
            self.access = Access(guarded=True)
        return self.access

    async def first(
        self,
        patience_s: float,
        *,
        pause: Callable[[], Awaitable[object]] = pause_between,
        monotonic: Callable[[], float] = monotonic,
    ) -> Access:
        """As `read`, but a document that is not there yet, or is damaged, is waited for.

        The control process writes one as soon as it can; who serves before it has, serves without
        the limits and keys that only it knows.
        """
        until_s = monotonic() + patience_s
        while not self._known() and monotonic() < until_s:
            await pause()
        if patience_s and not self._digest:
            log.error(
                "no document of keys and limits has come from the control process: those of the"
                " configuration hold alone until it does",
                extra={"fields": {"path": str(self._path)}},
            )
        return self.access

    async def run(
        self,
        changed: Callable[[Access], None],
        *,
        pause: Callable[[], Awaitable[object]] = pause_between,
    ) -> None:
        """Call `changed` with each new document until cancelled; between two looks is a `pause`."""
        while True:
            await pause()
            if await self._look():
                try:
                    changed(self.access)
                except Exception:  # else nobody would hear of the next revoked key
                    log.exception("bug: a change of keys and limits was not taken in whole")

    def _known(self) -> bool:
        self.read()
        return bool(self._digest)

    async def _look(self) -> bool:
        stamp = self._moved()
        if stamp is None:
            return False
        if stamp[2] < ASIDE_BYTES:
            return self._note(stamp, _read(self._path, self._digest))
        return self._note(stamp, await asyncio.to_thread(_read, self._path, self._digest))

    def _moved(self) -> Stamp | None:
        """The file's stamp, if it has to be read.

        After a change it is read once more at the next look: within one tick of the file system's
        clock another change may have left the same stamp.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            if self._stamp is not None or not isinstance(error, FileNotFoundError):
                self._complain(f"it cannot be found: {error.strerror}")
                self._settled = False
            return None
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp == self._stamp and self._settled:
            return None
        return stamp

    def _note(self, stamp: Stamp, read: _Read) -> bool:
        """Put what was read in force; whether that changed anything."""
        if read.wrong is not None:
            self._complain(read.wrong)
        else:
            self._wrong = None
        self._settled = stamp == self._stamp and not read.passing
        self._stamp = stamp
        if read.access is None:
            return False
        self._digest, self.access = read.digest, read.access
        return True

    def _complain(self, wrong: str) -> None:
        if wrong != self._wrong:
            log.error(
                "the document of keys and limits cannot be used, what it said before holds",
                extra={"fields": {"path": str(self._path), "reason": wrong}},
            )
        self._wrong = wrong


def _read(path: Path, known: bytes) -> _Read:
    """What is in `path`, if its digest is not `known`."""
    try:
        # Were it a pipe, opening it would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return _Read(wrong="it is no file")
            # It may grow while it is read.
            data = file.read(LIMIT_BYTES + 1) if found.st_size <= LIMIT_BYTES else None
    except OSError as error:
        return _Read(wrong=f"it cannot be read: {error.strerror}", passing=True)
    if data is None or len(data) > LIMIT_BYTES:
        return _Read(wrong=f"it is larger than {LIMIT_BYTES >> 20} MiB")
    digest = sha256(data).digest()
    if digest == known:
        return _Read()
    try:
        return _Read(digest, decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _Read(wrong=f"it is no access document: {error}")
