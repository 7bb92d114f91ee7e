"""What became of one request, judged from the bytes that its caller got.

A stream with status 200 has to end with its format's good end or with an explicit error. One that
does neither, although HTTP says that it is complete, is a silent truncation: its reader takes half
an answer for a whole one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, cast

import msgspec

from tidegate.net.sse import SseDecoder

OK: Final = 200


class Outcome(Enum):
    """How it ended, as its caller sees it."""

    GOOD = "good"
    REFUSED = "refused"
    """An error status, with a body that says why."""
    FAILED = "failed"
    """An explicit error after the answer had begun."""
    TRUNCATED = "truncated"
    """Complete as HTTP, and neither a good end nor an error in it."""
    CUT = "cut"
    """The connection was lost in the middle."""
    UNANSWERED = "unanswered"
    """Nothing came: no connection, or it was closed before an answer."""
    LATE = "late"
    """Its caller gave up waiting."""


class Judgement(msgspec.Struct, frozen=True):
    """How a request ended, and the id of the answer, where it has one."""

    outcome: Outcome
    answer_id: str = ""


_decode = msgspec.json.Decoder().decode
_ENDS: Final = {
    "messages": ("message_stop",),
    "responses": ("response.completed", "response.incomplete"),
}
_FAILURES: Final = ("error", "response.failed")


def judge(wire: str, status: int, body: bytes, *, stream: bool, complete: bool) -> Judgement:
    """Judge an answer whose head came; `complete` says that HTTP's framing was kept to the end."""
    if not stream or status != OK:
        return _whole(status, body, complete=complete)
    ended, answer_id = _read_events(wire, body)
    if ended is None:
        ended = Outcome.TRUNCATED if complete else Outcome.CUT
    return Judgement(ended, answer_id)


def _whole(status: int, body: bytes, *, complete: bool) -> Judgement:
    if not complete:
        return Judgement(Outcome.CUT)
    said = _object(body)
    if status != OK:
        return Judgement(Outcome.REFUSED if said is not None else Outcome.TRUNCATED)
    if said is None:
        return Judgement(Outcome.TRUNCATED)
    if said.get("error") is not None:
        return Judgement(Outcome.FAILED)
    return Judgement(Outcome.GOOD, _text(said.get("id")))


def _read_events(wire: str, body: bytes) -> tuple[Outcome | None, str]:
    """How a stream ended, None when it did not say; and the answer's id."""
    answer_id, ended = "", None
    for event in SseDecoder().feed(body):
        if event.data == b"[DONE]":
            return Outcome.GOOD, answer_id
        said = _object(event.data)
        if said is None:
            continue
        kind = said.get("type")
        if said.get("error") or kind in _FAILURES:
            ended = Outcome.FAILED
        elif kind in _ENDS.get(wire, ()):
            ended = Outcome.GOOD
        if not answer_id:
            answer_id = _id_in(said)
    return ended, answer_id


def _id_in(event: dict[str, Any]) -> str:
    """The answer's id, which each format has in a place of its own."""
    for within in ("message", "response"):
        if isinstance(inner := event.get(within), dict):
            return _text(cast("dict[str, Any]", inner).get("id"))
    return _text(event.get("id"))


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        said = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
