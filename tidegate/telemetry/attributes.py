"""What spans say: the one table from a record to attributes.

Names are those of OpenTelemetry's conventions where these have one; our own facts are under
`tidegate.`. What a request used stands on the span of the attempt that used it, never on the
request's too, so that nobody who sums it up counts it twice.

Source: OpenTelemetry semantic conventions 1.41 (HTTP, server, error), and those for generative AI,
"Semantic conventions for generative client AI spans".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from msgspec import Struct

from tidegate.telemetry.record import Attempt, Record

Value = str | bool | int | float | tuple[str, ...]

TEXT_CHARACTERS: Final = 1024
MOST_TEXTS: Final = 32
TAG: Final = "tidegate.tag."
"""Before the name of each tag, on the request's span."""
STILL: Final = ("ok", "cancelled", "client_gone")
"""Outcomes that are nobody's failure."""
_MOST: Final = (1 << 63) - 1
_SERVER_ERROR: Final = 500
_NANO: Final = 1e9
_MS: Final = 1e3

OPERATIONS: Final = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""What the conventions call what is asked for, by the caller's format."""


class Place(Struct, frozen=True):
    """What is known of a provider besides its name in the configuration."""

    name: str
    """As the conventions call its kind: `openai`, `aws.bedrock`."""
    address: str | None = None
    """The host, where there is one only."""
    port: int | None = None


class Scene(Struct, frozen=True):
    """What a span is about: a request, or one try of it."""

    record: Record
    place: Place | None = None
    number: int = 0
    """Of the try among all of the record, from 1."""
    tried: Attempt | None = None
    answered: bool = False
    """Whether that try became the answer."""


Read = Callable[[Scene], object]


class Row(Struct, frozen=True):
    """An attribute: on which span, what it says, and where that comes from.

    None, and what is of no type that an attribute may have, is left out.
    """

    name: str
    on: Literal["request", "attempt"]
    says: str
    read: Read


def attributes(scene: Scene) -> dict[str, Value]:
    """What the span of `scene` says."""
    on = "request" if scene.tried is None else "attempt"
    found: dict[str, Value] = {}
    for row in TABLE:
        if row.on == on:
            value = value_of(row.read(scene))
            if value is not None:
                found[row.name] = value
    if on == "request":
        for name, said in scene.record.tags.items():
            found[TAG + name[:TEXT_CHARACTERS]] = said[:TEXT_CHARACTERS]
    return found


def value_of(said: object) -> Value | None:
    """`said` as an attribute may have it, bounded; None if it cannot be one."""
    if isinstance(said, str):
        return said[:TEXT_CHARACTERS] or None
    if isinstance(said, bool):
        return said
    if isinstance(said, int):
        return said if -_MOST <= said <= _MOST else None
    if isinstance(said, float):
        return said if math.isfinite(said) else None
    if isinstance(said, (list, tuple)):
        several = cast("list[object] | tuple[object, ...]", said)[:MOST_TEXTS]
        return tuple(each[:TEXT_CHARACTERS] for each in several if isinstance(each, str)) or None
    return None


def failure(record: Record) -> str | None:
    """What the request failed of; None if it is not ours: what a caller got wrong is not."""
    if record.outcome == "failed_after_commit":
        return record.error_code or record.outcome
    if record.outcome == "lost" or record.status >= _SERVER_ERROR:
        return record.outcome
    return None


def attempt_failure(scene: Scene) -> str | None:
    """What a try failed of: also one that broke off after its first content."""
    tried, record = scene.tried, scene.record
    if tried is None or tried.outcome not in STILL:
        return None if tried is None else tried.outcome
    return failure(record) if scene.answered else None


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else nanousd / _NANO


def _asked(*names: str, whole: bool = False) -> Read:
    def read(scene: Scene) -> object:
        parameters = scene.record.parameters or {}
        said = next((parameters[name] for name in names if name in parameters), None)
        if isinstance(said, bool) or not isinstance(said, (int, float)):
            return None
        return said if whole or not isinstance(said, int) else _float(said)

    return read


def _float(said: int) -> float | None:
    return float(said) if abs(said) <= _MOST else None


def _stops(scene: Scene) -> object:
    parameters: Mapping[str, Any] = scene.record.parameters or {}
    said = parameters.get("stop", parameters.get("stop_sequences"))
    return (said,) if isinstance(said, str) else said


def _choices(scene: Scene) -> object:
    said = (scene.record.parameters or {}).get("n")
    return said if isinstance(said, int) and not isinstance(said, bool) and said != 1 else None


