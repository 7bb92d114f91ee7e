"""What a caller says of an answer: it takes the way of the records, through the spool.

Whether the caller may judge that request is found out where records are: the control process.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

TEXT_CHARACTERS: Final = 4_000
LABELS, LABEL_CHARACTERS, VALUE_CHARACTERS = 16, 64, 200
_MARK = slice(1, 10), b"\xa8feedback"

Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
TraceId = Annotated[str, Meta(pattern=r"^(?!0{32}$)[0-9a-f]{32}$")]
Label = Annotated[str, Meta(min_length=1, max_length=LABEL_CHARACTERS)]
Value = Annotated[str, Meta(max_length=VALUE_CHARACTERS)]


class Judgement(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/feedback`."""

    request_id: Id | None = None
    trace_id: TraceId | None = None
    feedback_id: Id | None = None
    thumbs: Literal["up", "down"] | None = None
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    text: Annotated[str, Meta(max_length=TEXT_CHARACTERS)] | None = None
    labels: Annotated[dict[Label, Value], Meta(max_length=LABELS)] = {}


class Feedback(msgspec.Struct, frozen=True, array_like=True, tag="feedback"):
    """A judgement, and who gives it when. Fields are only ever added at the end."""

    request_id: str | None
    trace_id: str | None
    at_ns: int
    """Unix time in nanoseconds."""
    key: str | None
    team: str | None
    feedback_id: str | None
    thumbs: str | None
    rating: int | None
    text: str | None
    labels: dict[str, str]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Feedback)


def encode(feedback: Feedback) -> bytes:
    """`feedback` as msgpack, a payload of the spool."""
    return _encoder.encode(feedback)


def decode(payload: bytes) -> Feedback:
    """What `encode` wrote. Raises: `msgspec.DecodeError`."""
    return _decoder.decode(payload)


def is_feedback(payload: bytes) -> bool:
    """Whether a payload of the spool is one of these, and not a record."""
    place, mark = _MARK
    return payload[place] == mark
