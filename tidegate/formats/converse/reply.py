"""Answers of Converse: what their blocks, reasons and counts mean.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.converse.failures import BROKEN
from tidegate.formats.converse.parts import FORMAT
from tidegate.formats.words import Finish, Foreign, Part, Reply, Said, Text, Thinking, ToolUse
from tidegate.types import Usage

MAX_BLOCKS: Final = 256
"""How many blocks an answer may have: a hostile server is not to fill the memory."""

_FINISHES: Final[dict[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
_BROKEN_OUTPUTS: Final = ("malformed_model_output", "malformed_tool_use")

_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


class CacheDetail(Struct, rename="camel"):
    """What was written to a cache to be kept for `ttl`."""

    input_tokens: _Count = 0
    ttl: str = ""


class Counts(Struct, rename="camel"):
    """Tokens as Converse counts them."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    total_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_write_input_tokens: _Count | None = None
    cache_details: Annotated[list[CacheDetail], Meta(max_length=16)] | None = None


class More(Struct):
    """What was asked for in `additionalModelResponseFieldPaths`."""

    stop_sequence: str | None = None


class _ToolUse(Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: Raw = Raw(b"{}")
    type: str | None = None


class _ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Cited(Struct):
    text: str | None = None


class _Citations(Struct):
    content: list[_Cited] | None = None


class _Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Citations | None = None


class _Message(Struct):
    content: list[_Block]


class _Output(Struct):
    message: _Message


class _Whole(Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: Counts | None = None
    additional_model_response_fields: More | None = None


_decode = msgspec.json.Decoder(_Whole).decode
_decode_any = msgspec.json.Decoder().decode


def read_reply(body: bytes) -> Reply:
    """A whole answer. See `Spoken.read_reply`."""
    try:
        whole = _decode(body)
    except BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    blocks = whole.output.message.content
    if len(blocks) > MAX_BLOCKS:
        raise UpstreamMalformed(f"The provider's answer has more than {MAX_BLOCKS} blocks.")
    parts = tuple(_part(block) or _foreign(body, place) for place, block in enumerate(blocks))
    more = whole.additional_model_response_fields
    said = Said(parts, read_finish(whole.stop_reason), more and more.stop_sequence)
    return Reply(None, None, (said,), None if whole.usage is None else read_usage(whole.usage))


def read_finish(reason: str) -> Finish:
    """Why an answer ended. Raises: `UpstreamMalformed` when the model wrote what is no answer."""
    if reason in _BROKEN_OUTPUTS:
        raise UpstreamMalformed(f"The provider's model broke off: {reason}.")
    return _FINISHES.get(reason, "other")


def read_usage(counts: Counts) -> Usage:
    """The tokens that `counts` tells.

    `inputTokens` is what was neither read from a cache nor written to one, unless the total shows
    that these are in it already.
    """
    read, written = counts.cache_read_input_tokens, counts.cache_write_input_tokens
    given = counts.input_tokens
    kept = [each.input_tokens for each in counts.cache_details or () if each.ttl == "1h"]
    if counts.total_tokens != given + counts.output_tokens:
        given += (read or 0) + (written or 0)
    return Usage(
        # Whatever was counted: the parts are parts of the whole.
        input=max(given, (read or 0) + (written or 0)),
        output=counts.output_tokens,
        cached_input=read,
        cache_write=written,
        cache_write_1h=min(sum(kept), written or 0) if kept else None,
    )


def _part(block: _Block) -> Part | None:
    """What a block says; None if it is of a kind that only this format knows."""
    if block.text is not None:
        return Text(block.text)
    tool = block.tool_use
    if tool is not None and tool.type is None:
        return ToolUse(tool.tool_use_id, tool.name, bytes(tool.input).decode())
    if block.reasoning_content is not None:
        thought = block.reasoning_content
        told = thought.reasoning_text or _ReasoningText()
        return Thinking(told.text, told.signature, thought.redacted_content)
    if block.citations_content is not None:
        cited = block.citations_content.content or []
        return Text("".join(each.text or "" for each in cited))
    return None


def _foreign(body: bytes, place: int) -> Foreign:
    """A block as it stood there."""
    whole: Any = _decode_any(body)
    return Foreign(FORMAT, whole["output"]["message"]["content"][place])
