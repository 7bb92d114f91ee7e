"""A whole answer in the Messages format: read from a vendor, written for a caller, looked at."""

from __future__ import annotations

from secrets import token_hex
from typing import Any, cast

import msgspec

from tidegate.errors import UpstreamMalformed
from tidegate.formats.messages.failures import reported
from tidegate.formats.messages.parts import CITATIONS, TOOL_MARK, read_content
from tidegate.formats.messages.shapes import (
    BROKEN,
    FINISHES,
    FORMAT,
    MAX_BLOCKS,
    Json,
    MessageView,
    decode,
    encode,
    malformed,
    read_usage,
    stop_reason,
    write_usage,
)
from tidegate.formats.words import Ask, Foreign, Refusal, Reply, Said, Text, Thinking, ToolUse
from tidegate.types import Facts, Usage

_decode = msgspec.json.Decoder(MessageView).decode


def read_reply(body: bytes) -> Reply:
    """See `Spoken.read_reply`."""
    view = read_message(body)
    content = view.content or []
    try:
        parts = read_content(content, {})
    except (msgspec.ValidationError, RecursionError) as error:
        raise malformed(error) from error
    said = Said(parts, FINISHES.get(view.stop_reason, "other"), view.stop_sequence)
    usage = None if view.usage is None else read_usage(view.usage)
    return Reply(view.id, view.model, (said,), usage)


def read_message(body: bytes) -> MessageView:
    """The answer in `body`. Raises: `UpstreamMalformed`, or what an error in it stands for."""
    try:
        view = _decode(body)
    except BROKEN as error:
        raise malformed(error) from error
    if view.error is not None:
        raise reported(view.error)
    if view.content is None:
        raise UpstreamMalformed("The provider's answer holds no content.")
    if len(view.content) > MAX_BLOCKS:
        raise UpstreamMalformed(f"The provider's answer has more than {MAX_BLOCKS} blocks.")
    return view


def learn(facts: Facts, body: bytes) -> None:
    """See `Heard.learn`."""
    view = read_message(body)
    facts.model, facts.finish_reason = view.model, view.stop_reason
    if view.usage is not None:
        facts.usage = read_usage(view.usage)


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:  # noqa: ARG001
    """See `Heard.write_reply`. Raises: `UpstreamMalformed` when a call's arguments are no object.

    The format has one choice only, which is the first.
    """
    said = reply.choices[0]
    content: list[Json] = []
    refused = called = False
    for part in said.parts:
        match part:
            case Text():
                if part.text:
                    content.append(_write_text(part))
            case ToolUse():
                called = True
                if part.signature is not None:
                    content.append(write_thinking("", TOOL_MARK + part.signature))
                content.append(_write_tool_use(part))
            case Thinking():
                content.append(
                    write_thinking(part.text, part.signature or "")
                    if part.redacted is None
                    else {"type": "redacted_thinking", "data": part.redacted}
                )
            case Refusal():
                refused = True
                content.append({"type": "text", "text": part.text})
            case Foreign():
                if part.format == FORMAT:
                    content.append(part.value)
            case _:
                pass  # images and sound, which no answer of this format has
    written = message(reply.id, reply.model or model, reply.usage)
    written["content"] = content
    written["stop_reason"] = stop_reason(
        said.finish, said.stop_sequence, refused=refused, called=called
    )
    written["stop_sequence"] = said.stop_sequence
    return encode(written)


def message(id_: str | None, model: str, usage: Usage | None) -> Json:
    """What a stream begins with: an answer that says nothing yet. One without an id gets one."""
    return {
        "id": id_ or f"msg_{token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": write_usage(usage),
    }


def write_thinking(text: str, signature: str) -> Json:
    """A block of thinking; the SDK wants its signature even where there is none."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def _write_text(part: Text) -> Json:
    block: Json = {"type": "text", "text": part.text}
    if part.notes:
        citations = [note for note in part.notes if note.get("type") in CITATIONS]
        if citations:
            block["citations"] = citations
    return block


def _write_tool_use(part: ToolUse) -> Json:
    try:
        arguments: Any = decode(part.arguments) if part.arguments else {}
    except BROKEN as error:
        raise malformed(error) from error
    if not isinstance(arguments, dict):
        raise UpstreamMalformed("The arguments of a tool's call are no JSON object.")
    return {
        "type": "tool_use",
        "id": part.id,
        "name": part.name,
        "input": cast("Json", arguments),
    }
