"""Deltas written as chat chunks.

The role comes with a choice's first content; usage comes in a chunk of its own at the end, if it
was asked for.

Source: platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.formats.chat.parts import write_detail, write_signature
from tidegate.formats.chat.replying import write_finish, write_notes
from tidegate.formats.openai import Frame
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finished,
    RefusalDelta,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)

Json = dict[str, Any]

THOUGHT_MAX_CHARACTERS = 1 << 20
"""How much reasoning is kept until its signature comes; that of a longer one is not told."""

_encode = msgspec.json.Encoder().encode


class ChatWriter:
    """Writes one streamed answer. See `format.Writer`."""

    def __init__(self, ask: Ask) -> None:
        self._frame = Frame("chat.completion.chunk", "chatcmpl", ask)
        self._sides: dict[int, _Side] = {}

    def write(self, deltas: list[Delta]) -> bytes:
        """The chunks that say `deltas`. See `Writer.write`."""
        frame = self._frame
        chunks: list[bytes] = []
        for delta in deltas:
            # Text first: it is nearly everything, and telling structs apart takes time.
            if not isinstance(delta, TextDelta) and isinstance(delta, Began | Used):
                frame.note(delta)
                continue
            side = self._sides.get(delta.choice)
            if side is None:
                side = self._sides[delta.choice] = _Side(delta.choice)
            said = side.write(delta)
            if said:
                chunks.append(frame.chunk(said))
        return b"".join(chunks)

    def end(self) -> bytes:
        """The usage, if asked for and known, and `[DONE]`. See `Writer.end`."""
        return self._frame.end()


class _Side:
    """What was said of one choice."""

    __slots__ = (
        "_characters", "_details", "_head", "_length", "_more", "_refused", "_role", "_thought",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self._head = b'{"index":%d,"delta":{' % index
        self._more = b'%b"content":%%b},"logprobs":null,"finish_reason":null}' % self._head
        self._role = b'"role":"assistant"'
        self._length = 0
        self._refused = False
        self._thought: list[str] = []
        self._characters = 0
        self._details = 0

    def write(self, delta: Delta) -> bytes:
        """The choice of a chunk that says `delta`; empty when there is nothing to say."""
        fields: Json = {}
        match delta:
            case TextDelta():
                return self._text(delta)
            case Finished():
                return self._finished(delta)
            case ToolDelta():
                function = {"arguments": delta.arguments}
                fields["tool_calls"] = [{"index": delta.index, "function": function}]
            case ToolBegan():
                fields["tool_calls"] = [_call(delta)]
            case ThinkingDelta():
                fields = self._thinking(delta)
            case RefusalDelta():
                self._refused = True
                fields["refusal"] = delta.text
            case _:
                pass
        return self._said(fields) if fields else b""

    def _said(self, fields: Json, scores: bytes = b"null", reason: bytes = b"null") -> bytes:
        inner, role = _encode(fields)[1:], self._role
        if role:
            inner = b"%b,%b" % (role, inner) if fields else role + inner
            self._role = b""
        return b'%b%b,"logprobs":%b,"finish_reason":%b}' % (self._head, inner, scores, reason)

    def _text(self, delta: TextDelta) -> bytes:
        if not (delta.text or delta.notes or delta.logprobs):
            return b""
        if not self._role and delta.logprobs is None and not delta.notes:  # nearly always
            self._length += len(delta.text)
            return self._more % _encode(delta.text)
        fields: Json = {"content": delta.text}
        if delta.notes:
            fields["annotations"] = write_notes(delta.notes, 0, self._length + len(delta.text))
        self._length += len(delta.text)
        if delta.logprobs is None:
            return self._said(fields)
        return self._said(fields, _encode({"content": delta.logprobs, "refusal": None}))

    def _thinking(self, delta: ThinkingDelta) -> Json:
        """Reasoning as text; with its signature the whole of it again, to be sent back as it is."""
        fields: Json = {}
        if delta.text:
            fields["reasoning_content"] = delta.text
            self._keep(delta.text)
        if delta.redacted is not None:
            fields["reasoning_details"] = [self._detail(Thinking(redacted=delta.redacted))]
        elif delta.signature is not None:
            if self._characters <= THOUGHT_MAX_CHARACTERS:
                thought = Thinking("".join(self._thought), delta.signature)
                fields["reasoning_details"] = [self._detail(thought)]
            self._thought.clear()
            self._characters = 0
        return fields

    def _keep(self, text: str) -> None:
        self._characters += len(text)
        if self._characters <= THOUGHT_MAX_CHARACTERS:
            self._thought.append(text)

    def _detail(self, thought: Thinking) -> Json:
        self._details += 1
        return write_detail(self._details - 1, thought)

    def _finished(self, delta: Finished) -> bytes:
        reason = _encode(write_finish(delta.finish, refused=self._refused))
        said = self._said({}, reason=reason)
        if delta.stop_sequence is None:
            return said
        return b'%b,"stop_reason":%b}' % (said[:-1], _encode(delta.stop_sequence))


def _call(delta: ToolBegan) -> Json:
    told: Json = {
        "index": delta.index,
        "id": delta.id,
        "type": "function",
        "function": {"name": delta.name, "arguments": ""},
    }
    if delta.signature is not None:
        told["extra_content"] = write_signature(delta.signature)
    return told
