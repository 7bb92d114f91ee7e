"""How often gateway processes are replaced by new ones, as their boards show."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from tidegate.policy.board import Board

_WINDOW_NS: Final = 600 * 10**9
_MOST: Final = 1_000
"""Workers, and times of each."""


class Lives:
    """What was seen since this process began; one thread at a time."""

    def __init__(self) -> None:
        self._lives: dict[str, tuple[int, int | None]] = {}
        self._times: dict[str, deque[int]] = {}
        self._totals: dict[str, int] = {}

    @property
    def totals(self) -> Mapping[str, int]:
        """How often each worker was replaced."""
        return dict(self._totals)

    def see(self, boards: Iterable[Board], now_ns: int) -> Mapping[str, int]:
        """How often each worker was replaced in the last ten minutes.

        A process that dies before it has a board is not seen: then one is missing.
        """
        for board in boards:
            life = board.pid, board.started
            before = self._lives.get(board.worker)
            if before is None and len(self._lives) >= _MOST:
                continue
            self._lives[board.worker] = life
            self._totals.setdefault(board.worker, 0)
            if before is not None and before != life:
                self._totals[board.worker] += 1
                times = self._times.setdefault(board.worker, deque(maxlen=_MOST))
                times.append(now_ns)
        lately: dict[str, int] = {}
        for worker, times in self._times.items():
            while times and times[0] <= now_ns - _WINDOW_NS:
                times.popleft()
            lately[worker] = len(times)
        return lately
