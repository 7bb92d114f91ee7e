"""A million records as a busy month leaves them: `python -m bench.dataset DIRECTORY`.

`records` is the month: 50 teams, 5,000 users, 12 aliases, days and nights, an hour in which a
provider was down, a feature that became dear, bodies on one record in twenty. The same seed makes
the same records, but for their times, which end now. The loader itself puts them into a
store, beside a configuration whose aliases are theirs.
"""

from __future__ import annotations

import json
import math
import random
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegate.control.loader import Loader
from tidegate.ledger.segment import SUFFIX, frame
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Attempt, Record, encode

DAYS, TEAMS, USERS, FEATURES, CONVERSATIONS = 30, 50, 5_000, 40, 200_000
SEED = 5
SEGMENT = 50_000
"""Records in a segment of the spool."""
_NS = 10**9
_BODIES, _STREAMS, _RETRIED = 0.05, 0.6, 0.02
_OUTAGE_DAY, _OUTAGE_HOUR = 9, 14
_DEAR_FEATURE, _DEAR_DAY = "feature-07", 23
_ENDS = (
    ("ok", 200, 0.962),
    ("client_gone", 0, 0.008),
    ("rate_limited", 429, 0.012),
    ("upstream_timeout", 504, 0.006),
    ("upstream_error", 502, 0.007),
    ("invalid_request", 400, 0.005),
)
_FINISHES = (("stop", 0.9), ("length", 0.05), ("tool_calls", 0.045), ("content_filter", 0.005))


@dataclass(frozen=True, slots=True)
class Model:
    """What an alias of the month is served by."""

    alias: str
    provider: str
    model: str
    fallback: str
    share: float
    """Of all requests."""
    input_nanousd: int
    """For a token; output is four times as dear."""
    first_ms: float
    """The median until the first token."""
    per_s: float
    """Output tokens a second."""
    wire: str = "chat"


MODELS = (
    Model("assistant", "openai", "gpt-5-mini", "anthropic/claude-haiku-4-5", 0.30, 250, 420, 90),
    Model("assistant-pro", "anthropic", "claude-sonnet-4-5", "openai/gpt-5", 0.14, 3000, 780, 60),
    Model("search", "gemini", "gemini-2.5-flash", "openai/gpt-5-mini", 0.12, 300, 350, 140),
    Model("summaries", "mistral", "mistral-small-2506", "openai/gpt-5-mini", 0.10, 100, 300, 110),
    Model("classify", "local", "qwen3-8b", "openai/gpt-5-nano", 0.09, 0, 60, 80),
    Model("vectors", "openai", "text-embedding-3-small", "", 0.08, 20, 90, 1, "embeddings"),
    Model(
        "agent", "anthropic", "claude-opus-4-5", "openai/gpt-5", 0.05, 5000, 1200, 45, "messages"
    ),
    Model("code", "openai", "gpt-5", "anthropic/claude-sonnet-4-5", 0.04, 1250, 900, 70),
    Model("extract", "groq", "llama-3.3-70b", "openai/gpt-5-mini", 0.03, 590, 120, 280),
    Model("translate", "deepseek", "deepseek-chat", "openai/gpt-5-mini", 0.02, 270, 650, 50),
    Model("vision", "gemini", "gemini-2.5-pro", "openai/gpt-5", 0.02, 1250, 1100, 80),
    Model("batch", "vertex", "gemini-2.5-flash", "gemini/gemini-2.5-flash", 0.01, 150, 800, 120),
)


def records(
    count: int, *, days: float = DAYS, until_ns: int | None = None, seed: int = SEED
) -> Iterator[Record]:
    """`count` records in the order of their beginnings; their `days` end at `until_ns`."""
    month = _Month(count, days, until_ns or time.time_ns(), random.Random(seed))
    return (month.record(number) for number in range(count))


