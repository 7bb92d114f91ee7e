"""One child process, started again with growing pauses for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.parent import CANNOT_START

_GIVES_UP = {CANNOT_START, 2}  # 2: the command line or the configuration is wrong, and stays so
_GIVEN_UP = "cannot run here and is tried again only when the configuration is reloaded"

_log = logging.getLogger("tidegate.supervisor")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pause before start n + 1: `min(most_s, first_s * 2**n)`, n deaths in a row before it.

    A life of `reset_s` or more makes n zero again.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    reset_s: float = 60.0

    def pause_s(self, deaths: int) -> float:
        """Seconds to wait after the last of `deaths` (1 or more) in a row."""
        return min(self.most_s, self.first_s * 2.0 ** min(deaths - 1, 30))


class Child:
    """A process to keep: `start` it once, `stop` it once; deaths in between are made good."""

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        pass_fds: tuple[int, ...] = (),
        backoff: Backoff,
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._pass_fds = pass_fds
        self._backoff = backoff
        self._monotonic = monotonic
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._unwanted = asyncio.Event()
        self._hopeful = asyncio.Event()
        self._end_with = signal.SIGTERM

    def start(self) -> None:
        """Begin to keep the process; returns before it runs."""
        self._task = asyncio.create_task(self._keep(), name=f"child {self.name}")

    def reload(self) -> None:
        """Let the process read its configuration again; start it if it had given up."""
        self._send(signal.SIGHUP)
        self.revive()

    def revive(self) -> None:
        """Start the process if it had said that it cannot run; else nothing."""
        self._hopeful.set()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process without its consent, and for good."""
        self._end(signal.SIGKILL)

    async def stop(self, wait_s: float) -> None:
        """Ask the process to end; kill it when it has not after `wait_s`. Returns when it is gone.

        Nothing happens to a child that was never started.
        """
        if self._task is None:
            return
        if not self._unwanted.is_set():
            self._end(signal.SIGTERM)
        done, _ = await asyncio.wait({self._task}, timeout=wait_s)
        if not done:
            self._say(logging.WARNING, "did not end in time and is killed", waited_s=wait_s)
            self.kill()
        await self._task

    def _end(self, number: signal.Signals) -> None:
        self._end_with = number
        self._unwanted.set()
        self._hopeful.set()
        self._send(number)

    async def _keep(self) -> None:
        deaths = 0
        while not self._unwanted.is_set():
            born = self._monotonic()
            code = await self._live()
            if self._unwanted.is_set():
                self._say(logging.INFO, "ended", code=code)
                return
            if code in _GIVES_UP:
                self._say(logging.ERROR, _GIVEN_UP, code=code)
                self._hopeful.clear()
                await self._hopeful.wait()
                continue
            if code == -signal.SIGHUP:
                continue  # told to reload before it listened for that; a new one reads the new file
            deaths = 1 if self._monotonic() - born >= self._backoff.reset_s else deaths + 1
            pause_s = self._backoff.pause_s(deaths)
            self._say(logging.WARNING, "died and is started again", code=code, pause_s=pause_s)
            await self._pause(pause_s)

    async def _live(self) -> int | None:
        """One life of the process, from start to end; its exit code, None if it never began."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                env=self._environment,
                pass_fds=self._pass_fds,
                # Its own group: Ctrl-C in a terminal reaches the supervisor alone, which then
                # stops everybody in order.
                process_group=0,
            )
        except OSError as error:
            self._say(logging.ERROR, "did not start", error=str(error))
            return None
        self._process = process
        self._say(logging.INFO, "started", pid=process.pid)
        if self._unwanted.is_set():  # while it was being started
            self._send(self._end_with)
        return await process.wait()

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._unwanted.wait()
        except TimeoutError:
            pass

    def _say(self, level: int, message: str, **fields: Any) -> None:
        _log.log(
            level, "%s %s", self.name, message, extra={"fields": {"child": self.name} | fields}
        )
