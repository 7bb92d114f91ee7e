"""A whole `tidegate serve`: gateways that take over what is done in the console."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from console_house import PATIENCE_S

CONFIG = """
server: {port: 0}
control: {port: 0}
store: sqlite:///tidegate.db
spool: {directory: spool}
providers: {sim: {kind: simulated, length: 3}}
models:
  assistant: {targets: [{provider: sim, model: sim-1}]}
"""


class Gated:
    """The gateway, and the console beside it."""

    def __init__(self, directory: Path, process: subprocess.Popen[str]) -> None:
        self.directory = directory
        self.written: list[str] = []
        """The whole log."""
        self._process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()
        self.gateway: str = self.until("listening")["address"]
        self.url = f"http://127.0.0.1:{self.until('started', 'tidegate.control')['port']}"
        file: str = self.until("the first admin token was made")["file"]
        self.token = Path(file).read_text().strip()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self.written.append(text)
            with suppress(ValueError):  # whoever was killed did not end its line
                self._lines.put(json.loads(text))

    def until(self, message: str, logger: str | None = None) -> dict[str, Any]:
        """Wait for that line of the log."""
        while True:
            line = self._lines.get(timeout=PATIENCE_S)
            if line["message"] == message and logger in (None, line["logger"]):
                return line

    def ask(self, key: str | None = None, model: str = "assistant") -> tuple[int, str]:
        """Ask the gateway something; the status, and the code of a refusal."""
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        asked = urllib.request.Request(
            f"{self.gateway}/v1/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["error"]["code"]

    def api(self, method: str, path: str, body: object = None) -> Any:
        """What the admin API answers to the owner."""
        asked = urllib.request.Request(
            f"{self.url}/admin/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"authorization": f"Bearer {self.token}", "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return json.load(answer)


@contextmanager
def gated(directory: Path, config: str = CONFIG) -> Generator[Gated]:
    """A gateway in `directory`, which ends with the block."""
    path = directory / "tidegate.yaml"
    path.write_text(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "serve", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        reading: threading.Thread | None = None
        try:
            at = Gated(directory, process)
            reading = at.reading
            yield at
        finally:
            process.kill()
            if reading is not None:
                reading.join()  # the children end with it
