"""A real control process over records and boards that a test made, and its console."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import Any

import msgspec
from console_records import one

from tidegate.ledger.segment import SUFFIX, frame
from tidegate.policy.board import Board, LoadState, PartState, _started
from tidegate.policy.health import TargetState
from tidegate.policy.slots.lane import LaneState
from tidegate.telemetry.record import Record, encode

CONFIG = """
control: {port: 0}
store: sqlite:///tidegate.db
spool: {directory: spool}
"""
PATIENCE_S = 60.0
"""Longer than anything here takes; only reached when a test fails."""


class House:
    """The process, and the directory that it looks after."""

    def __init__(self, directory: Path, process: subprocess.Popen[str]) -> None:
        self.directory = directory
        self.process = process
        self._started: Queue[int] = Queue()
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()
        self.port = self._started.get(timeout=PATIENCE_S)
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = self._token()
        self._segments = 0
        self._loaded = 0

    def _read(self) -> None:
        # The log goes where pytest shows it if a test fails.
        assert self.process.stderr is not None
        for text in self.process.stderr:
            with suppress(ValueError):  # between two tests there is nobody to show it to
                sys.stderr.write(text)
            if '"message":"started"' in text and not self._started.qsize():
                self._started.put(json.loads(text)["port"])

    def _token(self) -> str:
        file, until_s = self.directory / "spool" / "admin.token", time.monotonic() + PATIENCE_S
        while not file.exists():
            assert time.monotonic() < until_s, "there is no admin token"
        return file.read_text().strip()

    def add(self, records: Iterable[Record]) -> None:
        """Have `records` loaded; they are in the store when it returns."""
        written = list(map(encode, records))
        self.spool(written)
        self._loaded += len(written)
        until_s = time.monotonic() + PATIENCE_S
        while self.get("/healthz")["loaded"] < self._loaded:
            assert time.monotonic() < until_s, "the records are not loaded"

    def spool(self, payloads: Iterable[bytes]) -> None:
        """Leave payloads of any kind to be loaded."""
        fresh = self.directory / f"fresh{self._segments}"
        fresh.write_bytes(b"".join(map(frame, payloads)))
        fresh.rename(self.directory / "spool" / f"{self._segments:02d}-made{SUFFIX}")
        self._segments += 1

    def get(self, path: str) -> Any:
        """What the control process answers, as JSON."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE_S) as answer:
            return json.load(answer)

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

    def token_of(self, role: str) -> str:
        """A fresh token of that role."""
        name = f"a-{role}-{random.randrange(10**9)}"
        return self.api("POST", "/tokens", {"name": name, "role": role})["token"]

    def post(self, worker: str = "gw-0", **told: Any) -> None:
        """Put up a status board, as a gateway of this process would."""
        board = Board(
            worker, os.getpid(), _started(os.getpid()), time.time_ns(), time.monotonic(), **told
        )
        state = self.directory / "state"
        state.mkdir(exist_ok=True)
        fresh = state / f"{worker}.new"
        fresh.write_bytes(msgspec.json.encode(board))
        fresh.rename(state / f"{worker}.json")


@contextmanager
def house(directory: Path, more: str = "", config: str = CONFIG) -> Generator[House]:
    """A control process in `directory`, which ends with the block."""
    directory.mkdir(exist_ok=True)
    (directory / "spool").mkdir(exist_ok=True)
    path = directory / "tidegate.yaml"
    path.write_text(config + more)
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate.control", "--config", str(path)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        reading: threading.Thread | None = None
        try:
            at = House(directory, process)
            reading = at.reading
            yield at
        finally:
            process.kill()
            if reading is not None:
                reading.join()


def target(name: str, state: Any = "closed", **told: Any) -> TargetState:
    """A target as a board has it."""
    usual: dict[str, Any] = {
        "since_s": None, "until_s": None, "reason": "", "heard": False, "failures": 0,
        "openings": 0, "outstanding": 3, "calls": 1_200, "failed": 4, "retries": 2, "hedges": 0,
        "first_token_p50_s": 0.41, "first_token_p95_s": 0.98,
    }  # fmt: skip
    return TargetState(name=name, state=state, **(usual | told))


def lane(name: str, **told: Any) -> LaneState:
    """The turns at a target as a board has them."""
    usual: dict[str, Any] = {
        "limit": 40, "running": 3, "waiting": 0, "best_first_token_s": 0.3, "usual_s": 2.0,
        "pace_per_s": None, "waited": 12, "refused": 0,
    }  # fmt: skip
    return LaneState(name=name, **(usual | told))


def busy(at: House, *, targets: Sequence[TargetState] = ()) -> None:
    """Boards of two gateways with something to do."""
    shown = targets or (
        target("openai/gpt-5-mini", calls=8_412, failed=31),
        target("azure/gpt-5-mini", calls=3_207, failed=12, first_token_p50_s=0.62),
        target("openai/gpt-5-nano", calls=5_120, failed=3, first_token_p50_s=0.22),
        target(
            "anthropic/claude-sonnet-4-5", "open", failures=9, openings=2, outstanding=0,
            since_s=time.monotonic() - 41, until_s=time.monotonic() + 19,
            reason="5 failures in a row: upstream_failed", calls=902, failed=64,
        ),
    )  # fmt: skip
    parts = (
        PartState("openai", "account", "main", "usable", outstanding=5, left={"requests": 4_200}),
        PartState("openai", "account", "spare", "resting", until_s=time.monotonic() + 12),
        PartState("azure", "replica", "west", "usable", outstanding=2, latency_s=0.3),
    )
    for number, worker in enumerate(("gw-0", "gw-1")):
        at.post(
            worker,
            targets=tuple(shown),
            parts=parts,
            lanes=(lane(shown[0].name, waiting=2 * number), lane(shown[-1].name, running=0)),
            load=LoadState(running=7 + number, lag_s=0.001, held_nanousd=12_000_000),
        )


__all__ = ["House", "busy", "house", "lane", "one", "target"]
