"""The status board: what one gateway process knows of its targets, in a file for others to read.

Each process writes `state/WORKER.json` beside the spool: as a whole or not at all, only when
something changed, at most once a second, and never in the way of a request. Readers need no
connection to it. A file whose process is gone says nothing any more and is passed over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tidegate.clock import Clock, SystemClock
from tidegate.files import write_private
from tidegate.policy.health import TargetState, Wards
from tidegate.policy.slots.lane import LaneState

EVERY_S = 1.0
SUFFIX = ".json"
_LIMIT_BYTES = 16 << 20
_NS = 1_000_000_000
_STATE_AND_START = 0, 19
"""Where these stand in /proc/PID/stat, counted from behind the name."""

log = logging.getLogger("tidegate.policy")


class PartState(Struct, frozen=True):
    """A provider's account or replica, as whoever looks after it tells it."""

    provider: str
    kind: Literal["account", "replica"]
    name: str
    state: str
    """`usable`, or why it is not, or not fully: `resting`, `retired`, `warming`, `ejected` …"""
    until_s: float | None = None
    """When it may be used again, if that is known; monotonic."""
    outstanding: int | None = None
    failures: int | None = None
    """In a row."""
    times_out: int = 0
    """How often it was taken out of use."""
    latency_s: float | None = None
    left: dict[str, float] = {}
    """What the provider's own headers say is left of the quota, by kind of allowance."""


class SharedState(Struct, frozen=True):
    """How sharing breakers with other gateways goes."""

    state: Literal["connecting", "up", "down"]
    since_s: float
    reason: str = ""


class LoadState(Struct, frozen=True):
    """How much a process has to do."""

    running: int = 0
    """Requests that are being answered."""
    admitted: int = 0
    """Those of them that limits count."""
    held_nanousd: int = 0
    """What they hold of budgets."""
    exceeded: int = 0
    """Requests that ever cost more than was held for them."""
    shed: int = 0
    """Requests that were ever refused because there was too much to do."""
    share: float = 1.0
    """Of new requests, what is let in."""
    lag_s: float = 0.0
    """How long whatever is ready waits."""
    pending_bytes: int = 0
    """Records that are not in the spool yet."""


class LimitState(Struct, frozen=True):
    """A limit of one scope; money is in nano-dollars."""

    kind: str
    name: str
    limit: str
    most: int
    left: int
    held: int = 0


