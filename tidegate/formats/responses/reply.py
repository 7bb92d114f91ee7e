"""Whole answers: read a provider's `response` object, and write one for a caller."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import msgspec

from tidegate.clock import SystemClock
from tidegate.errors import UpstreamMalformed
from tidegate.formats.responses import answer
from tidegate.formats.responses.failure import reported
from tidegate.formats.responses.items import FORMAT
from tidegate.formats.responses.seal import packed
from tidegate.formats.responses.shapes import (
    MOST_ITEMS,
    CallShape,
    Json,
    ReasoningShape,
    RefusalShape,
    ResponseShape,
    TextShape,
    from_provider,
)
from tidegate.formats.words import (
    Ask,
    Foreign,
    Part,
    Refusal,
    Reply,
    Said,
    Text,
    Thinking,
    ToolUse,
)

TOKEN_BYTES = 24
"""Randomness of a response's id: who knows it may ask for the response."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ResponseShape).decode


def decode_response(body: bytes) -> ResponseShape:
    """The response in `body`. Raises: `UpstreamMalformed`, or what the error in it stands for."""
    try:
        response = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if response.error is not None or response.status in ("failed", "cancelled"):
        raise reported(response.error)
    if response.output is None or response.is_empty:
        raise UpstreamMalformed("The provider's answer holds no output.")
    return response


def read_reply(body: bytes) -> Reply:
    """A whole answer. Raises: `UpstreamMalformed`, or what an error inside it stands for."""
    response = decode_response(body)
    if response.status not in ("completed", "incomplete", None):
        raise UpstreamMalformed("The provider has not answered yet.")
    return reply_of(response)


def reply_of(response: ResponseShape) -> Reply:
    """A complete response in our words. Raises: `UpstreamMalformed`."""
    items = response.output or []
    if len(items) > MOST_ITEMS:
        raise UpstreamMalformed("The provider's answer holds too many items.")
    parts: list[Part] = []
    logprobs: list[Json] = []
    for item in items:
        parts += parts_of(item, logprobs)
    finish = response.finish(
        called=any(isinstance(part, ToolUse) for part in parts),
        refused=any(isinstance(part, Refusal) for part in parts),
    )
    return Reply(
        id=response.id,
        model=response.model,
        choices=(Said(tuple(parts), finish, logprobs=tuple(logprobs) or None),),
        usage=response.usage.usage(response.service_tier) if response.usage else None,
        created=None if response.created_at is None else int(response.created_at),
    )


def parts_of(item: Json, logprobs: list[Json]) -> list[Part]:
    """What an output item says; what it tells of probabilities is added to `logprobs`.

    Raises: `UpstreamMalformed`.
    """
    match item.get("type"):
        case "message":
            content: Any = item.get("content")
            if not isinstance(content, list):
                raise UpstreamMalformed("A message of the provider's answer has no content.")
            return [_content(part, logprobs) for part in content]  # pyright: ignore[reportUnknownVariableType]
        case "function_call":
            call = from_provider(item, CallShape)
            return [ToolUse(call.call_id, call.name, call.arguments, call.signature)]
        case "reasoning":
            return [thinking_of(from_provider(item, ReasoningShape))]
        case str():
            return [Foreign(FORMAT, item)]
        case _:
            raise UpstreamMalformed("An item of the provider's answer is of no kind.")


def thinking_of(item: ReasoningShape) -> Thinking:
    """A reasoning item, with what it has to be known by when it comes back."""
    text, encrypted = item.text(), item.encrypted_content
    if encrypted is None and not item.content:
        return Thinking(text, id=item.id)
    if text:
        return Thinking(text, signature=packed(item.id, encrypted), id=item.id)
    return Thinking(redacted=packed(item.id, encrypted), id=item.id)


def _content(part: Any, logprobs: list[Json]) -> Part:
    match part:
        case {"type": "output_text"}:
            text = from_provider(part, TextShape)
            logprobs += text.logprobs or ()
            return Text(text.text, notes=tuple(text.annotations or ()))
        case {"type": "refusal"}:
            return Refusal(from_provider(part, RefusalShape).refusal)
        case dict():
            return Foreign(FORMAT, part)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            raise UpstreamMalformed("A message of the provider's answer holds no parts.")


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:
    """A whole answer to `ask`, whose parameters it repeats; `model` is shown if it tells none.

    Of several choices the first is the answer: the format knows no others. Its id is ours, for
    other formats' ids are not always as hard to guess as a stored answer's has to be.
    """
    now_s = SystemClock.now_ns() // 1_000_000_000
    return written(reply, model, ask, token_hex(TOKEN_BYTES), now_s)


def written(reply: Reply, model: str, ask: Ask | None, token: str, now_s: int) -> bytes:
    """`write_reply` with all that it does not take from its arguments."""
    response = answer.begun(ask, token, reply.created or now_s, reply.model or model)
    said = reply.choices[0] if reply.choices else Said((), "other")
    refused = said.finish == "refusal" and any(isinstance(part, Refusal) for part in said.parts)
    finish = answer.told_as(said.finish, refused=refused)
    response.output = answer.items_of(
        said.parts,
        token,
        finish,
        answer.logprobs_of(said.logprobs),
        as_summary=answer.wants_summary(ask),
    )
    answer.end(response, finish, reply.usage, now_s)
    return _encode(response)
