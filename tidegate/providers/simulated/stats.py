"""What the simulated provider received and delivered: `GET /stats`, `GET /calls`, `POST /reset`.

Everything kept is bounded: past 1,000 different names the rest are counted as `(other)`, and only
the last 1,000 request ids and the last 50,000 answered calls are kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

_NAMES = 1000
_CALLS = 50_000


@dataclass(slots=True)
class Meter:
    """The tokens of one request. `delivered_tokens` grows while the answer goes out."""

    prompt_tokens: int = 0
    visible_tokens: int = 0
    reasoning_tokens: int = 0
    delivered_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    stream: bool = False
    tag: str = ""
    """What the id of the answer ends with; empty when there is no answer."""
    model: str = ""
    key: str = ""
    """The fingerprint of the key that asked."""

    @property
    def billed_tokens(self) -> int:
        """What a provider would charge: a stream ends when its reader leaves, the rest does not."""
        said = self.delivered_tokens if self.stream else self.visible_tokens
        return said + self.reasoning_tokens


@dataclass(slots=True)
class Sum:
    """What one model or one key received, in requests and tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    delivered_tokens: int = 0
    billed_tokens: int = 0


@dataclass(slots=True)
class Stats:
    """Counters since the start or the last reset."""

    requests: int = 0
    by_model: dict[str, int] = field(default_factory=dict[str, int])
    by_path: dict[str, int] = field(default_factory=dict[str, int])
    by_status: dict[str, int] = field(default_factory=dict[str, int])
    usage_by_model: dict[str, Sum] = field(default_factory=dict[str, Sum])
    usage_by_key: dict[str, Sum] = field(default_factory=dict[str, Sum])
    prompt_tokens: int = 0
    delivered_tokens: int = 0
    billed_tokens: int = 0
    open_requests: int = 0
    peak_open_requests: int = 0
    open_streams: int = 0
    cancelled: int = 0
    request_ids: deque[str] = field(default_factory=lambda: deque[str](maxlen=_NAMES))
    calls: deque[tuple[Meter, bool]] = field(
        default_factory=lambda: deque[tuple[Meter, bool]](maxlen=_CALLS)
    )

    def opened(self, meter: Meter) -> None:
        """An answer that takes time has begun."""
        self.open_requests += 1
        self.peak_open_requests = max(self.peak_open_requests, self.open_requests)
        self.open_streams += meter.stream

    def closed(self, meter: Meter) -> None:
        """An answer begun with `opened` has ended, in whatever way."""
        self.open_requests -= 1
        self.open_streams -= meter.stream

    def settle(self, meter: Meter, *, complete: bool) -> None:
        """Add one request's tokens; `complete` says whether its caller got the whole answer."""
        self.prompt_tokens += meter.prompt_tokens
        self.delivered_tokens += meter.delivered_tokens
        billed = meter.billed_tokens
        self.billed_tokens += billed
        if meter.tag:
            self.calls.append((meter, complete))
            for sums, name in (
                (self.usage_by_model, meter.model),
                (self.usage_by_key, meter.key),
            ):
                one = _sum(sums, name)
                one.requests += 1
                one.prompt_tokens += meter.prompt_tokens
                one.delivered_tokens += meter.delivered_tokens
                one.billed_tokens += billed

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
            "usage_by_model": {name: asdict(one) for name, one in self.usage_by_model.items()},
            "usage_by_key": {name: asdict(one) for name, one in self.usage_by_key.items()},
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": {"delivered": self.delivered_tokens, "billed": self.billed_tokens},
            "open_requests": self.open_requests,
            "peak_open_requests": self.peak_open_requests,
            "open_streams": self.open_streams,
            "cancelled": self.cancelled,
            "request_ids": list(self.request_ids),
        }

    def calls_as_json(self) -> list[dict[str, Any]]:
        """The body of `GET /calls`: every answer, in the order in which they ended."""
        return [
            {
                "id": meter.tag,
                "model": meter.model,
                "key": meter.key,
                "stream": meter.stream,
                "complete": complete,
                "prompt_tokens": meter.prompt_tokens,
                "cached_tokens": meter.cached_tokens,
                "cache_write_tokens": meter.cache_write_tokens,
                "reasoning_tokens": meter.reasoning_tokens,
                "delivered_tokens": meter.delivered_tokens,
                "billed_tokens": meter.billed_tokens,
            }
            for meter, complete in self.calls
        ]


def _sum(sums: dict[str, Sum], name: str) -> Sum:
    one = sums.get(name)
    if one is None:
        if len(sums) >= _NAMES:
            name = "(other)"
        one = sums.setdefault(name, Sum())
    return one


def tally(counts: dict[str, int], name: str) -> None:
    """Count `name`, within the bound."""
    if name not in counts and len(counts) >= _NAMES:
        name = "(other)"
    counts[name] = counts.get(name, 0) + 1
