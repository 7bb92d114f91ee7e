"""Which prompt and which answer a record keeps, and in which shape: decided and made here only.

Of two policies the stricter one holds. Whether a request is among the share whose bodies are kept
follows from its id, so that both bodies are kept or neither, and anybody can say which it was.
What is masked is masked before the record is encoded: nothing else of it reaches a disk. It is done
in steps, for everybody else waits meanwhile; what takes too many of them is not kept.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast
from zlib import crc32

import msgspec

from tidegate.gateway.exchange import Exchange
from tidegate.guard.redaction import (
    Findings,
    Pace,
    Steps,
    is_clean_json,
    masked_text,
    masked_value,
)
from tidegate.telemetry.joined import as_whole, joining
from tidegate.telemetry.record import Record
from tidegate.types import Call, Keeping

STREAM_FACTOR: Final = 16
"""How much longer a stream is than the answer that it says, at most as far as it is kept."""
STREAM_BYTES: Final = 1 << 20
LEFT_OUT: Final = "[LEFT OUT]"
"""Stands for an error's text that could not be masked."""
ERROR_CHARACTERS: Final = 1_000
_ALL: Final = 1 << 32
_TOKENS: Final = "[TOKENS]"
_SPLIT: Final = frozenset({"logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids"})
"""Where an answer says its text again in pieces, in which nothing could be found."""

_NODE: Final = 32
"""The effort to look at one value."""
_PLAIN: Final = frozenset({"chat", "messages", "responses"})
_PIECES: Final = tuple(
    re.compile(name + rb"\\?\": ?[^n ]") for name in (rb"logprobs", rb"token_ids")
)
"""One for each: a pattern that begins with a word is found at a tenth of the cost."""

_decode = msgspec.json.Decoder().decode


def is_sampled(request_id: str, share: float) -> bool:
    """Whether the request is among `share` of all."""
    return share >= 1.0 or crc32(request_id.encode()) < share * _ALL


def strictest(named: Keeping, planned: Keeping, team: Keeping | None) -> Keeping:
    """What the alias that was named, the one that it became, and the team all allow."""
    keeping = named if planned is named else named.stricter(planned)
    return keeping if team is None else keeping.stricter(team)


def note_keeping(exchange: Exchange, keeping: Keeping, call: Call, body: bytes) -> None:
    """Note what is to be kept of the request and its answer; `body` and `call` are as they came."""
    record = exchange.record
    if keeping.bodies not in ("full", "redacted"):
        return
    if not is_sampled(record.request_id, keeping.share):
        return
    record.bodies = keeping.bodies
    exchange.keeping, most = keeping, keeping.most_bytes
    if keeping.bodies == "full":
        exchange.keep_bytes = most
        record.request_body = body[:most]
        if len(body) > most:
            record.cut = ["request"]
    else:
        exchange.asked, exchange.asked_body = call.body, body
        exchange.keep_bytes = max(most, STREAM_BYTES)
        if call.stream:
            exchange.keep_bytes = min(most * STREAM_FACTOR, STREAM_BYTES)


def keep_bodies(exchange: Exchange) -> Steps[None]:
    """Put into the record, at its end, what is kept of prompt and answer. Raises: `TooHard`."""
    record, keeping = exchange.record, exchange.keeping
    pace = Pace(0 if keeping is None else keeping.most_bytes)
    if record.error is not None or record.attempts:
        yield from mask_errors(record, pace)
    if keeping is None:
        return
    said = exchange.kept()
    if keeping.bodies == "full":
        record.response_body = said
        if exchange.is_cut:
            record.cut = [*record.cut, "response"]
        return
    if (yield from _keep_clean(exchange, said, keeping.most_bytes, pace)):
        return
    found = Findings()
    if exchange.asked is not None:
        asked = _without_tokens(record.wire, exchange.asked)
        try:
            body, cut = yield from masked_value(asked, keeping.most_bytes, found, pace)
        except RecursionError:
            record.cut = [*record.cut, "request unread"]
        else:
            record.request_body = body
            record.cut = [*record.cut, "request"] if cut else record.cut
        exchange.asked = None
    if said:
        yield from _keep_answer(exchange, said, keeping.most_bytes, found, pace)
    record.findings = found


