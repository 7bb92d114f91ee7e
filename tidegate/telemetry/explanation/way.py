"""The request's way as stations in time: what took how long, and where it waited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.money import show_usd
from tidegate.telemetry.attributes import STILL
from tidegate.telemetry.explanation.shape import Station, Tried
from tidegate.telemetry.record import Record

_GAP_MS: Final = 0.5
"""A shorter pause between two tries is work, not waiting."""


def timeline(record: Record, attempts: Sequence[Tried]) -> Iterator[Station]:
    """The stations of the request's way, in the order they were come to."""
    end_ms = record.duration_ms
    size = f"{record.request_bytes:,} bytes" if record.request_bytes else "a request"
    yield Station("in", 0.0, record.body_ms, f"{size} of {record.wire}", "gateway")
    at_ms = record.body_ms
    if record.key is not None or record.alias is not None:
        yield Station("identified", at_ms, 0.0, _who(record), "gateway")
    reached = record.gateway_ms is not None
    planned = f"{record.alias}" if record.alias else "nothing that is known here"
    if record.alias is not None:
        yield Station("planned", at_ms, 0.0, planned, "gateway")
    if reached:
        admitted_ms = max(at_ms, (record.gateway_ms or 0.0) - record.admit_ms)
        yield Station("admitted", admitted_ms, record.admit_ms, _admitted(record), "gateway")
    before_ms = record.gateway_ms or at_ms
    for each in attempts:
        if not each.hedge and each.at_ms - each.queue_ms - before_ms > _GAP_MS:
            pause_ms = each.at_ms - each.queue_ms - before_ms
            yield Station("pause", before_ms, pause_ms, "before the next try", "wait")
        if each.queue_ms:
            began_ms = max(0.0, each.at_ms - each.queue_ms)
            yield Station("queue", began_ms, each.queue_ms, f"for a turn at {each.target}", "wait")
        name = f"attempt {each.number}" if each.took_ms or each.outcome == "ok" else "passed over"
        failed = each.outcome not in STILL
        yield Station(name, each.at_ms, each.took_ms, _of_attempt(each), "attempt", failed)
        before_ms = max(before_ms, each.at_ms + each.took_ms)
    if is_running(record):
        return
    if record.ttft_ms is not None:
        told = f"{record.chunks:,} pieces" if record.stream else "all of it at once"
        took_ms = max(0.0, end_ms - record.ttft_ms)
        yield Station("answer begun", record.ttft_ms, took_ms, told, "answer")
    failed = record.outcome not in {"ok", "client_gone"}
    yield Station("ended", end_ms, 0.0, f"{record.outcome}, status {record.status}", "end", failed)
    yield Station("settled", end_ms, 0.0, _settled(record), "end")


def _who(record: Record) -> str:
    return ", ".join(f"{kind} {name}" for kind, name in owners(record)) or "without a key"


def _admitted(record: Record) -> str:
    if record.held_nanousd is not None:
        return f"{show_usd(record.held_nanousd)} held"
    return "nothing to be held"


def _of_attempt(each: Tried) -> str:
    said = f"{each.target}: {each.outcome}" + (" (hedge)" if each.hedge else "")
    return f"{said}; {each.then}" if each.then else said


def _settled(record: Record) -> str:
    cost = record.cost_nanousd
    if cost is None and (record.output_tokens is not None or record.outcome == "lost"):
        return "recorded; what it cost is not known"
    charged = "nothing charged" if cost is None else f"{show_usd(cost)} charged"
    if record.held_nanousd is None:
        return charged
    return f"{charged}, {show_usd(max(0, record.held_nanousd - (cost or 0)))} let go"


def is_running(record: Record) -> bool:
    """Whether the request holds money still, and its end is not known."""
    return record.outcome == "held"


def owners(record: Record) -> tuple[tuple[str, str], ...]:
    """Whom and what the key and the request name."""
    named = (
        ("key", record.key), ("user", record.user), ("team", record.team),
        ("organisation", record.organisation), ("feature", record.feature),
        ("conversation", record.conversation),
    )  # fmt: skip
    return tuple((kind, name) for kind, name in named if name is not None)
