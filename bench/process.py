"""Servers under measurement: started in a group of their own on one core, read, ended by pid.

CPU time and memory are read from /proc and summed over the group, so that a server with a master
and a worker is counted whole.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_WAIT_S = 10.0
LOG_TAIL_BYTES = 2000
PORTS = range(20_000, 32_000)
BORN = 19
"""Where `_stat` has the start time, which tells a process from a later one of its number."""


class DidNotStart(Exception):
    """A server ended or stayed silent before it answered; carries the end of its log."""


def cores() -> tuple[int, int]:
    """The core for the server under measurement, and the one for the load and the mock."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def free_port() -> int:
    """A loopback port nobody listens on, below those the kernel gives to outgoing connections."""
    for port in random.sample(PORTS, 100):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise DidNotStart("no free port between 20000 and 32000")


@contextmanager
def pinned(core: int) -> Generator[None]:
    """Children started inside run on `core` only: a child inherits its parent's affinity."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """One started server and all processes of its group."""

    def __init__(
        self, argv: Sequence[str], *, core: int, directory: Path, env: Mapping[str, str]
    ) -> None:
        """Start `argv` in `directory`, with `env` added to ours, its output in `directory/log`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "log"
        self.started_s = time.perf_counter()
        with pinned(core), self.log.open("wb") as log:
            self._process = subprocess.Popen(
                list(argv),
                cwd=directory,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.pid = self._process.pid

    def wait_port(self, port: int, timeout_s: float) -> None:
        """Return as soon as something listens on `port`; DidNotStart if it ends or takes longer."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return
        raise DidNotStart(f"did not listen within {timeout_s:g} s; its log ends:\n{self.tail()}")

    def check_alive(self) -> None:
        """DidNotStart when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise DidNotStart(f"ended with code {code}; its log ends:\n{self.tail()}")

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def pids(self) -> list[int]:
        """The living processes of the group, and their children in groups of their own."""
        found: set[int] = set()
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            fields = _stat(int(entry.name)) if entry.name.isdigit() else []
            if fields:
                parents[int(entry.name)] = int(fields[1])
                if int(fields[2]) == self.pid:
                    found.add(int(entry.name))
        size = -1
        while size != len(found):
            size = len(found)
            found |= {pid for pid, parent in parents.items() if parent in found}
        return sorted(found)

    def cpu_s(self) -> float:
        """CPU time the group has used, in steps of 10 ms."""
        total = 0
        for pid in self.pids():
            fields = _stat(pid)
            if fields:
                total += int(fields[11]) + int(fields[12])
        return total / TICKS_PER_S

    def rss_bytes(self) -> int:
        """Resident memory of the group now."""
        return self._memory(b"VmRSS:")

    def peak_rss_bytes(self) -> int:
        """Largest resident memory so far, summed over the living processes of the group."""
        return self._memory(b"VmHWM:")

    def _memory(self, label: bytes) -> int:
        total = 0
        for pid in self.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += next(
                (int(line.split()[1]) for line in status.splitlines() if line.startswith(label)), 0
            )
        return total * 1024

    def stop(self) -> None:
        """Ask the group to end, then make it; returns when it is gone."""
        born = {pid: _stat(pid)[BORN:] for pid in self.pids()}
        self.resume()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WAIT_S)
        for pid, since in born.items():  # whoever is left did not listen, or lost its parent
            if since and _stat(pid)[BORN : BORN + 1] == since[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait(STOP_WAIT_S)

    def kill(self) -> None:
        """End its first process at once, as a crash would."""
        self._process.kill()
        self._process.wait(STOP_WAIT_S)

    def move(self, core: int) -> None:
        """Let all its threads run on `core` only."""
        for pid in self.pids():
            with suppress(FileNotFoundError, ProcessLookupError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {core})

    def pause(self) -> None:
        """Freeze the group, so that it takes nothing from whoever is measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen group go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (the name before it may hold spaces)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