def _of_answer(read: Callable[[Record], object]) -> Read:
    return lambda scene: read(scene.record) if scene.answered else None


def _of_record(read: Callable[[Record], object]) -> Read:
    return lambda scene: read(scene.record)


def _of_try(read: Callable[[Attempt], object]) -> Read:
    return lambda scene: None if scene.tried is None else read(scene.tried)


def _used(total: Callable[[Record], int | None], alone: Callable[[Attempt], int | None]) -> Read:
    def read(scene: Scene) -> object:
        return total(scene.record) if scene.answered or scene.tried is None else alone(scene.tried)

    return read


def _cost(scene: Scene) -> float | None:
    record, tried = scene.record, scene.tried
    if scene.answered and record.cost_nanousd is not None:
        others = sum(each.cost_nanousd or 0 for each in record.attempts)
        return _usd(record.cost_nanousd - others)
    return _usd(tried.cost_nanousd) if tried is not None and not scene.answered else None


def _first_chunk(scene: Scene) -> float | None:
    record, tried = scene.record, scene.tried
    if tried is None or not (scene.answered and record.stream) or record.ttft_ms is None:
        return None
    return max(0.0, record.ttft_ms - tried.started_ms) / _MS


def _provider(scene: Scene) -> object:
    if scene.place is not None:
        return scene.place.name
    return None if scene.tried is None else scene.tried.target.partition("/")[0]


