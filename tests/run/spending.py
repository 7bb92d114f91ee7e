"""`tidegate serve` before a provider that counts, and callers who spend what a budget allows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervised import Supervised

from tidegate.errors import UpstreamError
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts
from tidegate.providers.simulated.stats import Stats
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import Record, decode

INPUT_NANOUSD, OUTPUT_NANOUSD = 1_000, 20_000
"""Of a token, at `$1/M` and `$20/M`."""
CAP_NANOUSD = 50_000_000
TEAM = ("team", "product")
KEY = "key-of-web"
PATIENCE_S = 90.0
"""Longer than anything here takes; only reached when a test fails."""
REFUSED_S = 0.02
_PATIENT, _GOOD = Timeouts(PATIENCE_S, PATIENCE_S, PATIENCE_S), 200
CONFIG = """
server: {{port: 0, drain: 5s, workers: {workers}}}
control: {{port: 0}}
log: {{level: info}}
store: "{store}"
ledger: {{lost: {lost}, output_tokens: 64}}
teams:
  product: {{budget: {{usd: {usd}, period: total}}{more}}}
keys: [{{name: web, secret: key-of-web, team: product}}]
providers:
  sim: {{kind: openai, base_url: "{sim}", allow_private: true}}
models:
  "sim/*":
    targets: [{{provider: sim, model: "*", price: {{input: $1/M, output: $20/M}}}}]
    retry: {{attempts: 1}}
    breaker: null
    timeout: {{total: {total}}}
