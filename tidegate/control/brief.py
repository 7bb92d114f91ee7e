"""What the control process needs of a record, read once: for the store, and for the measures.

Read in place of the whole record, it takes a third of the time. It is read only where all of it is
within bounds: most records are.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

NAME_CHARACTERS: Final = 256
MOST_TOKENS: Final = 10**12
MOST_NANOUSD: Final = 9 * 10**15

_Name = Annotated[str, Meta(max_length=NAME_CHARACTERS)]
_Tokens = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_Money = Annotated[int, Meta(ge=0, le=MOST_NANOUSD)]


class BriefTry(Struct, gc=False):
    """One try at one target."""

    target: _Name
    hedge: bool = False
    cost_nanousd: _Money | None = None


class Brief(Struct, gc=False):
    """The fields are those of `Record`. Nothing in it leads back to it."""

    request_id: _Name
    started_ns: int
    worker: str
    wire: str = "none"
    stream: bool = False
    key: _Name | None = None
    team: _Name | None = None
    organisation: _Name | None = None
    user: _Name | None = None
    feature: _Name | None = None
    conversation: _Name | None = None
    tags: dict[str, str] = {}
    trace_parent: _Name | None = None
    alias: _Name | None = None
    model: _Name | None = None
    provider: _Name | None = None
    target: _Name | None = None
    outcome: _Name = "ok"
    status: int = 0
    attempts: tuple[BriefTry, ...] = ()
    degraded: str | None = None
    adapted: tuple[str, ...] = ()
    input_tokens: _Tokens | None = None
    cached_input_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None
    audio_input_tokens: _Tokens | None = None
    audio_output_tokens: _Tokens | None = None
    cost_nanousd: _Money | None = None
    held_nanousd: _Money | None = None
    expires_ms: float = 0.0
    limit: str | None = None
    downgraded: str | None = None
    queue_ms: float = 0.0
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    gateway_ms: float | None = None
    tokens_per_s: float | None = None
    max_gap_ms: float | None = None
    finish_reason: str | None = None
    form: str | None = None
    response_body: memoryview | None = None
    """As it stands in the payload, not copied."""
    findings: dict[str, int] = {}
    cut: list[str] = []
