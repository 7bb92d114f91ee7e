"""A supervisor in a process of its own, with children that tell what happens to them."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

SILENCE_S = 90.0
"""Longer than anything here takes; only reached when a test fails."""

Line = dict[str, Any]


class Supervised:
    """The process, and every JSON line that it or its children wrote, in order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[Line] = []
        self._ended = False
        self._queue: queue.Queue[Line | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for text in self._texts():
            self._queue.put(json.loads(text) if text.startswith("{") else {"text": text})
        self._queue.put(None)

    def _texts(self) -> Iterator[str]:
        assert self.process.stdout is not None
        with suppress(ValueError):  # the test is over, and has closed it
            yield from self.process.stdout

    def until(self, **wanted: Any) -> Line:
        """Wait for a line with these fields and return it; lines before it are passed over."""
        while True:
            line = self._next()
            assert line is not None, f"ended without {wanted}: {self.lines}"
            if all(line.get(name) == value for name, value in wanted.items()):
                return line

    def until_all(self, *wanted: Line) -> None:
        """Wait until there was a line with the fields of each of these, in whatever order."""
        left = list(wanted)
        while left:
            line = self._next()
            assert line is not None, f"ended without {left}: {self.lines}"
            left = [each for each in left if not each.items() <= line.items()]

    def rest(self) -> list[Line]:
        """Wait until everybody who could write has ended; returns the lines not yet read."""
        known = len(self.lines)
        while self._next() is not None:
            pass
        return self.lines[known:]

    def _next(self) -> Line | None:
        if self._ended:
            return None
        line = self._queue.get(timeout=SILENCE_S)
        if line is None:
            self._ended = True
        else:
            self.lines.append(line)
        return line

    def take_in(self) -> None:
        """Read what has been written by now, without waiting."""
        while not self._ended and not self._queue.empty():
            self._next()

    def up(self, *names: str) -> dict[str, int]:
        """Wait until each of these children has said that it is up; returns their pids."""
        while set(names) - {child for child, event in self.events() if event == "up"}:
            self.until(event="up")
        return {line["child"]: line["pid"] for line in self.lines if line.get("event") == "up"}

    def events(self) -> list[tuple[str, str]]:
        return [(line["child"], line["event"]) for line in self.lines if "event" in line]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


Supervise = Callable[..., Supervised]