"""


def written(directory: Path, sim: str, extra: str = "", **values: object) -> Path:
    """A configuration in `directory`."""
    directory.mkdir(exist_ok=True)
    usual: dict[str, object] = {
        "workers": 1, "store": "sqlite:///tidegate.db", "lost": "upper", "more": "", "total": "20s",
        "usd": CAP_NANOUSD / 10**9,
    }  # fmt: skip
    path = directory / "tidegate.yaml"
    path.write_text(CONFIG.format(sim=sim, **{**usual, **values}) + extra)
    return path


class Serving(Supervised):
    """A running `tidegate serve`."""

    def __init__(self, path: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        super().__init__(process)
        self.address: str = self.until(message="listening")["address"]

    async def hears(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a line of the log."""
        return await asyncio.to_thread(self.until, **wanted)

    def kill(self, child: str) -> None:
        """End the process that was started last under this name, without its consent."""
        self.take_in()
        started = [line for line in self.lines if line.get("child") == child and "pid" in line]
        with suppress(ProcessLookupError):
            os.kill(started[-1]["pid"], signal.SIGKILL)

    def kill_all(self) -> None:
        """End everybody at once, without anybody's consent."""
        self.take_in()
        last = {line["child"]: line["pid"] for line in self.lines if "pid" in line}
        for pid in (self.process.pid, *last.values()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.rest()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, or kill it, with everybody it has started; returns its exit code."""
        self.send(number)
        self.rest()
        return self.process.wait()

    def close(self) -> None:
        """End it if it still runs."""
        self.process.kill()
        self.process.wait()
        self.rest()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Answer:
    """What one caller got."""

    status: int
    request_id: str
    code: str | None = None
    nanousd: int | None = None
    """What a whole answer says that it used, at our prices."""


@dataclass
class Callers:
    """Many at once, each of whom asks again and again until told to stop."""

    addresses: Sequence[Callable[[], str]]
    draw: random.Random
    answers: list[Answer] = field(default_factory=list[Answer])
    models: Sequence[str] = ("sim/sim-1",)
    stopped: bool = False

    async def ask_on(self, number: int) -> None:
        """One of them."""
        address = self.addresses[number % len(self.addresses)]
        while not self.stopped:
            model, stream = self.draw.choice(self.models), self.draw.random() < 0.5
            leaves_after = self.draw.randint(1, 4) if self.draw.random() < 0.15 else None
            with suppress(UpstreamError):
                answer = await ask(address(), model, stream=stream, leaves_after=leaves_after)
                self.answers.append(answer)
                if answer.status != _GOOD:
                    await asyncio.sleep(REFUSED_S)  # as whoever is refused does

    def count(self, code: str | None = None) -> int:
        """How many got this code; None for what was answered well."""
        return sum(answer.code == code for answer in self.answers)


async def ask(
    address: str,
    model: str = "sim/sim-1",
    *,
    key: str = KEY,
    stream: bool = False,
    leaves_after: int | None = None,
) -> Answer:
    """One request; a caller may leave after so many pieces of a stream. Raises: `UpstreamError`."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    resolver = Resolver()
    pool = Pool(address, allow_private=True, resolver=resolver)
    try:
        response = await pool.open(
            "POST", "/v1/chat/completions", f"authorization: Bearer {key}\r\n".encode(),
            json.dumps(body).encode(), timeouts=_PATIENT,
            deadline=asyncio.get_running_loop().time() + PATIENCE_S,
        )  # fmt: skip
        answer = Answer(response.status, (response.header(b"x-request-id") or b"").decode())
        pieces: list[bytes] = []
        while piece := await response.read():
            pieces.append(piece)
            if stream and answer.status == _GOOD and len(pieces) == leaves_after:
                answer.code = "left"
                return answer
    finally:
        await pool.close()
        await resolver.close()
    text = b"".join(pieces).decode()
    if answer.status != _GOOD:
        answer.code = json.loads(text)["error"]["code"]
    elif stream and not text.rstrip().endswith("data: [DONE]"):
        answer.code = "cut"
    else:
        answer.nanousd = _said(text, stream=stream)
    return answer


def _said(text: str, *, stream: bool) -> int:
    if stream:
        events = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        usage = next(found for each in reversed(events) if (found := json.loads(each).get("usage")))
    else:
        usage = json.loads(text)["usage"]
    return usage["prompt_tokens"] * INPUT_NANOUSD + usage["completion_tokens"] * OUTPUT_NANOUSD


async def until(holds: Callable[[], object]) -> None:
    """Return when `holds` does."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - other processes make it so
            await asyncio.sleep(0.01)


@dataclass
class Books:
    """What a store says in the end."""

    records: list[Record]
    charged: int
    """Of the team."""
    open_holds: int

    @classmethod
    def of(cls, *urls: str) -> Books:
        """Of these stores together."""
        books = cls([], 0, 0)
        for url in urls:
            store = RecordStore(url)
            try:
                books.records += [decode(each.payload) for each in store.recent(10**6, Filter())]
                books.charged += store.held.charged(*TEAM, 0).get(TEAM[1], 0)
                books.open_holds += store.held.open_count()
            finally:
                store.close()
        return books

    @property
    def spent(self) -> int:
        """The sum of the records."""
        return sum(record.cost_nanousd or 0 for record in self.records)

    @property
    def lost(self) -> list[Record]:
        """Those that their gateway did not end."""
        return [record for record in self.records if record.outcome == "lost"]

    def tally(self) -> dict[str, tuple[int, int, int]]:
        """How many ended in which way, what they cost, and how much of that was estimated."""
        found: dict[str, tuple[int, int, int]] = {}
        for each in self.records:
            count, cost, about = found.get(each.outcome, (0, 0, 0))
            paid = each.cost_nanousd or 0
            found[each.outcome] = count + 1, cost + paid, about + paid * each.usage_estimated
        return found

    def check(self, callers: Callers, stats: Stats | None = None) -> None:
        """What must hold whatever happened."""
        assert self.open_holds == 0
        assert self.charged == self.spent
        assert self.spent <= CAP_NANOUSD
        by_id = {record.request_id: record for record in self.records}
        assert len(by_id) == len(self.records)
        for answer in callers.answers:
            if answer.nanousd is not None:
                record = by_id[answer.request_id]
                assert (record.outcome, record.cost_nanousd) == ("ok", answer.nanousd)
        if stats is not None:
            assert self.spent >= billed(stats), self.tally()


def billed(stats: Stats) -> int:
    """What the provider counted of the answers that it gave in whole, at our prices."""
    return sum(
        meter.prompt_tokens * INPUT_NANOUSD + meter.billed_tokens * OUTPUT_NANOUSD
        for meter, complete in stats.calls
        if complete
    )