def leave_out(exchange: Exchange) -> None:
    """Keep nothing that could not be masked, and say so."""
    record, keeping = exchange.record, exchange.keeping
    for tried in record.attempts:
        tried.detail = None if tried.detail is None else LEFT_OUT
    record.error = None if record.error is None else LEFT_OUT
    if record.parameters is not None:
        record.parameters = {
            name: LEFT_OUT if isinstance(value, str) else value
            for name, value in record.parameters.items()
        }
    if keeping is not None and keeping.bodies == "redacted":
        record.request_body = record.response_body = exchange.asked = None
        record.findings = {}
        record.cut = ["request unread", "response unread"]


def _keep_clean(exchange: Exchange, said: bytes, most: int, pace: Pace) -> Steps[bool]:
    """Keep two bodies as they are, if a look at both together says that nothing is in them.

    That is most requests, and the look takes a third of the time that masking them would.
    """
    record, asked = exchange.record, exchange.asked_body
    if record.wire not in _PLAIN or len(asked) > most or len(said) > most:
        return False
    if said[:1] != b"{" or exchange.is_cut:
        return False
    logprobs, token_ids = _PIECES
    if logprobs.search(said) is not None or token_ids.search(said) is not None:
        return False
    if not (yield from is_clean_json(asked, said, pace)):
        return False
    record.request_body, record.response_body, exchange.asked = asked, said, None
    return True


def mask_errors(record: Record, pace: Pace) -> Steps[None]:
    """Mask what errors say: vendors quote there what they were sent. Raises: `TooHard`."""
    found = Findings()
    if record.error is not None:
        record.error = yield from masked_text(record.error, found, pace)
    for tried in record.attempts:
        if tried.detail is not None:
            tried.detail = yield from masked_text(tried.detail, found, pace)
    if record.parameters is not None:
        for name, value in record.parameters.items():
            if isinstance(value, str):
                record.parameters[name] = yield from masked_text(value, found, pace)


def _keep_answer(
    exchange: Exchange, said: bytes, most: int, found: Findings, pace: Pace
) -> Steps[None]:
    record = exchange.record
    whole: bytes | None = said
    if said.lstrip()[:1] != b"{":
        reply = yield from joining(record.wire, said)
        whole = None if reply is None else as_whole(record.wire, reply, record.model or "")
    try:
        answer = None if whole is None else _decode(whole)
        if _is_split(said):
            answer = yield from _without_pieces(answer, pace)
        body, cut = yield from masked_value(answer, most, found, pace)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer, body, cut = None, b"", False
    if answer is None:  # nobody can say what is in it
        record.cut = [*record.cut, "response unread"]
        return
    record.response_body = body
    if cut or exchange.is_cut:
        record.cut = [*record.cut, "response"]


def _is_split(said: bytes) -> bool:
    """Whether an answer may say its text again in pieces."""
    return b"logprobs" in said or b"token_ids" in said


def _without_tokens(wire: str, body: dict[str, Any]) -> dict[str, Any]:
    """`body` without a prompt that is written in tokens, which nobody here can read."""
    name = {"completions": "prompt", "embeddings": "input"}.get(wire, "")
    prompt = body.get(name)
    if not isinstance(prompt, list):
        return body
    parts = cast("list[Any]", prompt)
    if not any(isinstance(part, int | list) for part in parts):
        return body
    return {**body, name: _TOKENS}


def _without_pieces(value: Any, pace: Pace) -> Steps[Any]:
    if pace.spend(_NODE):
        yield
    if isinstance(value, dict):
        shorter: dict[str, Any] = {}
        for name, inner in cast("dict[str, Any]", value).items():
            whole = name not in _SPLIT or inner is None
            shorter[name] = (yield from _without_pieces(inner, pace)) if whole else None
        return shorter
    if isinstance(value, list):
        items: list[Any] = []
        for each in cast("list[Any]", value):
            one = yield from _without_pieces(each, pace)
            items.append(one)
        return items
    return value
