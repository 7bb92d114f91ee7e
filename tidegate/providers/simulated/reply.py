"""What passes between the parts: a request as read, the turn it belongs to, the reply to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from random import Random
from typing import Final

import msgspec

from tidegate.providers.simulated.distribution import Distribution
from tidegate.providers.simulated.faults import NO_FAULTS, Faults
from tidegate.providers.simulated.framing import CHAT, Framing
from tidegate.providers.simulated.stats import Meter
from tidegate.providers.simulated.vendor import Vendor
from tidegate.providers.simulated.vocabulary import Vocabulary

JSON: Final = b"application/json"
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"


@dataclass(slots=True)
class Request:
    """One request as read from the wire. Header values are empty when absent."""

    method: bytes = b""
    path: str = ""
    query: str = ""
    body: bytes = b""
    key: bytes = b""
    """The line that says who asks, as it stands in whichever header the vendor has for that."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    """All headers, names in lower case: what a signature covers."""
    simulate: str = ""
    request_id: str = ""
    keeps_alive: bool = True
    chunks_allowed: bool = True  # not for HTTP/1.0


@dataclass(slots=True)
class Pace:
    """How long things take. Random ones are drawn from a generator of the request's own."""

    ttft: Distribution
    gap: Distribution
    length: Distribution
    seed: int
    _rng: Random | None = None

    def draw_length(self) -> int:
        """The number of tokens to say."""
        return min(round(self._draw(self.length)), 1 << 17)

    def delays(self) -> Iterator[float]:
        """Seconds before the first token, then before each next one, without end."""
        constant = self.gap.constant
        gaps = repeat(constant) if constant is not None else iter(self._draw_gap, None)
        return chain((self._draw(self.ttft),), gaps)

    def whole_s(self, tokens: int) -> float:
        """Seconds until an answer of so many tokens is complete."""
        constant = self.gap.constant
        if constant is not None:
            return self._draw(self.ttft) + constant * tokens
        delays = self.delays()
        return sum(next(delays) for _ in range(tokens + 1))

    def _draw(self, distribution: Distribution) -> float:
        constant = distribution.constant
        if constant is not None:
            return constant
        if self._rng is None:
            self._rng = Random(self.seed)  # noqa: S311 - repeatable on purpose
        return distribution.draw(self._rng)

    def _draw_gap(self) -> float:
        return self._draw(self.gap)


@dataclass(slots=True)
class Turn:
    """What answering one request needs beside its body."""

    ordinal: int
    created_s: int
    vendor: Vendor
    model: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]]
    streams: bool
    """Whether the path says that the answer is to be streamed; most bodies say it themselves."""
    faults: Faults
    pace: Pace
    vocabulary: Vocabulary
    meter: Meter

    def has_header(self, name: bytes) -> bool:
        """Whether the request has the header of this name, in lower case."""
        return any(one == name for one, _ in self.headers)

    @property
    def tag(self) -> bytes:
        """What the ids of this answer end with."""
        return self.meter.tag.encode()

    def identify(self, prefix: bytes, kind: bytes) -> bytes:
        """The opening of OpenAI's objects: `{"id":…,"object":…,"created":…,"model":…`."""
        return b'{"id":"%b-%b","object":"%b","created":%d,"model":%b' % (
            prefix,
            self.tag,
            kind,
            self.created_s,
            msgspec.json.encode(self.model),
        )

    def trouble(self) -> bytes:
        """What an answer that fails in the middle says of it, as JSON."""
        cause = "overloaded" if "overloaded" in self.faults else "failed"
        return self.vendor.error(self.vendor.refusal(cause), f"req-{self.meter.tag}")

    @property
    def cached(self) -> int:
        """The prompt tokens that are reported as read from a cache."""
        return min(self.faults.number("cached") or 0, self.meter.prompt_tokens)

    @property
    def cache_write(self) -> int:
        """The prompt tokens that are reported as written to a cache."""
        rest = self.meter.prompt_tokens - self.cached
        return min(self.faults.number("cache-write") or 0, rest)


@dataclass(slots=True)
class Reply:
    """An answer before it is put on the wire.

    Either `body` is all of it, or `events` yields one piece for each token and `tail` closes them.
    """

    status: int
    body: bytes = b""
    events: Iterator[bytes] | None = None
    tail: bytes = b""
    content_type: bytes = JSON
    headers: bytes = b""
    delays: Iterator[float] = field(default_factory=lambda: repeat(0.0))
    wait_s: float = 0.0
    framing: Framing = CHAT
    trouble: Callable[[], bytes] = bytes
    """What stands in the place of the rest when the answer fails in the middle."""
    faults: Faults = NO_FAULTS
    meter: Meter = field(default_factory=Meter)
