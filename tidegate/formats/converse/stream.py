"""The events of ConverseStream as deltas.

A block of text begins without being announced, one of a tool's call with its name. The reason why
the answer ended comes before the counts, so the stream is complete without them, but not done.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.converse.failures import BROKEN, reported
from tidegate.formats.converse.reply import MAX_BLOCKS, Counts, More, read_finish, read_usage
from tidegate.formats.words import (
    Began,
    Delta,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)

FAILED: Final = b"!"
"""Begins the type of an event that is an exception."""


class _ToolStart(Struct, rename="camel"):
    tool_use_id: str
    name: str
    type: str | None = None


class _Start(Struct, rename="camel"):
    tool_use: _ToolStart | None = None


class _BlockStart(Struct, rename="camel"):
    content_block_index: int = 0
    start: _Start | None = None


class _ToolMore(Struct):
    input: str = ""


class _ReasoningMore(Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _More(Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolMore | None = None
    reasoning_content: _ReasoningMore | None = None


class _BlockDelta(Struct, rename="camel"):
    delta: _More
    content_block_index: int = 0


class _BlockStop(Struct, rename="camel"):
    content_block_index: int = 0


class _Stop(Struct, rename="camel"):
    stop_reason: str
    additional_model_response_fields: More | None = None


class _Metadata(Struct):
    usage: Counts | None = None


_decode_start = msgspec.json.Decoder(_BlockStart).decode
_decode_delta = msgspec.json.Decoder(_BlockDelta).decode
_decode_block_stop = msgspec.json.Decoder(_BlockStop).decode
_decode_stop = msgspec.json.Decoder(_Stop).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode


class ConverseReader:
    """Reads one stream. See `format.Reader`."""

    def __init__(self) -> None:
        self.done = False
        self._began = False
        self._stopped = False
        self._tool_count = 0
        # The block that is being written, if it is a call: its place, the call's, its arguments.
        self._call_at: int | None = None
        self._call = 0
        self._has_arguments = False

    def read(self, event: bytes, data: bytes) -> list[Delta]:
        """The deltas in one event. See `Reader.read`."""
        try:
            if event == b"contentBlockDelta":
                deltas = self._more(_decode_delta(data))
            elif event == b"contentBlockStart":
                deltas = self._start(_decode_start(data))
            elif event == b"contentBlockStop":
                deltas = self._end(_decode_block_stop(data))
            elif event == b"messageStop":
                deltas = self._stop(_decode_stop(data))
            elif event == b"metadata":
                deltas = self._count(_decode_metadata(data))
            elif event.startswith(FAILED):
                raise reported(event.removeprefix(FAILED).decode(errors="replace"), data)
            else:
                deltas = []  # `messageStart`, and what is not known yet
        except BROKEN as error:
            raise UpstreamMalformed("The provider sent an event that is not one.") from error
        if not self._began:
            self._began = True
            deltas.insert(0, Began(None, None))
        return deltas

    def complete(self) -> bool:
        """Whether the reason why the answer ended was told. See `Reader.complete`."""
        return self._stopped

    def _start(self, event: _BlockStart) -> list[Delta]:
        tool = event.start and event.start.tool_use
        if not tool or tool.type is not None:  # a tool of the provider's own has run already
            return []
        if self._tool_count >= MAX_BLOCKS:
            raise UpstreamMalformed(f"The provider's answer has more than {MAX_BLOCKS} blocks.")
        deltas = self._close_call()
        self._call_at, self._call = event.content_block_index, self._tool_count
        self._has_arguments = False
        self._tool_count += 1
        deltas.append(ToolBegan(self._call, tool.tool_use_id, tool.name))
        return deltas

    def _more(self, event: _BlockDelta) -> list[Delta]:
        more = event.delta
        if more.text is not None:
            return [TextDelta(more.text)] if more.text else []
        if more.tool_use is not None:
            if event.content_block_index != self._call_at or not more.tool_use.input:
                return []
            self._has_arguments = True
            return [ToolDelta(self._call, more.tool_use.input)]
        thought = more.reasoning_content
        if thought is None:
            return []
        return [ThinkingDelta(thought.text or "", thought.signature, thought.redacted_content)]

    def _end(self, event: _BlockStop) -> list[Delta]:
        return self._close_call() if event.content_block_index == self._call_at else []

    def _close_call(self) -> list[Delta]:
        """End the call that is being written, if one is: none comes without arguments."""
        open_call, self._call_at = self._call_at is not None, None
        return [ToolDelta(self._call, "{}")] if open_call and not self._has_arguments else []

    def _stop(self, event: _Stop) -> list[Delta]:
        if self._stopped:
            return []
        self._stopped = True
        more = event.additional_model_response_fields
        finished = Finished(read_finish(event.stop_reason), more and more.stop_sequence)
        return [*self._close_call(), finished]

    def _count(self, event: _Metadata) -> list[Delta]:
        self.done = self._stopped
        return [] if event.usage is None else [Used(read_usage(event.usage))]


def reader() -> ConverseReader:
    """Reads one streamed answer. See `Spoken.reader`."""
    return ConverseReader()