class _Month:
    def __init__(self, count: int, days: float, until_ns: int, rng: random.Random) -> None:
        self._rng = rng
        self._began_ns = until_ns - round(days * 86_400 * _NS)
        self._hours = _Hours(count, days)
        self._shares = list(accumulate(each.share for each in MODELS))
        self._ends = list(accumulate(each[2] for each in _ENDS))
        self._finishes = list(accumulate(each[1] for each in _FINISHES))
        self._keys = [f"team-{team:02d}-{use}" for team in range(TEAMS) for use in ("app", "jobs")]

    def record(self, number: int) -> Record:
        rng = self._rng
        hour, at_ns = self._hours.moment(number, rng)
        model = MODELS[min(bisect(self._shares, rng.random()), len(MODELS) - 1)]
        user = min(int(USERS * rng.random() ** 2), USERS - 1)  # some are busier than others
        team = user % TEAMS
        feature = f"feature-{int(FEATURES * rng.random() ** 1.5):02d}"
        record = Record(
            request_id=f"req_{number:012x}{rng.getrandbits(48):012x}",
            started_ns=self._began_ns + at_ns,
            worker=f"gw-{number & 1}",
            wire=model.wire,
            path="/v1/embeddings" if model.wire == "embeddings" else "/v1/chat/completions",
            config_version=f"c0ffee{hour // 168:06x}",
            stream=model.wire != "embeddings" and rng.random() < _STREAMS,
            key=self._keys[2 * team + (rng.random() < 0.3)],
            team=f"team-{team:02d}",
            organisation=f"org-{team % 8}",
            user=f"user-{user:04d}",
            feature=feature,
            conversation=f"conv-{rng.randrange(CONVERSATIONS)}" if rng.random() < 0.4 else None,
            environment="staging" if rng.random() < 0.1 else "production",
            alias=model.alias,
            provider=model.provider,
            model=model.model,
            target=f"{model.provider}/{model.model}",
            reason="the first target of its alias",
            parameters={"temperature": 0.2} if rng.random() < 0.5 else None,
            gateway_ms=round(0.2 + rng.expovariate(5.0), 3),
            queue_ms=round(rng.expovariate(0.01), 1) if rng.random() < 0.03 else 0.0,
        )
        end = _ENDS[min(bisect(self._ends, rng.random()), len(_ENDS) - 1)]
        down = hour == 24 * _OUTAGE_DAY + _OUTAGE_HOUR and model.provider == "openai"
        if down and rng.random() < 0.3:
            end = _ENDS[4]
        self._end(record, model, end[0], end[1], down=down)
        if feature == _DEAR_FEATURE and hour >= 24 * _DEAR_DAY and record.cost_nanousd:
            record.cost_nanousd *= 3
        if rng.random() < _BODIES:
            self._add_bodies(record)
        return record

    def _end(self, record: Record, model: Model, outcome: str, status: int, *, down: bool) -> None:
        rng = self._rng
        record.outcome, record.status = outcome, status
        record.request_bytes = 300 + int(rng.expovariate(1 / 3000))
        if outcome in ("rate_limited", "invalid_request"):
            record.duration_ms = record.gateway_ms or 0.3
            record.error = "refused before any provider was asked"
            record.provider = record.target = record.model = record.gateway_ms = None
            if outcome == "rate_limited":
                record.limit = f"team {record.team} tokens_per_minute"
            return
        first_ms = model.first_ms * math.exp(rng.gauss(0.0, 0.5))
        tried = f"{model.provider}/{model.model}"
        if outcome.startswith("upstream"):
            record.duration_ms = round(first_ms * 8, 1)
            record.error = "no target answered"
            record.attempts = [
                Attempt(target=each, outcome=outcome, started_ms=1.0, duration_ms=first_ms * 4)
                for each in (tried, model.fallback) if each
            ]  # fmt: skip
            return
        output = 0 if model.wire == "embeddings" else 1 + int(rng.lognormvariate(5.0, 1.0))
        record.input_tokens = 20 + int(rng.lognormvariate(6.0, 1.1))
        record.output_tokens = output
        if rng.random() < 0.3:
            record.cached_input_tokens = record.input_tokens // 2
        record.cost_nanousd = model.input_nanousd * (record.input_tokens + 4 * output)
        record.price = f"{tried} 2026-10-01"
        if model.fallback and (down or rng.random() < _RETRIED):
            record.attempts = [
                Attempt(target=tried, outcome="upstream_error", started_ms=0.4, duration_ms=180.0,
                        status=503, detail="the provider answered 503"),
            ]  # fmt: skip
            record.target = model.fallback
            record.provider, _, record.model = model.fallback.partition("/")
            record.reason = "fallback: the target before it failed"
            first_ms += 180.0
        record.attempts.append(
            Attempt(target=record.target or tried, outcome="ok", started_ms=0.4,
                    duration_ms=round(first_ms, 1), status=200)
        )  # fmt: skip
        record.duration_ms = round(first_ms + 1e3 * output / model.per_s, 1)
        record.response_bytes = 200 + 5 * output
        finish = _FINISHES[min(bisect(self._finishes, rng.random()), len(_FINISHES) - 1)]
        record.finish_reason = finish[0] if output else None
        if record.stream:
            record.ttft_ms = round(first_ms, 1)
            record.tokens_per_s = round(model.per_s * rng.uniform(0.7, 1.1), 1)
            record.max_gap_ms = round(rng.expovariate(0.02), 1)
            record.chunks = output

    def _add_bodies(self, record: Record) -> None:
        rng = self._rng
        words = " ".join(rng.choices(_WORDS, k=rng.randrange(30, 400)))
        asked = {"model": record.alias, "messages": [{"role": "user", "content": words}]}
        record.request_body = json.dumps(asked).encode()
        if record.outcome == "ok":
            said = " ".join(rng.choices(_WORDS, k=min(record.output_tokens or 1, 600)))
            message = {"role": "assistant", "content": said}
            record.response_body = json.dumps({"choices": [{"message": message}]}).encode()


