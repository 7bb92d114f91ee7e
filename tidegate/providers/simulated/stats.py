"""What the simulated provider received and delivered: `GET /stats`, `POST /reset`.

Everything kept is bounded: past 1,000 different names the rest are counted as `(other)`, and only
the last 1,000 request ids are kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

_NAMES = 1000


@dataclass(slots=True)
class Meter:
    """The tokens of one request. `delivered_tokens` grows while the answer goes out."""

    prompt_tokens: int = 0
    visible_tokens: int = 0
    reasoning_tokens: int = 0
    delivered_tokens: int = 0
    stream: bool = False

    @property
    def billed_tokens(self) -> int:
        """What a provider would charge: a stream ends when its reader leaves, the rest does not."""
        said = self.delivered_tokens if self.stream else self.visible_tokens
        return said + self.reasoning_tokens


@dataclass(slots=True)
class Stats:
    """Counters since the start or the last reset."""

    requests: int = 0
    by_model: dict[str, int] = field(default_factory=dict[str, int])
    by_path: dict[str, int] = field(default_factory=dict[str, int])
    by_status: dict[str, int] = field(default_factory=dict[str, int])
    prompt_tokens: int = 0
    delivered_tokens: int = 0
    billed_tokens: int = 0
    open_requests: int = 0
    peak_open_requests: int = 0
    open_streams: int = 0
    cancelled: int = 0
    request_ids: deque[str] = field(default_factory=lambda: deque[str](maxlen=_NAMES))

    def opened(self, meter: Meter) -> None:
        """An answer that takes time has begun."""
        self.open_requests += 1
        self.peak_open_requests = max(self.peak_open_requests, self.open_requests)
        self.open_streams += meter.stream

    def closed(self, meter: Meter) -> None:
        """An answer begun with `opened` has ended, in whatever way."""
        self.open_requests -= 1
        self.open_streams -= meter.stream

    def settle(self, meter: Meter) -> None:
        """Add one request's tokens."""
        self.prompt_tokens += meter.prompt_tokens
        self.delivered_tokens += meter.delivered_tokens
        self.billed_tokens += meter.billed_tokens

    def reset(self) -> None:
        """Forget everything except what is still open."""
        fresh = Stats(open_requests=self.open_requests, open_streams=self.open_streams)
        fresh.peak_open_requests = self.open_requests
        for name in Stats.__slots__:
            setattr(self, name, getattr(fresh, name))

    def as_json(self) -> dict[str, Any]:
        """The body of `GET /stats`."""
        return {
            "requests": self.requests,
            "by_model": self.by_model,
            "by_path": self.by_path,
            "by_status": self.by_status,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": {"delivered": self.delivered_tokens, "billed": self.billed_tokens},
            "open_requests": self.open_requests,
            "peak_open_requests": self.peak_open_requests,
            "open_streams": self.open_streams,
            "cancelled": self.cancelled,
            "request_ids": list(self.request_ids),
        }


def tally(counts: dict[str, int], name: str) -> None:
    """Count `name`, within the bound."""
    if name not in counts and len(counts) >= _NAMES:
        name = "(other)"
    counts[name] = counts.get(name, 0) + 1
