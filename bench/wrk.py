"""A closed loop of callers: wrk with a script of ours, or our own loop where there is no wrk."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from bench.arrivals import saturate
from bench.install import Unavailable, tool
from bench.process import pinned
from bench.stats import percentiles
from bench.target import Target

SCRIPT = """
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"duration_us":%%d,"p50_us":%%f,"p90_us":%%f,"p99_us":%%f,"max_us":%%f,' ..
    '"refused":%%d,"broken":%%d,"timeouts":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, e.status, e.connect + e.read + e.write, e.timeout))
end
"""
TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Load:
    """What a closed loop of `connections` callers saw."""

    connections: int
    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    errors: int

    @property
    def per_s(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it for the JSON report."""
        return {**asdict(self), "per_s": self.per_s}


def run(target: Target, *, connections: int, seconds: float, core: int) -> Load:
    """Load `target` for `seconds` from one thread on `core`."""
    try:
        program = tool("wrk")
    except Unavailable:
        return _without_wrk(target, connections, seconds, core)
    headers = "\n".join(f'wrk.headers["{k}"] = "{v}"' for k, v in target.all_headers().items())
    script = target.directory / "wrk.lua"
    script.write_text(SCRIPT % (target.body().decode(), headers))
    whole_s = max(1, round(seconds))
    argv = [program, "-t1", f"-c{connections}", f"-d{whole_s}s", f"--timeout={TIMEOUT_S}s"]
    with pinned(core):
        done = subprocess.run(
            [*argv, "-s", str(script), target.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=whole_s + 6 * TIMEOUT_S,
        )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise RuntimeError(f"wrk failed on {target.name}: {done.stdout}{done.stderr}")
    seen = json.loads(lines[-1])
    return Load(
        connections=connections,
        requests=seen["requests"],
        seconds=seen["duration_us"] / 1e6,
        p50_ms=seen["p50_us"] / 1e3,
        p90_ms=seen["p90_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        max_ms=seen["max_us"] / 1e3,
        errors=seen["refused"] + seen["broken"] + seen["timeouts"],
    )


def _without_wrk(target: Target, connections: int, seconds: float, core: int) -> Load:
    with pinned(core):
        seen = saturate(target.port, target.request(), connections=connections, seconds=seconds)
    p50, p90, p99, most = (1e3 * s for s in percentiles(seen.latencies_s, (50, 90, 99, 100)))
    return Load(
        connections, len(seen.latencies_s), seconds, p50, p90, p99, most, errors=seen.errors
    )
