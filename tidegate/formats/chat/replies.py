"""A whole chat answer read into a `Reply`, and what its fields mean in a stream too.

Source: platform.openai.com/docs/api-reference/chat/object; `stop_reason` is vLLM's, `images` and
`reasoning_details` are OpenRouter's.
"""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamFailed, UpstreamMalformed
from tidegate.formats.chat.parts import (
    Function,
    PartFields,
    ToolCall,
    arguments_text,
    foreign_field,
    read_part,
    read_signature,
    read_thinking,
)
from tidegate.formats.faults import reported
from tidegate.formats.openai import BROKEN, Counts, read_usage
from tidegate.formats.words import (
    Finish,
    Part,
    Refusal,
    Reply,
    Said,
    Text,
    ToolUse,
)

Json = dict[str, Any]

CALLS_MAX = 256
"""Calls of tools in one choice, or in a stream; a hostile server could send them without end."""
CHOICES_MAX = 128
"""OpenAI's own bound of `n`."""

FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""What reasons mean: OpenAI's, then those of Together, TGI and Mistral."""


class Logprobs(Struct):
    """Log-probabilities of the content; those of a refusal are not told on."""

    content: list[Json] | None = None


class _Message(Struct):
    content: str | list[PartFields] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Json] | None = None
    annotations: list[Json] | None = None
    images: list[PartFields] | None = None
    audio: Json | None = None


class _Choice(Struct):
    message: _Message
    index: int | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: Logprobs | None = None


class _Reply(Struct):
    choices: list[_Choice] = []
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: Counts | None = None
    service_tier: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Reply).decode


def read_reply(body: bytes) -> Reply:
    """The answer that `body` says. See `Spoken.read_reply`."""
    try:
        told = _decode(body)
    except BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if told.error is not None:
        raise reported(told.error)
    if len(told.choices) > CHOICES_MAX:
        raise UpstreamMalformed(f"The provider's answer holds more than {CHOICES_MAX} choices.")
    choices = told.choices
    if len(choices) > 1:
        choices.sort(key=lambda choice: choice.index or 0)
    return Reply(
        id=told.id or None,
        model=told.model or None,
        choices=tuple(map(_said, choices)),
        usage=None if told.usage is None else read_usage(told.usage, told.service_tier),
        created=created(told.created),
    )


def created(told: float | None) -> int | None:
    """Unix time as a whole number; None for what can be none."""
    return int(told) if told and 0 < told < 1 << 40 else None


def _said(choice: _Choice) -> Said:
    parts = _parts(choice.message)
    kinds = {type(part) for part in parts}
    finish = read_finish(choice.finish_reason, called=ToolUse in kinds, refused=Refusal in kinds)
    stop = choice.stop_reason
    logprobs = choice.logprobs
    return Said(
        tuple(parts),
        finish,
        stop if finish == "stop" and isinstance(stop, str) else None,
        None if logprobs is None or logprobs.content is None else tuple(logprobs.content),
    )


def read_finish(reason: str | None, *, called: bool, refused: bool) -> Finish:
    """What a finish reason means.

    `stop` is also said after a call that was forced (and by some servers after any), and after a
    refusal.

    Raises: `UpstreamFailed` for OpenRouter's and Mistral's `error`.
    """
    if reason == "error":
        raise UpstreamFailed("The provider ended the answer with an error.")
    finish = "stop" if called and reason is None else FINISHES.get(reason or "", "other")
    if finish == "stop":
        return "tool_calls" if called else "refusal" if refused else "stop"
    return finish


def _parts(message: _Message) -> list[Part]:
    parts: list[Part] = []
    thinks = message.reasoning_content or message.reasoning
    if thinks or message.reasoning_details:
        parts += read_thinking(thinks, message.reasoning_details)
    content = message.content
    if isinstance(content, str):
        if content:
            notes = read_notes(message.annotations) if message.annotations else ()
            parts.append(Text(content, None, notes))
    elif content:
        for part in content:
            parts += read_part(part, {"type": part.type})
    for part in message.images or ():
        parts += read_part(part, {"type": part.type})
    if message.refusal:
        parts.append(Refusal(message.refusal))
    if message.audio is not None:
        parts.append(foreign_field("audio", message.audio))
    if message.tool_calls or message.function_call is not None:
        parts += _calls(message.tool_calls or [], message.function_call)
    return parts


def _calls(calls: list[ToolCall], old: Function | None) -> Iterator[ToolUse]:
    if len(calls) > CALLS_MAX:
        raise UpstreamMalformed(f"The provider's answer calls more than {CALLS_MAX} tools.")
    for call in calls:
        function = call.function
        if function is None or not function.name:
            raise UpstreamMalformed("The provider's answer calls a tool without a name.")
        yield ToolUse(
            call.id or new_call_id(),
            function.name,
            arguments_text(function.arguments),
            read_signature(call.extra_content),
        )
    if old is not None and old.name:
        yield ToolUse(new_call_id(), old.name, arguments_text(old.arguments))


def read_notes(annotations: list[Json] | None) -> tuple[Json, ...]:
    """Annotations, each with its fields beside its type: as the Responses API tells them."""
    return tuple(
        {"type": kind, **inner}
        if isinstance(kind := note.get("type"), str) and isinstance(inner := note.get(kind), dict)
        else note
        for note in annotations or ()
    )


def new_call_id() -> str:
    """An id for a call that came without one."""
    return f"call_{token_hex(12)}"
