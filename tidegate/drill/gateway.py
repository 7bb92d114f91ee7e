"""The gateway that is drilled: `tidegate serve` as a child process, whose log says who is who."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tidegate.drill.simulators import Absent, until_up
from tidegate.ledger.segment import segments
from tidegate.parent import child_environment
from tidegate.store.records import Filter, RecordStore
from tidegate.supervisor.commands import free_port, module_command
from tidegate.telemetry.record import Record, decode

_UP_WITHIN_S: Final = 40.0
_STOP_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05
_MOST_RECORDS: Final = 1_000_000


class OwnGateway:
    """`tidegate serve` with its workers and its control process, on a port of its own."""

    host: Final = "127.0.0.1"

    def __init__(self, configuration: Path, log: Path) -> None:
        self.port = free_port()
        self._log = log
        command = (*module_command("tidegate"), "serve", "--config", str(configuration))
        with log.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=child_environment(os.environ),
                process_group=0,  # Ctrl-C is ours to pass on
            )

    async def until_ready(self) -> None:
        """Return when every worker serves and records are loaded. Raises: `Absent`."""
        what = f"gateway (its log: {self._log})"
        await until_up(self.host, self.port, "/readyz", self._process, what, within_s=_UP_WITHIN_S)
        give_up_s = asyncio.get_running_loop().time() + _UP_WITHIN_S
        while not self._started("tidegate.control"):
            if asyncio.get_running_loop().time() > give_up_s:
                raise Absent(f"The control process did not start; see {self._log}.")
            await asyncio.sleep(_POLL_S)

    def kill_worker(self) -> None:
        """Kill one of the gateway processes, without a word."""
        self._kill("gw-0")

    def kill_control(self) -> None:
        """Kill the control process, if it is there."""
        self._kill("control")

    async def stop(self) -> None:
        """Let it drain and load the last records."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._process.wait, _STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.abandon()

    def abandon(self) -> None:
        """End it now, and whoever it started with it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _kill(self, child: str) -> None:
        pids = [
            line["pid"] for line in self._lines() if line.get("child") == child and "pid" in line
        ]
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[-1], signal.SIGKILL)

    def _started(self, logger: str) -> bool:
        return any(
            line.get("logger") == logger and line.get("message") == "started"
            for line in self._lines()
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        for text in self._log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                line: Any = json.loads(text)
                if isinstance(line, dict):
                    yield line


def waiting(spool: Path) -> set[str]:
    """The names of the segments that are still to be loaded."""
    return {path.name for path in segments(spool)}


def records_in(store_url: str) -> list[Record]:
    """Every record of a store; none while there is no store."""
    store = RecordStore(store_url)
    try:
        if not store.exists():
            return []
        return [decode(found.payload) for found in store.recent(_MOST_RECORDS, Filter())]
    finally:
        store.close()
