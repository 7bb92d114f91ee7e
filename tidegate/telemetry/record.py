"""The one record of a request: the only mutable thing in it, written out once at its end.

A record is made when the request's head is in, and is written on every way out, refusals
included. Times inside it are milliseconds from the request's start; tokens are what the provider
reported, None where it reported nothing (zero is a number it did report).
"""

from __future__ import annotations

from typing import Any

import msgspec


class Attempt(msgspec.Struct, omit_defaults=True):
    """One try at one target; `outcome` is `ok` or the code of the error that ended it."""

    target: str
    outcome: str
    started_ms: float
    duration_ms: float
    status: int | None = None
    detail: str | None = None
    hedge: bool = False
    """Whether it was made because another one was slow."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    """What it cost, if it was not the one that answered: that one's cost is the record's rest."""
    queue_ms: float = 0.0
    """How long it waited for its turn at the target."""
    then: str | None = None
    """What followed its failure, and why."""


class Record(msgspec.Struct, omit_defaults=True):
    """Everything known about one request.

    `outcome` is `ok`, an error's code, `client_gone` or `failed_after_commit`. A record that
    was written at its beginning, so that a crash forgets no money, is `held` and is followed by the
    whole one; if it is not, the control process settles it as `lost`.
    """

    request_id: str
    started_ns: int
    """Unix time in nanoseconds."""
    worker: str
    wire: str
    """The caller's wire format: `chat`, `completions`, `embeddings`, `models` or `none`."""
    path: str
    config_version: str
    stream: bool = False

    key: str | None = None
    team: str | None = None
    organisation: str | None = None
    user: str | None = None
    feature: str | None = None
    conversation: str | None = None
    environment: str | None = None
    tags: dict[str, str] = {}
    trace_parent: str | None = None
    """The caller's place in a trace, if it told a good one: `00-TRACE-SPAN-FLAGS`."""
    alias: str | None = None
    model: str | None = None
    """The provider's own model name that served, as the provider reports it if it does."""
    provider: str | None = None
    target: str | None = None
    """`provider/model` as configured."""
    reason: str | None = None
    """Why this target was chosen."""

    outcome: str = "ok"
    status: int = 0
    """HTTP status sent to the caller; 0 when none was."""
    error: str | None = None
    """The message that the caller was sent."""
    error_code: str | None = None
    """What ended an answer that failed after commit."""
    attempts: list[Attempt] = []
    degraded: str | None = None
    """What was answered because no target could: `canned`."""
    adapted: list[str] = []
    """What was done to the request so that it could be answered: `trimmed`, `repaired`."""
    dropped: list[str] = []
    """Fields of the request that the target's format had no word for."""

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    usage_estimated: bool = False
    """Whether the tokens were counted from what was delivered, because nobody told them."""
    cost_nanousd: int | None = None
    """All tries together; None when the price or the usage is not known."""
    price: str | None = None
    """Which price was applied."""
    held_nanousd: int | None = None
    """What was held of the budgets while it ran; None where no budget covers it."""
    held_input_nanousd: int | None = None
    """Of a held one: what its input alone costs by estimate, as the dearest of its targets has it:
    the charge by `lost: delivered` if it is lost before it says anything."""
    expires_ms: float = 0.0
    """Of a held one: when it is over at the latest."""
    limit: str | None = None
    """The limit that refused it: `team product tokens_per_minute`."""
    left_out: dict[str, str] = {}
    """Targets that were not to be asked though the alias has them, and why."""
    downgraded: str | None = None
    """The alias that was asked for, when a budget's soft cap made it another one."""
    queue_ms: float = 0.0
    """How long it waited for its turn."""
    body_ms: float = 0.0
    """How long its body took to arrive; 0.0 where that came with its head."""
    admit_ms: float = 0.0
    """How long it waited for limits that are counted elsewhere, and for its hold to be written."""

    ttft_ms: float | None = None
    duration_ms: float = 0.0
    gateway_ms: float | None = None
    """Time from the request's start until the upstream was asked: what we added before it."""
    tokens_per_s: float | None = None
    """Output tokens after the first, over the time from the first to the last."""
    max_gap_ms: float | None = None
    """Longest silence between two chunks after the first token."""
    chunks: int = 0

    finish_reason: str | None = None
    form: str | None = None
    """Of requests that ask for JSON or offer tools: `good`, `repaired` if only a further try was,
    `malformed`, or `unchecked`."""
    parameters: dict[str, Any] | None = None
    """Sampling parameters as the caller sent them; never messages."""
    request_bytes: int = 0
    response_bytes: int = 0
    bodies: str | None = None
    """How prompt and answer were kept: `full` or `redacted`; None where they were not."""
    cut: list[str] = []
    """What of them is not whole: `request`, `response`; `request unread`, `response unread` where
    it could not be read, and therefore not be masked."""
    findings: dict[str, int] = {}
    """How much personal data and how many credentials were masked in them, by kind."""
    request_body: bytes | None = None
    response_body: bytes | None = None
    """The answer's bytes as sent to the caller; with `redacted` both are JSON with marks in it, of
    a streamed answer the whole that it says."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """`record` as msgpack, the spool's payload."""
    return _encoder.encode(record)


def decode(payload: bytes) -> Record:
    """The record that `encode` wrote.

    Raises: `msgspec.DecodeError` when `payload` is not one.
    """
    return _decoder.decode(payload)
