"""What passes between the parts: a request as read, the turn it belongs to, the reply to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from random import Random
from typing import Final

import msgspec

from tidegate.providers.simulated.distribution import Distribution
from tidegate.providers.simulated.faults import NO_FAULTS, Faults
from tidegate.providers.simulated.stats import Meter
from tidegate.providers.simulated.vocabulary import Vocabulary

JSON: Final = b"application/json"
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
DONE: Final = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Request:
    """One request as read from the wire. Header values are empty when absent."""

    method: bytes = b""
    path: str = ""
    body: bytes = b""
    authorization: bytes = b""
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
    model: str
    body: bytes
    faults: Faults
    pace: Pace
    vocabulary: Vocabulary
    meter: Meter

    def identify(self, prefix: bytes, kind: bytes) -> bytes:
        """The opening of every object: `{"id":…,"object":…,"created":…,"model":…`."""
        return b'{"id":"%b-sim-%x","object":"%b","created":%d,"model":%b' % (
            prefix,
            self.ordinal,
            kind,
            self.created_s,
            msgspec.json.encode(self.model),
        )


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
    faults: Faults = NO_FAULTS
    meter: Meter = field(default_factory=Meter)


def usage(turn: Turn, *, prompt_only: bool = False) -> bytes:
    """The usage object as OpenAI writes it."""
    meter = turn.meter
    prompt = meter.prompt_tokens
    if prompt_only:
        return b'{"prompt_tokens":%d,"total_tokens":%d}' % (prompt, prompt)
    completion = meter.visible_tokens + meter.reasoning_tokens
    cached = min(turn.faults.number("cached") or 0, prompt)
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
    ) % (prompt, completion, prompt + completion, cached, meter.reasoning_tokens)
