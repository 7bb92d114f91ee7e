"""A streamed answer in the Messages format: read from a vendor as deltas, looked at as it passes.

Blocks come one after the other, each between `content_block_start` and `content_block_stop`. Those
of tools that the provider runs itself have no words and are left out. New types of events may come
at any time and mean nothing here.

Source: platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.estimate import piece_tokens
from tidegate.formats.messages.failures import reported
from tidegate.formats.messages.shapes import (
    BROKEN,
    FINISHES,
    MAX_BLOCKS,
    ErrorView,
    Json,
    MessageView,
    UsageView,
    encode,
    malformed,
    read_usage,
)
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
from tidegate.types import Facts, Usage


class _Block(Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str | None = None
    id: str = ""
    name: str = ""
    input: Json | None = None
    citations: list[Json] | None = None


class _Piece(Struct):
    """What a delta says: of a block by its `type`, of the message without one."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Json | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(Struct):
    type: str
    index: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)] = 0
    message: MessageView | None = None
    content_block: _Block | None = None
    delta: _Piece | None = None
    usage: UsageView | None = None
    error: ErrorView | None = None


_decode = msgspec.json.Decoder(_Event).decode


def _event(data: bytes) -> _Event:
    """The event that `data` is. Raises: `UpstreamMalformed`, or the error that it reports."""
    try:
        event = _decode(data)
    except BROKEN as error:
        raise malformed(error) from error
    if event.type == "error":
        raise reported(event.error or ErrorView())
    return event


class _Count:
    """Usage put together: what begins a stream tells the input, its end what has changed since."""

    __slots__ = ("_view",)

    def __init__(self) -> None:
        self._view: UsageView | None = None

    def add(self, view: UsageView | None) -> Usage | None:
        """What is known with `view`; None while nothing is."""
        if view is None:
            return None if self._view is None else read_usage(self._view)
        if self._view is None:
            self._view = view
        else:
            for name in UsageView.__struct_fields__:
                value = getattr(view, name)
                if value is not None:
                    setattr(self._view, name, value)
        return read_usage(self._view)


class _OpenTool:
    """A call whose arguments are coming."""

    __slots__ = ("block", "index", "said")

    def __init__(self, index: int, block: _Block) -> None:
        self.index = index
        self.block = block
        self.said = False


