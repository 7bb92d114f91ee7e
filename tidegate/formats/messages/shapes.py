"""Typed views of what the Messages format consists of, and how a misfit is told.

A view names the fields that are understood and checks their types; others are left alone. Blocks of
content stay dictionaries until their `type` is known, for unknown ones must survive.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct, structs

from tidegate.errors import BadRequest, UpstreamMalformed
from tidegate.formats.words import Finish
from tidegate.types import Usage

Json = dict[str, Any]

FORMAT = "messages"
"""The name under which parts that only this format knows are kept."""
MAX_BLOCKS = 256
"""How many blocks an answer may have: a hostile server is not to fill the memory."""
_ITERATIONS = 1024

BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding raises when bytes are not what they should be."""

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]

# Blocks of content


class TextBlock(Struct):
    """`citations` say where the text comes from."""

    text: str
    cache_control: Json | None = None
    citations: list[Json] | None = None


class Source(Struct):
    """What an image or a document is made of; which fields are there depends on `type`."""

    type: str
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Json] | None = None


class ImageBlock(Struct):
    """An image."""

    source: Source
    cache_control: Json | None = None
    transformations: Json | None = None


class DocumentBlock(Struct):
    """A PDF, a text, or blocks of content that can be cited."""

    source: Source
    title: str | None = None
    context: str | None = None
    citations: Json | None = None
    cache_control: Json | None = None


class ToolUseBlock(Struct):
    """A call of a tool."""

    id: str
    name: str
    input: Json
    cache_control: Json | None = None


class ToolResultBlock(Struct):
    """What a tool gave."""

    tool_use_id: str
    content: str | list[Json] | None = None
    is_error: bool | None = None
    cache_control: Json | None = None


class ThinkingBlock(Struct):
    """Reasoning, and the signature by which it is known again."""

    thinking: str
    signature: str | None = None


class RedactedBlock(Struct):
    """Reasoning that came encrypted."""

    data: str


# Requests


class Message(Struct):
    """A turn; newer models take instructions between turns as well."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Json]


class ToolChoiceView(Struct):
    """Whether tools are called; `name` stands with `tool` only."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingView(Struct):
    """How to think; `display` is `summarized` or `omitted`."""

    type: str
    budget_tokens: Count | None = None
    display: str | None = None


class FormatView(Struct):
    """What an answer is held to: the only `type` so far is `json_schema`."""

    type: str
    schema: Json | None = None


class OutputView(Struct):
    """How much effort an answer is worth, and its form."""

    effort: str | None = None
    format: FormatView | None = None


class MetadataView(Struct):
    """Who the end user is."""

    user_id: str | None = None


class ToolView(Struct):
    """A tool that the caller runs."""

    name: str
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None
    cache_control: Json | None = None


class RequestView(Struct):
    """What is read of a request; every other field goes into `Ask.extra`."""

    model: str
    messages: list[Message]
    system: str | list[Json] | None = None
    tools: list[Json] | None = None
    tool_choice: ToolChoiceView | None = None
    thinking: ThinkingView | None = None
    output_config: OutputView | None = None
    output_format: FormatView | None = None
    metadata: MetadataView | None = None
    max_tokens: Count | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    service_tier: str | None = None
    stream: bool | None = None


KNOWN = frozenset(RequestView.__struct_fields__)

# Answers


class OutputDetails(Struct):
    """The parts of `output_tokens`."""

    thinking_tokens: Count | None = None