TABLE: Final = (
    # The request's own span.
    Row("url.path", "request", "path as asked for", _of_record(lambda it: it.path)),
    Row("http.response.status_code", "request", "status sent; 499 when the caller was gone",
        _of_record(lambda it: it.status or None)),
    Row("error.type", "request", "what failed, on our side or behind us",
        _of_record(failure)),
    Row("gen_ai.conversation.id", "request", "the conversation",
        _of_record(lambda it: it.conversation)),
    Row("tidegate.request_id", "request", "the request's id", _of_record(lambda it: it.request_id)),
    Row("tidegate.wire", "request", "the caller's format", _of_record(lambda it: it.wire)),
    Row("tidegate.alias", "request", "model name that was asked for",
        _of_record(lambda it: it.alias)),
    Row("tidegate.downgraded", "request", "the alias that a budget's soft cap replaced",
        _of_record(lambda it: it.downgraded)),
    Row("tidegate.outcome", "request", "`ok`, or how it ended", _of_record(lambda it: it.outcome)),
    Row("tidegate.error", "request", "message that the caller was sent",
        _of_record(lambda it: it.error)),
    Row("tidegate.limit", "request", "the limit that refused it", _of_record(lambda it: it.limit)),
    Row("tidegate.degraded", "request", "what was answered because no target could",
        _of_record(lambda it: it.degraded)),
    Row("tidegate.adapted", "request", "what was done to the request so that it could be answered",
        _of_record(lambda it: it.adapted)),
    Row("tidegate.dropped", "request", "what the target's format had no word for",
        _of_record(lambda it: it.dropped)),
    Row("tidegate.key", "request", "name of the key", _of_record(lambda it: it.key)),
    Row("tidegate.user", "request", "whom it was counted for", _of_record(lambda it: it.user)),
    Row("tidegate.team", "request", "the team", _of_record(lambda it: it.team)),
    Row("tidegate.organisation", "request", "the organisation",
        _of_record(lambda it: it.organisation)),
    Row("tidegate.feature", "request", "what it was counted for",
        _of_record(lambda it: it.feature)),
    Row("tidegate.environment", "request", "the key's environment",
        _of_record(lambda it: it.environment)),
    Row("tidegate.target", "request", "who answered", _of_record(lambda it: it.target)),
    Row("tidegate.reason", "request", "why that target was chosen",
        _of_record(lambda it: it.reason)),
    Row("tidegate.cost_usd", "request", "what it cost, all tries together",
        _of_record(lambda it: _usd(it.cost_nanousd))),
    Row("tidegate.price", "request", "which price was applied", _of_record(lambda it: it.price)),
    Row("tidegate.usage_estimated", "request", "whether nobody told the tokens",
        _of_record(lambda it: it.usage_estimated or None)),
    Row("tidegate.queue_ms", "request", "how long it waited for its turns",
        _of_record(lambda it: it.queue_ms or None)),
    Row("tidegate.max_gap_ms", "request", "longest silence inside the answer",
        _of_record(lambda it: it.max_gap_ms)),
    Row("tidegate.tokens_per_s", "request", "speed of the answer after its first token",
        _of_record(lambda it: it.tokens_per_s)),
    Row("tidegate.worker", "request", "gateway process", _of_record(lambda it: it.worker)),
    Row("tidegate.config_version", "request", "configuration it was served with",
        _of_record(lambda it: it.config_version)),
    # The span of each attempt.
    Row("gen_ai.operation.name", "attempt", "`chat`, `text_completion`, `embeddings`",
        _of_record(lambda it: OPERATIONS.get(it.wire, it.wire))),
    Row("gen_ai.provider.name", "attempt", "the kind of provider", _provider),
    Row("gen_ai.request.model", "attempt", "the provider's name of the model",
        _of_try(lambda it: it.target.partition("/")[2])),
    Row("gen_ai.request.stream", "attempt", "whether a stream was asked for",
        _of_record(lambda it: it.stream or None)),
    Row("gen_ai.request.max_tokens", "attempt", "limit on the answer",
        _asked("max_tokens", "max_completion_tokens", "max_output_tokens", whole=True)),
    Row("gen_ai.request.temperature", "attempt", "as sent", _asked("temperature")),
    Row("gen_ai.request.top_p", "attempt", "as sent", _asked("top_p")),
    Row("gen_ai.request.top_k", "attempt", "as sent", _asked("top_k")),
    Row("gen_ai.request.seed", "attempt", "as sent", _asked("seed", whole=True)),
    Row("gen_ai.request.stop_sequences", "attempt", "as sent", _stops),
    Row("gen_ai.request.choice.count", "attempt", "`n`, if it is not 1", _choices),
    Row("gen_ai.request.frequency_penalty", "attempt", "as sent", _asked("frequency_penalty")),
    Row("gen_ai.request.presence_penalty", "attempt", "as sent", _asked("presence_penalty")),
    Row("gen_ai.response.model", "attempt", "the model as the answer names it",
        _of_answer(lambda it: it.model)),
    Row("gen_ai.response.finish_reasons", "attempt", "why the answer ended",
        _of_answer(lambda it: None if it.finish_reason is None else (it.finish_reason,))),
    Row("gen_ai.response.time_to_first_chunk", "attempt", "in seconds, of a stream", _first_chunk),
    Row("gen_ai.usage.input_tokens", "attempt", "tokens in, those from caches included",
        _used(lambda it: it.input_tokens, lambda it: it.input_tokens)),
    Row("gen_ai.usage.output_tokens", "attempt", "tokens out, reasoning included",
        _used(lambda it: it.output_tokens, lambda it: it.output_tokens)),
    Row("gen_ai.usage.cache_read.input_tokens", "attempt", "of them, from the provider's cache",
        _of_answer(lambda it: it.cached_input_tokens)),
    Row("gen_ai.usage.cache_creation.input_tokens", "attempt", "of them, into that cache",
        _of_answer(lambda it: it.cache_write_tokens)),
    Row("gen_ai.usage.reasoning.output_tokens", "attempt", "of them, reasoning",
        _of_answer(lambda it: it.reasoning_tokens)),
    Row("gen_ai.usage.audio.input_tokens", "attempt", "of them, sound",
        _of_answer(lambda it: it.audio_input_tokens)),
    Row("gen_ai.usage.audio.output_tokens", "attempt", "of them, sound",
        _of_answer(lambda it: it.audio_output_tokens)),
    Row("gen_ai.conversation.id", "attempt", "the conversation",
        _of_record(lambda it: it.conversation)),
    Row("server.address", "attempt", "the provider's host, if there is one only",
        lambda scene: None if scene.place is None else scene.place.address),
    Row("server.port", "attempt", "its port",
        lambda scene: None if scene.place is None else scene.place.port),
    Row("http.response.status_code", "attempt", "status of a target that answered with an error",
        _of_try(lambda it: it.status)),
    Row("error.type", "attempt", "what it failed of", attempt_failure),
    Row("tidegate.attempt.number", "attempt", "which one, from 1", lambda scene: scene.number),
    Row("tidegate.attempt.outcome", "attempt", "`ok`, `cancelled`, or what it failed of",
        _of_try(lambda it: it.outcome)),
    Row("tidegate.attempt.detail", "attempt", "what went wrong, for the operator",
        _of_try(lambda it: it.detail)),
    Row("tidegate.attempt.hedge", "attempt", "whether another one was slow",
        _of_try(lambda it: it.hedge or None)),
    Row("tidegate.attempt.cost_usd", "attempt", "its part of the cost", _cost),
    Row("tidegate.target", "attempt", "`provider/model` as configured",
        _of_try(lambda it: it.target)),
)  # fmt: skip
"""Every attribute but content and tags. `docs/reference/traces.md` is made from it."""
