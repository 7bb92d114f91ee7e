"""Long work on the event loop, one step of it in each turn, whosever it is.

However many wait, what else the loop has to do waits for one step at a time; among themselves they
take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from tidegate.guard.redaction import Steps, TooHard

MOST_WAITING: Final = 256


class Stepper:
    """Does what comes in steps; one for each event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Steps[None], asyncio.Future[None]]] = deque()

    def begin(self, steps: Steps[None]) -> asyncio.Future[None] | None:
        """Do the first step now; None if that was all, else what is done when all of them are.

        Whatever the steps raise, the future raises; cancelling it ends them. Raises: `TooHard` when
        too many wait.
        """
        try:
            next(steps)
        except StopIteration:
            return None
        if len(self._waiting) >= MOST_WAITING:
            steps.close()
            raise TooHard
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._turn)
        self._waiting.append((steps, done))
        return done

    def _turn(self) -> None:
        steps, done = self._waiting.popleft()
        if done.cancelled():
            steps.close()
        else:
            try:
                next(steps)
            except StopIteration:
                done.set_result(None)
            except Exception as error:  # noqa: BLE001 - whoever waits for it is told
                done.set_exception(error)
            else:
                self._waiting.append((steps, done))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
