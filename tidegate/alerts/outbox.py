"""What is still to be delivered, and to whom: in a file, so that no restart loses or repeats it.

A message that came before under the same id is known, and not taken again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidegate.alerts.machine import Memory, essence
from tidegate.alerts.notices import Notice

MOST_OWED: Final = 100
"""For each sink; the oldest goes first."""
MOST_KNOWN: Final = 500


class Owed(Struct, frozen=True):
    """A message, and who has not got it."""

    notice: Notice
    sinks: tuple[str, ...]


class Kept(Struct, frozen=True):
    """All that the file holds."""

    memory: Memory = Memory()
    """Of what concerns this machine."""
    owed: tuple[Owed, ...] = ()
    known: tuple[str, ...] = ()


class Outbox:
    """The one writer of `path`; used by several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = Lock()
        self.kept = read(path)

    def add(self, notices: Iterable[Notice], sinks: Sequence[str]) -> list[Notice]:
        """Owe `notices` to all `sinks`, on the disk when it returns; those that are new.

        Raises: `OSError`; they are owed all the same, as long as the process lives.
        """
        with self._turn:
            fresh = [each for each in notices if each.id not in self.kept.known]
            if fresh:
                owed = (*self.kept.owed, *(Owed(each, tuple(sinks)) for each in fresh if sinks))
                known = (*self.kept.known, *(each.id for each in fresh))[-MOST_KNOWN:]
                self._keep(replace(self.kept, owed=_bounded(owed), known=known))
        return fresh

    def settle(self, notice: Notice, sink: str) -> None:
        """Owe it to `sink` no more. Raises: `OSError`, as `add`."""
        with self._turn:
            owed = (
                Owed(each.notice, tuple(name for name in each.sinks if name != sink))
                if each.notice.id == notice.id
                else each
                for each in self.kept.owed
            )
            self._keep(replace(self.kept, owed=tuple(each for each in owed if each.sinks)))

    def next(self, sink: str) -> Notice | None:
        """The oldest that is owed to `sink`."""
        return next((each.notice for each in self.kept.owed if sink in each.sinks), None)

    def remember(self, memory: Memory) -> None:
        """Keep what a step left. Raises: `OSError`, as `add`."""
        with self._turn:
            kept, before = replace(self.kept, memory=memory), self.kept.memory
            if essence(memory) != essence(before):
                self._keep(kept)
            self.kept = kept

    def _keep(self, kept: Kept) -> None:
        self.kept = kept
        fresh = self._path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def read(path: Path) -> Kept:
    """What the file holds; nothing where there is none, or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return Kept()


def _bounded(owed: tuple[Owed, ...]) -> tuple[Owed, ...]:
    left: dict[str, int] = {}
    kept: list[Owed] = []
    for each in reversed(owed):
        room = tuple(name for name in each.sinks if left.get(name, 0) < MOST_OWED)
        for name in room:
            left[name] = left.get(name, 0) + 1
        if room:
            kept.append(Owed(each.notice, room))
    return tuple(reversed(kept))
