"""What the figures were measured on, and how much of it others were using meanwhile."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.install import Unavailable, output, tool
from bench.process import TICKS_PER_S, Server, cores

LOUD_SHARE = 0.05


def machine() -> dict[str, Any]:
    """Processor, cores in use, memory, kernel and Python."""
    gateway, load = cores()
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "gateway_core": gateway,
        "load_and_mock_core": load,
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "system": _field("/etc/os-release", "PRETTY_NAME").strip('"'),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "wrk": _version("wrk"),
    }


def _version(name: str) -> str:
    try:
        return output([tool(name), "-v"])
    except Unavailable:
        return "absent"


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.replace("=", ":", 1).partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


@dataclass(slots=True)
class Noise:
    """Share of the machine that processes which are not ours used during a measurement."""

    share: float = 0.0

    @property
    def loud(self) -> bool:
        """Whether the measurement should be taken again on a quiet machine."""
        return self.share > LOUD_SHARE


@contextmanager
def listening(servers: Sequence[Server]) -> Generator[Noise]:
    """Measure the noise of the block: what the machine did less what `servers` and we did."""
    noise = Noise()
    busy_before, all_before = _ticks()
    ours_before = _ours_s(servers)
    yield noise
    busy, everything = _ticks()
    spent = (busy - busy_before) / TICKS_PER_S - (_ours_s(servers) - ours_before)
    whole = (everything - all_before) / TICKS_PER_S
    noise.share = max(0.0, spent / whole) if whole else 0.0


def _ours_s(servers: Sequence[Server]) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    mine = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return mine + sum(server.cpu_s() for server in servers)


def _ticks() -> tuple[int, int]:
    """Busy and all ticks of the machine; time stolen by its host counts as busy."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)
