"""Records as a busy day leaves them, always the same ones: for pages to be made from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tidegate.telemetry.record import Attempt, Record

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
"""A name that tries to be markup."""
_SECOND_NS = 10**9
_TEAMS = {"search": ("ranking", "suggest"), "support": ("chat", "triage"), "growth": ("copy",)}
_TARGETS = {
    "assistant": (("openai/gpt-5-mini", 0.7), ("azure/gpt-5-mini", 0.3)),
    "fast": (("openai/gpt-5-nano", 1.0),),
    "careful": (("anthropic/claude-sonnet-4-5", 1.0),),
}
_FAILURES = ("upstream_failed", "upstream_rate_limited", "deadline_exceeded")


def day(count: int, now_ns: int, *, seed: int = 7, hours: float = 24.0) -> Iterator[Record]:
    """`count` records of the last `hours`, the oldest first."""
    draw = random.Random(seed)
    for number in range(count):
        ago_s = hours * 3_600 * (1 - (number + draw.random()) / count)
        yield one(f"req-{seed}-{number:06d}", now_ns - round(ago_s * _SECOND_NS), draw)


def one(name: str, started_ns: int, draw: random.Random, **fields: Any) -> Record:
    """A record like many; `fields` are what is other in it."""
    team = draw.choice(tuple(_TEAMS))
    alias = draw.choices(tuple(_TARGETS), weights=(6, 3, 1))[0]
    choices = _TARGETS[alias]
    target = draw.choices([each for each, _ in choices], weights=[each for _, each in choices])[0]
    provider, _, model = target.partition("/")
    ttft_ms = draw.lognormvariate(6.0, 0.5)
    output = round(draw.lognormvariate(5.2, 0.7))
    duration_ms = ttft_ms + output * 11
    failed = draw.random() < 0.012
    outcome = draw.choice(_FAILURES) if failed else "ok"
    values: dict[str, Any] = {
        "request_id": name, "started_ns": started_ns, "worker": "gw-0", "wire": "chat",
        "path": "/v1/chat/completions", "config_version": "c0ffee12", "stream": draw.random() < 0.8,
        "key": f"{team}-web", "team": team, "organisation": "example",
        "user": f"user-{draw.randrange(40)}", "feature": draw.choice(_TEAMS[team]),
        "alias": alias, "model": model, "provider": provider, "target": target,
        "outcome": outcome, "status": 502 if failed else 200,
        "attempts": [
            Attempt(target, outcome, 1.2, duration_ms - 1.2, status=503 if failed else 200)
        ],
        "duration_ms": duration_ms, "gateway_ms": 0.6 + draw.random(),
        "queue_ms": 0.0 if draw.random() < 0.9 else draw.random() * 80,
        "request_bytes": 1_200, "response_bytes": 4_000,
    }  # fmt: skip
    if not failed:
        input_ = round(draw.lognormvariate(6.6, 0.8))
        values |= {
            "input_tokens": input_, "output_tokens": output, "ttft_ms": ttft_ms,
            "cached_input_tokens": 0, "cost_nanousd": input_ * 250 + output * 2_000,
            "price": "list", "finish_reason": "length" if draw.random() < 0.03 else "stop",
            "tokens_per_s": 1_000 / 11, "max_gap_ms": 40.0, "chunks": output,
        }  # fmt: skip
    return Record(**(values | fields))
