"""The gateway of the demo: `tidegate serve` as a child process, its log in a file.

How far it has come is read from that log: asking the gateway would leave a failed request in the
records for each time it was too early.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from tidegate.parent import child_environment
from tidegate.supervisor.commands import module_command

_POLL_S = 0.02
_STOP_S = 50.0

_MODEL = "tidegate.providers.local"
_DECIDING = {_MODEL, "tidegate.supervisor"}

Line = dict[str, Any]


class DidNotStart(Exception):
    """The gateway or its model did not come up; the message says why."""


class Server:
    """The running child. Use as a context manager: it is stopped on the way out."""

    def __init__(self, configuration: Path, port: int, log: Path) -> None:
        self._last = ""
        self._model_is_ready = False
        command = (*module_command("tidegate"), "serve", "--config", str(configuration))
        with log.open("ab") as file:
            begin = file.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=child_environment(os.environ),
                process_group=0,  # Ctrl-C is ours to pass on
            )
            self._lines = log.open("rb")
            self._lines.seek(begin)  # what earlier runs wrote is not about this one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._lines.close()

    def wait_for_gateway(self, host: str, port: int, *, within_s: float) -> None:
        """Return when the gateway says that it can serve. Raises: `DidNotStart`."""
        for _ in self._until(within_s):
            if _is_ready(host, port):
                return

    def wait_for_model(self, *, within_s: float) -> None:
        """Return when the embedded model's process says that it is ready. Raises: `DidNotStart`."""
        for _ in self._until(within_s):
            if self._model_is_ready:
                return

    def _until(self, within_s: float) -> Iterator[None]:
        """Yield again and again while there is hope, reading the log; raise when there is none."""
        deadline = time.monotonic() + within_s
        while True:
            code = self._process.poll()  # asked first: then its last words are in the file
            self._read_log()
            yield
            if code is not None:
                raise DidNotStart(f"The gateway ended with exit code {code}. {self._last}".strip())
            if time.monotonic() > deadline:
                raise DidNotStart(f"It was not ready after {within_s:.0f} s. {self._last}".strip())
            time.sleep(_POLL_S)

    def _read_log(self) -> None:
        for line in _complete_lines(self._lines):
            self._last = str(line["message"])
            if line.get("level") == "error" and line["logger"] in _DECIDING:
                raise DidNotStart(self._last)
            if line["logger"] == _MODEL and self._last == "ready":
                self._model_is_ready = True

    def wait(self) -> int:
        """Wait until the process ends by itself; returns its exit code."""
        return self._process.wait()

    def stop(self) -> int:
        """Let running requests finish, then end; returns the exit code. May be called twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _complete_lines(file: IO[bytes]) -> Iterator[Line]:
    """The lines of JSON written since the last call; a half-written one is left for the next."""
    while True:
        place = file.tell()
        text = file.readline()
        if not text.endswith(b"\n"):
            file.seek(place)
            return
        try:
            line: Any = json.loads(text)
        except ValueError:
            line = {"logger": "", "message": text.decode(errors="replace").strip()}
        yield line