class _Hours:
    """How `count` records are spread: more by day than by night, fewer at the week's end."""

    def __init__(self, count: int, days: float) -> None:
        hours = max(1, math.ceil(days * 24))
        weights = [
            (1.2 + math.sin((hour % 24 - 9) / 24 * 2 * math.pi))
            * (0.4 if hour // 24 % 7 > 4 else 1)
            for hour in range(hours)
        ]
        self._span_ns = round(days * 86_400 * _NS) // hours
        total = sum(weights)
        self._ends = [round(each * count / total) for each in accumulate(weights)]
        self._hour = 0

    def moment(self, number: int, rng: random.Random) -> tuple[int, int]:
        """The hour of record `number`, and when it began; called in their order."""
        while number >= self._ends[self._hour] and self._hour < len(self._ends) - 1:
            self._hour += 1
        first = self._ends[self._hour - 1] if self._hour else 0
        part = (number - first + rng.random()) / max(1, self._ends[self._hour] - first)
        return self._hour, round((self._hour + min(part, 1.0)) * self._span_ns)


_WORDS = (
    "tide", "gate", "harbour", "river", "lock", "water", "level", "open", "close", "morning",
    "evening", "ship", "barge", "pilot", "crew", "signal", "light", "depth", "current",
    "channel", "report", "order", "question", "answer", "table", "sentence", "meaning",
)  # fmt: skip


@dataclass(slots=True)
class Filled:
    """What filling a store took."""

    records: int = 0
    load_s: float = 0.0
    """Of the loader alone, from the segment to the commit."""
    cpu_s: float = 0.0
    """Of the same, in this process: a store that is a server has its own."""
    spool_bytes: int = 0
    slowest: float = math.inf
    """Records a second of the slowest segment."""
    segments_s: list[float] = field(default_factory=list[float])


def fill(
    store: RecordStore,
    spool: Path,
    told: Iterator[Record],
    say: Callable[[int], None] = lambda _count: None,
) -> Filled:
    """Have the loader load `told` into `store`, a segment at a time, which takes little disk."""
    loader, filled = Loader(spool, store), Filled()
    spool.mkdir(parents=True, exist_ok=True)
    number = time.time_ns()
    while batch := [encode(each) for each in islice(told, SEGMENT)]:
        path = spool / f"{number:020d}-gw-0{SUFFIX}"
        path.write_bytes(b"".join(map(frame, batch)))
        filled.spool_bytes += path.stat().st_size
        began_s, cpu_s = time.perf_counter(), time.process_time()
        if loader.load() != len(batch):
            raise RuntimeError(f"not every record of {path} is new: is the store empty?")
        took_s = time.perf_counter() - began_s
        filled.records += len(batch)
        filled.load_s += took_s
        filled.cpu_s += time.process_time() - cpu_s
        filled.segments_s.append(took_s)
        filled.slowest = min(filled.slowest, len(batch) / took_s)
        number += 1
        say(filled.records)
    loader.close()
    return filled


def configuration(url: str) -> dict[str, Any]:
    """One whose aliases, providers and teams are those of the records; nobody is called for it."""
    providers = sorted({each.provider for each in MODELS} | {"gemini", "openai", "anthropic"})
    return {
        "store": url,
        "retention": {"records": None},
        "providers": {name: {"kind": "simulated"} for name in providers},
        "teams": {f"team-{team:02d}": {"organisation": f"org-{team % 8}"} for team in range(TEAMS)},
        "organisations": {f"org-{number}": {} for number in range(8)},
        "models": {
            each.alias: {"targets": [{"provider": each.provider, "model": each.model}]}
            for each in MODELS
        },
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--records", "count", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--days", type=click.FloatRange(0.01, 700), default=DAYS, show_default=True)
@click.option("--store", "url", help="Another store, such as postgresql://USER@HOST/NAME.")
def main(directory: Path, *, count: int, days: float, url: str | None) -> None:
    """Fill a store in DIRECTORY with a month of made-up records, to look at and to measure with."""
    directory.mkdir(parents=True, exist_ok=True)
    url = url or f"sqlite:///{(directory / 'tidegate.db').absolute()}"
    store = RecordStore(url)
    store.create()
    if store.last_id():
        raise click.ClickException(f"{url} has records already; name an empty directory or store")
    columns = (TextColumn("records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("records", total=count)
        told = records(count, days=days)
        filled = fill(
            store, directory / "filling", told, lambda n: progress.update(task, completed=n)
        )
    store.close()
    path = directory / "tidegate.yaml"
    path.write_text(json.dumps(configuration(url), indent=1) + "\n")
    click.echo(
        f"{filled.records:,} records, loaded at {filled.records / filled.load_s:,.0f} a second.\n"
        f"Look at them: cd {directory} && tidegate serve"
    )


if __name__ == "__main__":
    main()