class Reader:
    """Reads one streamed answer; see `format.Reader`."""

    def __init__(self) -> None:
        self.done = False
        self._count = _Count()
        self._finished = False
        self._blocks = 0
        self._calls = 0
        self._open = -1
        self._tool: _OpenTool | None = None

    def complete(self) -> bool:
        """See `format.Reader`."""
        return self._finished

    def read(self, event: bytes, data: bytes) -> list[Delta]:  # noqa: ARG002 - `data` names it too
        """See `format.Reader`."""
        told = _event(data)
        deltas: list[Delta] = []
        match told.type:
            case "content_block_delta":
                deltas = self._delta(told)
            case "content_block_start":
                deltas = self._start(told)
            case "content_block_stop":
                deltas = self._stop()
            case "message_start":
                message = told.message or MessageView()
                usage = self._count.add(message.usage)
                deltas = [Began(message.id, message.model, usage=usage)]
            case "message_delta":
                deltas = self._message(told)
            case "message_stop":
                self.done = True
                if not self._finished:
                    self._finished = True
                    deltas = [Finished("other")]
            case _:
                pass
        return deltas

    def _start(self, told: _Event) -> list[Delta]:
        block = told.content_block
        if block is None:
            raise UpstreamMalformed("The provider began a block that has no type.")
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            raise UpstreamMalformed(f"The provider's answer has more than {MAX_BLOCKS} blocks.")
        self._open, self._tool = told.index, None
        match block.type:
            case "text":
                notes = tuple(block.citations or ())
                return [TextDelta(block.text, notes=notes)] if block.text or notes else []
            case "thinking":
                if not block.thinking and not block.signature:
                    return []
                return [ThinkingDelta(block.thinking, block.signature or None)]
            case "redacted_thinking" if block.data is not None:
                return [ThinkingDelta(redacted=block.data)]
            case "tool_use":
                self._tool = _OpenTool(self._calls, block)
                self._calls += 1
                return [ToolBegan(self._tool.index, block.id, block.name)]
            case _:
                return []

    def _delta(self, told: _Event) -> list[Delta]:
        piece = told.delta
        if piece is None:
            raise UpstreamMalformed("The provider sent a piece of a block that says nothing.")
        delta: Delta | None = None
        match piece.type:
            case "text_delta":
                delta = TextDelta(piece.text)
            case "input_json_delta":
                if told.index != self._open:
                    raise UpstreamMalformed("The provider sent arguments of a call not begun.")
                if self._tool is not None and piece.partial_json:
                    self._tool.said = True
                    delta = ToolDelta(self._tool.index, piece.partial_json)
            case "thinking_delta":
                delta = ThinkingDelta(piece.thinking)
            case "signature_delta":
                delta = ThinkingDelta(signature=piece.signature)
            case "citations_delta" if piece.citation is not None:
                delta = TextDelta("", notes=(piece.citation,))
            case _:
                pass
        return [] if delta is None else [delta]

    def _stop(self) -> list[Delta]:
        """The end of a block; a call whose arguments did not come in pieces has them in whole."""
        tool, self._open, self._tool = self._tool, -1, None
        if tool is None or tool.said:
            return []
        return [ToolDelta(tool.index, encode(tool.block.input or {}).decode())]

    def _message(self, told: _Event) -> list[Delta]:
        deltas: list[Delta] = []
        usage = self._count.add(told.usage)
        piece = told.delta
        if piece is not None and piece.stop_reason is not None and not self._finished:
            self._finished = True
            finish = FINISHES.get(piece.stop_reason, "other")
            deltas.append(Finished(finish, piece.stop_sequence))
        if usage is not None:
            deltas.append(Used(usage))
        return deltas


class Watch:
    """Looks on while a stream passes unchanged; see `format.Watch`."""

    def __init__(self, facts: Facts) -> None:
        self.done = False
        self._facts = facts
        self._count = _Count()

    def complete(self) -> bool:
        """See `format.Watch`."""
        return self._facts.finish_reason is not None

    def passes(self, event: bytes, data: bytes) -> bool:  # noqa: ARG002 - `data` names it too
        """See `format.Watch`."""
        told = _event(data)
        facts = self._facts
        match told.type:
            case "content_block_delta":
                facts.chunks += 1
                facts.said_tokens += _tokens(told.delta)
                if not facts.content:
                    facts.content = _says(told.delta)
            case "content_block_start":
                block = told.content_block
                if not facts.content:
                    facts.content = block is not None and (
                        bool(block.text or block.thinking) or block.type not in ("text", "thinking")
                    )
            case "message_start" if told.message is not None:
                facts.model = told.message.model or facts.model
                facts.usage = self._count.add(told.message.usage)
            case "message_delta":
                facts.usage = self._count.add(told.usage)
                if told.delta is not None and told.delta.stop_reason is not None:
                    facts.finish_reason = told.delta.stop_reason
                    facts.content = True
            case "message_stop":
                self.done = True
                return False
            case _:
                pass
        return True


def _says(piece: _Piece | None) -> bool:
    return piece is not None and bool(piece.text or piece.thinking or piece.partial_json)


def _tokens(piece: _Piece | None) -> int:
    said = "" if piece is None else piece.text or piece.thinking or piece.partial_json
    return piece_tokens(said) if said else 0


def reader() -> Reader:
    """See `Spoken.reader`."""
    return Reader()


def watch(facts: Facts, body: Json, *, wants_usage: bool) -> Watch:  # noqa: ARG001 - see `Heard`
    """See `Heard.watch`; usage is always part of this format."""
    return Watch(facts)