class Board(Struct, frozen=True):
    """One process's board. Its monotonic times are as of `written_s`, which was `written_ns`."""

    worker: str
    pid: int
    started: int | None
    """When the process began, in the kernel's own count; a process number may be used again."""
    written_ns: int
    written_s: float
    targets: tuple[TargetState, ...] = ()
    parts: tuple[PartState, ...] = ()
    shared: SharedState | None = None
    load: LoadState | None = None
    lanes: tuple[LaneState, ...] = ()
    limits: tuple[LimitState, ...] = ()
    """Some of them."""
    counting: SharedState | None = None
    """How counting limits in Redis goes; None where they are counted here."""

    def now_s(self, now_ns: int) -> float:
        """The Unix time `now_ns` on the clock of this board's own times."""
        return self.written_s + max(0, now_ns - self.written_ns) / _NS


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked at for the board."""

    wards: Wards
    parts: Callable[[float], tuple[PartState, ...]] = lambda _now_s: ()
    """Accounts and replicas at that time. Their times are rounded, so that equal ones stay so."""
    shared: Callable[[], SharedState | None] = lambda: None
    load: Callable[[], LoadState | None] = lambda: None
    """Rounded, too."""
    lanes: Callable[[], tuple[LaneState, ...]] = tuple
    limits: Callable[[], tuple[LimitState, ...]] = tuple
    counting: Callable[[], SharedState | None] = lambda: None


class Poster:
    """Writes the board of this process; lives on one event loop."""

    def __init__(
        self, directory: Path, worker: str, sources: Sources, *, clock: Clock | None = None
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", worker):
            raise ValueError(f"worker {worker!r} must be letters, digits, '.', '_' or '-'")
        self.path = directory / f"{worker}{SUFFIX}"
        self._worker = worker
        self._sources = sources
        self._clock = clock or SystemClock()
        self._posted: object = None
        self._failing = False

    async def run(self, every_s: float = EVERY_S) -> None:
        """Post until cancelled, then take the board down."""
        try:
            while True:
                await self.post()
                await asyncio.sleep(every_s)
        finally:
            self.path.unlink(missing_ok=True)

    async def post(self) -> bool:
        """Write the board if anything changed since it was written last; whether it was written.

        A disk that refuses is logged once, and tried again the next time.
        """
        now_s, sources = asyncio.get_running_loop().time(), self._sources
        seen = (
            sources.wards.snapshot(now_s),
            sources.parts(now_s),
            sources.shared(),
            sources.load(),
            sources.lanes(),
            sources.limits(),
            sources.counting(),
        )
        if seen == self._posted:
            return False
        board = Board(
            worker=self._worker,
            pid=os.getpid(),
            started=_started(os.getpid()),
            written_ns=self._clock.now_ns(),
            written_s=now_s,
            targets=seen[0],
            parts=seen[1],
            shared=seen[2],
            load=seen[3],
            lanes=seen[4],
            limits=seen[5],
            counting=seen[6],
        )
        writing = asyncio.ensure_future(asyncio.to_thread(_write, self.path, board))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])  # or it would be written after it was taken down
            raise
        except OSError as error:
            if not self._failing:
                log.error("the status board cannot be written: %s", error)  # noqa: TRY400
            self._failing = True
            return False
        self._failing = False
        self._posted = seen
        return True


def state_directory(spool: Path) -> Path:
    """Where boards are, beside the directory of the spool."""
    return spool.parent / "state"


def read_boards(directory: Path) -> list[Board]:
    """The boards of the processes that live, by worker; none when there is no such directory."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [board for board in map(_read, paths) if board is not None and _lives(board)]


def shown(boards: list[Board], now_ns: int) -> dict[str, list[dict[str, Any]]]:
    """`boards` for programs: plain values, every time counted from now, the worker in each row."""
    return {
        "gateways": [
            {"worker": board.worker, "pid": board.pid, "shared": _plain(board.shared, at_s)}
            for board, at_s in _at(boards, now_ns)
        ],
        "targets": [
            {"worker": board.worker, **_plain(target, at_s)}
            for board, at_s in _at(boards, now_ns)
            for target in board.targets
        ],
        "lanes": [
            {"worker": board.worker, **msgspec.structs.asdict(lane)}
            for board in boards
            for lane in board.lanes
        ],
        "parts": [
            {"worker": board.worker, **_plain(part, at_s)}
            for board, at_s in _at(boards, now_ns)
            for part in board.parts
        ],
    }


def _at(boards: list[Board], now_ns: int) -> Iterator[tuple[Board, float]]:
    return ((board, board.now_s(now_ns)) for board in boards)


def _plain(value: TargetState | PartState | SharedState | None, now_s: float) -> dict[str, Any]:
    if value is None:
        return {"state": "off"}
    fields = msgspec.structs.asdict(value)
    if "since_s" in fields:
        since_s: float | None = fields.pop("since_s")
        fields["for_s"] = None if since_s is None else round(max(0.0, now_s - since_s), 3)
    if "until_s" in fields:
        until_s: float | None = fields.pop("until_s")
        fields["retry_in_s"] = None if until_s is None else round(max(0.0, until_s - now_s), 3)
    return fields


_decoder = msgspec.json.Decoder(Board)


def _write(path: Path, board: Board) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, msgspec.json.encode(board))


def _read(path: Path) -> Board | None:
    """The board in the file `path`; None when it is none, or gone by now."""
    try:
        with path.open("rb") as file:
            return _decoder.decode(file.read(_LIMIT_BYTES))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lives(board: Board) -> bool:
    """Whether the process that wrote `board` is still there, and no other by its number."""
    if board.started is not None or board.pid <= 0:
        return _started(board.pid) == board.started
    try:
        os.kill(board.pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _started(pid: int) -> int | None:
    """When the process `pid` began, on Linux; None where that cannot be known, or it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    state, start = (fields[index] for index in _STATE_AND_START)
    return None if state in "ZX" else int(start)