class CreationView(Struct):
    """What was written to a cache, by how long it is kept."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _Tokens(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CreationView | None = None


class IterationView(_Tokens):
    """One of several samplings of an answer."""

    type: str | None = None


class UsageView(_Tokens):
    """Tokens, each None where it is not told.

    What is counted outside of `iterations` is their sum, but for those that are no `message`: the
    compaction of the conversation, or what another model advised.
    Source: platform.claude.com/docs/en/build-with-claude/compaction (usage).
    """

    output_tokens_details: OutputDetails | None = None
    iterations: Annotated[list[IterationView], msgspec.Meta(max_length=_ITERATIONS)] | None = None
    service_tier: Any = None


class ErrorView(Struct):
    """What an error object says."""

    type: str | None = None
    message: str | None = None
    details: Any = None


class MessageView(Struct):
    """A whole answer, or what a stream begins with."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Json] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageView | None = None
    error: ErrorView | None = None


def read_usage(view: UsageView) -> Usage:
    """Tokens in our classes: here `input` includes what was read from and written to the cache."""
    details = view.output_tokens_details
    reasoning = details.thinking_tokens if details else None
    tier = view.service_tier if isinstance(view.service_tier, str) else None
    usage = _counted(view, reasoning, tier)
    if view.iterations:
        for each in view.iterations:
            if each.type != "message":
                usage = _sum(usage, _counted(each, None, None))
    return usage


def _counted(view: _Tokens, reasoning: int | None, tier: str | None) -> Usage:
    cached, written, kept = view.cache_read_input_tokens, view.cache_creation_input_tokens, None
    if view.cache_creation is not None:
        kept = view.cache_creation.ephemeral_1h_input_tokens
        apart = (view.cache_creation.ephemeral_5m_input_tokens or 0) + (kept or 0)
        written = max(written or 0, apart)
    return Usage(
        input=(view.input_tokens or 0) + (cached or 0) + (written or 0),
        output=max(view.output_tokens or 0, reasoning or 0),
        cached_input=cached,
        cache_write=written,
        reasoning=reasoning,
        cache_write_1h=kept,
        tier=tier,
    )


def _sum(usage: Usage, more: Usage) -> Usage:
    return Usage(
        *(
            one if other is None else other + (one or 0)
            for one, other in zip(structs.astuple(usage), structs.astuple(more), strict=True)
        )
    )


def write_usage(usage: Usage | None) -> Json:
    """Tokens in the format's classes: there `input_tokens` is only what the cache did not touch."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    cached, written = usage.cached_input or 0, usage.cache_write or 0
    said: Json = {
        "input_tokens": max(0, usage.input - cached - written),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
    }
    if usage.cache_write_1h is not None:
        kept = min(usage.cache_write_1h, written)
        said["cache_creation"] = {
            "ephemeral_5m_input_tokens": written - kept,
            "ephemeral_1h_input_tokens": kept,
        }
    if usage.reasoning is not None:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


FINISHES: dict[str | None, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
STOP_REASONS: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "other": "end_turn",
}


def stop_reason(finish: Finish, stop_sequence: str | None, *, refused: bool, called: bool) -> str:
    """The format's word for why an answer ended.

    A refusal and a call of a tool are seen from the content too: some vendors end both like any
    other answer.
    """
    if refused:
        return "refusal"
    if finish == "stop":
        if called:
            return "tool_use"
        if stop_sequence is not None:
            return "stop_sequence"
    return STOP_REASONS[finish]


# Misfits


def bad_request(error: msgspec.ValidationError, where: str = "") -> BadRequest:
    """What the caller is told of a value of the wrong type that stands at `where`."""
    what, _, path = str(error).partition(" - at `$")
    param = (where + path.strip("`")).lstrip(".")
    return BadRequest(f"{param or 'The body'}: {what}.", param=param or None)


def malformed(error: Exception) -> UpstreamMalformed:
    """What is said of an answer that does not fit the format."""
    told = UpstreamMalformed("The provider's answer is not what its format promises.")
    told.__cause__ = error
    return told


def deeper(error: msgspec.ValidationError, step: str) -> msgspec.ValidationError:
    """`error`, found in what stands at `step` of something larger."""
    what, _, path = str(error).partition(" - at `$")
    return msgspec.ValidationError(f"{what} - at `${step}{path.strip('`')}`")
