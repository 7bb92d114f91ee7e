"""A Redis of the drill's own behind a valve, which can make it slow, or gone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from tidegate.drill.simulators import Absent
from tidegate.supervisor.commands import free_port

SERVER: Final = "redis-server"
SLOW_S: Final = 1.0
_UP_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.02
_READ_BYTES: Final = 65536


def is_installed() -> bool:
    """Whether there is a Redis to drill with."""
    return shutil.which(SERVER) is not None


class Redis:
    """The process, and the valve through which everybody reaches it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._behind = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._delay_s = 0.0
        self.port = free_port()

    async def start(self) -> None:
        """Be there, and quick. Raises: `Absent`."""
        self._delay_s = 0.0
        if self._process is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._process = await asyncio.to_thread(self._launch)
            await self._until_up()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def slow(self) -> None:
        """Pass everything on a second late."""
        self._delay_s = SLOW_S

    async def stop(self) -> None:
        """Cut every connection and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            await self._listener.wait_closed()
            self._listener = None

    async def close(self) -> None:
        """End the process too."""
        await self.stop()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _launch(self) -> subprocess.Popen[bytes]:
        options = ("--port", str(self._behind), "--bind", "127.0.0.1", "--save", "")
        return subprocess.Popen(  # noqa: S603 - found on the path, with our own options
            [str(shutil.which(SERVER)), *options, "--dir", str(self._directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    async def _until_up(self) -> None:
        for _ in range(round(_UP_WITHIN_S / _POLL_S)):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._behind)
                writer.close()
                return
            await asyncio.sleep(_POLL_S)
        raise Absent(f"The {SERVER} was not up after {_UP_WITHIN_S:g} s.")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, here = await asyncio.open_connection("127.0.0.1", self._behind)
            self._open |= {writer, here}
            try:
                await asyncio.gather(self._pass(reader, here), self._pass(there, writer))
            finally:
                self._open -= {writer, here}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
