"""Take what a caller says of an answer: understand it, mask it, spool it, answer.

Which alias it concerns is not known here, so personal data and credentials in people's own words
are masked whatever is kept of prompts.

Whose request it is, is found out by the control process: here nobody asks a database, and nobody
who guesses ids learns which there are.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.errors import BadRequest, Unavailable
from tidegate.gateway.anthropic import MESSAGES
from tidegate.gateway.exchange import JSON, Ending, Exchange
from tidegate.gateway.rooms import Rooms
from tidegate.gateway.wires import Wire
from tidegate.guard.redaction import Findings, mask_text
from tidegate.ledger.feedback import Feedback, Judgement, encode

FEEDBACK: Final = "/v1/feedback"
BODY_BYTES: Final = 32 << 10
_VERSION: Final = b"anthropic-version"

_read = msgspec.json.Decoder(Judgement).decode


async def take(rooms: Rooms, exchange: Exchange) -> Ending:
    """Spool the feedback of `exchange`. Raises: `TidegateError`, `CallerGone`."""
    if not rooms.spool.healthy:
        raise Unavailable("Feedback cannot be recorded now.", retry_after_s=5)
    record = exchange.record
    caller = rooms.keys.identify(exchange.headers, record.started_ns)
    record.key, record.team, record.organisation = caller.key, caller.team, caller.organisation
    limit_bytes = min(BODY_BYTES, rooms.body_limit_bytes)
    said = understand(await exchange.body(limit_bytes, rooms.read_timeout_s))
    found = Findings()
    feedback = Feedback(
        request_id=said.request_id,
        trace_id=said.trace_id,
        at_ns=record.started_ns,
        key=caller.key,
        team=caller.team,
        feedback_id=said.feedback_id,
        thumbs=said.thumbs,
        rating=said.rating,
        text=None if said.text is None else mask_text(said.text, found),
        labels={name: mask_text(value, found) for name, value in said.labels.items()},
    )
    await rooms.spool.append(encode(feedback))
    told = {"object": "feedback", "status": "accepted", "feedback_id": said.feedback_id}
    told |= {"request_id": said.request_id, "trace_id": said.trace_id}
    return Ending(202, [JSON], msgspec.json.encode(told))


def understand(body: bytes) -> Judgement:
    """What `body` says. Raises: `BadRequest`, with the field as `param`."""
    try:
        said = _read(body)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        param = path.strip("`").lstrip(".") or None
        raise BadRequest(f"{param or 'The body'}: {what}.", param=param) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.") from None
    if said.request_id is None and said.trace_id is None:
        raise BadRequest(
            "request_id: say which answer is meant, by `request_id` or `trace_id`.",
            param="request_id",
        )
    if said.thumbs is None and said.rating is None and not said.text and not said.labels:
        raise BadRequest(
            "thumbs: say something of the answer: `thumbs`, `rating`, `text` or `labels`.",
            param="thumbs",
        )
    return said


def wire_of(exchange: Exchange) -> Wire | None:
    """The format in which the caller reads errors: Anthropic's SDKs name themselves."""
    is_anthropic = any(name == _VERSION for name, _ in exchange.headers)
    return MESSAGES if is_anthropic else None
