"""A streamed answer in the Messages format, written for a caller from deltas.

Each event is put together from pieces of bytes, for there is one for every token. How an answer
ended is told with its usage, which some vendors tell last: `message_delta` waits for `end`.
"""

from __future__ import annotations

from tidegate.formats.messages.parts import CITATIONS, TOOL_MARK, tool_id
from tidegate.formats.messages.replies import message, write_thinking
from tidegate.formats.messages.shapes import Json, encode, stop_reason, write_usage
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finish,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)
from tidegate.types import Usage

END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
"""What closes a stream."""


class Writer:
    """Writes one streamed answer; see `format.Writer`."""

    def __init__(self, model: str) -> None:
        """`model` is the name to show when the vendor tells none."""
        self._model = model
        self._begun = False
        self._kind = ""
        """Of the block that is open: `text`, `thinking` or `tool`; empty if none is."""
        self._index = -1
        self._piece = b""
        """How an event of a piece of the open block begins."""
        self._finish: Finish = "other"
        self._stop_sequence: str | None = None
        self._refused = False
        self._called = False
        self._usage: Usage | None = None

    def write(self, deltas: list[Delta]) -> bytes:
        """See `format.Writer`."""
        out: list[bytes] = []
        for delta in deltas:
            self._write(delta, out)
        return b"".join(out)

    def _write(self, delta: Delta, out: list[bytes]) -> None:
        if isinstance(delta, TextDelta):  # nearly everything: telling structs apart takes time
            if not delta.choice:
                self._text(delta, out)
        elif isinstance(delta, Used):
            self._usage = delta.usage
        elif isinstance(delta, Began):
            self._begin(delta, out)
        elif not delta.choice:  # the format has one only
            self._write_said(delta, out)

    def _write_said(
        self,
        delta: ThinkingDelta | RefusalDelta | ToolBegan | ToolDelta | Finished,
        out: list[bytes],
    ) -> None:
        match delta:
            case ToolDelta():
                if self._kind == "tool" and delta.arguments:
                    self._say(b"input_json_delta", b"partial_json", delta.arguments, out)
            case ThinkingDelta():
                self._thinking(delta, out)
            case RefusalDelta():
                self._refused = True
                self._text(TextDelta(delta.text), out)
            case ToolBegan():
                self._tool(delta, out)
            case Finished():
                self._finish, self._stop_sequence = delta.finish, delta.stop_sequence

    def end(self) -> bytes:
        """See `format.Writer`."""
        out: list[bytes] = []
        self._begin(Began(None, None), out)
        self._close(out)
        reason = stop_reason(
            self._finish, self._stop_sequence, refused=self._refused, called=self._called
        )
        told: Json = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": self._stop_sequence},
            "usage": write_usage(self._usage),
        }
        out += (b"event: message_delta\ndata: ", encode(told), b"\n\n", END)
        return b"".join(out)

    def _begin(self, began: Began, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        self._usage = began.usage
        start = message(began.id, began.model or self._model, began.usage)
        told: Json = {"type": "message_start", "message": start}
        out += (b"event: message_start\ndata: ", encode(told), b"\n\n")

    def _text(self, delta: TextDelta, out: list[bytes]) -> None:
        notes = delta.notes and [note for note in delta.notes if note.get("type") in CITATIONS]
        if not delta.text and not notes:
            return
        if self._kind != "text":
            self._open("text", {"type": "text", "text": ""}, out)
        if delta.text:
            self._say(b"text_delta", b"text", delta.text, out)
        for note in notes:
            self._say(b"citations_delta", b"citation", note, out)

    def _thinking(self, delta: ThinkingDelta, out: list[bytes]) -> None:
        if delta.redacted is not None:
            self._whole({"type": "redacted_thinking", "data": delta.redacted}, out)
            return
        if not delta.text and not delta.signature:
            return
        if self._kind != "thinking":
            self._open("thinking", write_thinking("", ""), out)
        if delta.text:
            self._say(b"thinking_delta", b"thinking", delta.text, out)
        if delta.signature:  # the last of its block
            self._say(b"signature_delta", b"signature", delta.signature, out)
            self._close(out)

    def _tool(self, began: ToolBegan, out: list[bytes]) -> None:
        self._called = True
        if began.signature is not None:
            self._close(out)  # thoughts before the call are not what it signs
            self._thinking(ThinkingDelta(signature=TOOL_MARK + began.signature), out)
        block: Json = {
            "type": "tool_use", "id": began.id or tool_id(f"call_{began.index}"),
            "name": began.name, "input": {},
        }  # fmt: skip
        self._open("tool", block, out)

    def _whole(self, block: Json, out: list[bytes]) -> None:
        """A block that comes in one piece."""
        self._open("whole", block, out)
        self._close(out)

    def _open(self, kind: str, block: Json, out: list[bytes]) -> None:
        self._close(out)
        self._index += 1
        self._kind = kind
        self._piece = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
            % self._index
        )
        out += (
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,'
            b'"content_block":' % self._index,
            encode(block),
            b"}\n\n",
        )

    def _close(self, out: list[bytes]) -> None:
        if self._kind:
            self._kind = ""
            out.append(
                b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
                % self._index
            )

    def _say(self, kind: bytes, field: bytes, value: str | Json, out: list[bytes]) -> None:
        """One piece of the open block."""
        out += (
            self._piece, b'{"type":"', kind, b'","', field, b'":', encode(value), b"}}\n\n"
        )  # fmt: skip


def writer(ask: Ask) -> Writer:
    """See `Heard.writer`."""
    return Writer(ask.model)
