"""Write a streamed answer: every event of the format, in the order in which OpenAI sends them.

An answer is a row of items, an item of a message or of reasoning a row of parts. Each is opened,
filled and closed with events of its own, and the last event holds it all once more. Nothing is
written before there is something to say: what precedes it repeats the request, which may be long.

Source: platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_hex

import msgspec

from tidegate.clock import SystemClock
from tidegate.errors import UpstreamMalformed
from tidegate.formats.responses import answer
from tidegate.formats.responses.reply import TOKEN_BYTES
from tidegate.formats.responses.shapes import MOST_CHARACTERS, MOST_ITEMS, Json
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finish,
    Finished,
    RefusalDelta,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Used,
)
from tidegate.types import Usage

_LOGPROB_CHARACTERS = 256
"""What the probabilities of one token count for when an answer is bounded."""

_TEXT = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","item_id":"%b","output_index":%d,'
    b'"content_index":%d,"delta":'
)
"""How the event of a piece of text begins. Ids are ours: there is nothing to escape in them."""

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Part:
    """A part of a message that is being written."""

    kind: str  # `text` or `refusal`
    head: bytes  # how an event with more of its text begins, up to the text
    pieces: list[str] = field(default_factory=list[str])
    annotations: list[Json] = field(default_factory=list[Json])
    logprobs: list[Json] = field(default_factory=list[Json])
    length: int = 0

    def whole(self) -> Json:
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return answer.refusal_part(text)
        return answer.text_part(text, self.annotations, self.logprobs)


@dataclass(slots=True)
class _Item:
    """The output item that is being written; `place` is its index in the output."""

    kind: str  # `message`, `reasoning` or `function_call`
    place: int
    id: str
    content: list[Json] = field(default_factory=list[Json])
    part: _Part | None = None
    tool: ToolBegan | None = None
    pieces: list[str] = field(default_factory=list[str])


def writer(ask: Ask) -> ResponsesWriter:
    """Writes one streamed answer to `ask`."""
    return ResponsesWriter(ask, token_hex(TOKEN_BYTES), SystemClock.now_ns() // 1_000_000_000)


class ResponsesWriter:
    """Writes the events of one answer; of several choices the first is the answer."""

    def __init__(self, ask: Ask, token: str, now_s: int) -> None:
        """Make one whose ids are made of `token`, at the Unix time `now_s`."""
        self._ask = ask
        self._token = token
        self._now_s = now_s
        self._as_summary = answer.wants_summary(ask)
        self._began = Began(None, None)
        self._response: answer.Whole | None = None
        self._output: list[Json] = []
        self._item: _Item | None = None
        self._finish: Finish | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._number = 0
        self._characters = 0
        self._events: list[bytes] = []

    def write(self, deltas: list[Delta]) -> bytes:
        """The events that say `deltas`; empty while they hold no content.

        Raises: `UpstreamMalformed` when they make no sense as an answer, or have no end.
        """
        for delta in deltas:
            if isinstance(delta, TextDelta):  # nearly all are: telling structs apart takes time
                if delta.choice == 0:
                    if self._response is None:
                        self._begin()
                    self._say_text(delta)
            elif isinstance(delta, Began):
                self._began = delta
                self._usage = delta.usage or self._usage
            elif isinstance(delta, Used):
                self._usage = delta.usage
            elif delta.choice == 0:
                if self._response is None:
                    self._begin()
                self._say(delta)
        return self._taken()

    def end(self) -> bytes:
        """The event that closes the answer, with all that it lacks before it."""
        response = self._response or self._begin()
        self._close_item()
        finish = self._finish or "stop"
        response.output = self._output
        answer.end(response, finish, self._usage, self._now_s)
        self._emit(f"response.{response.status}", {"response": response})
        return self._taken()

    def _begin(self) -> answer.Whole:
        began = self._began
        response = answer.begun(
            self._ask, self._token, began.created or self._now_s, began.model or self._ask.model
        )
        self._response = response
        self._emit("response.created", {"response": response})
        self._emit("response.in_progress", {"response": response})
        return response

    def _say(self, delta: Delta) -> None:
        match delta:
            case ThinkingDelta():
                self._say_thinking(delta)
            case RefusalDelta():
                self._say_refusal(delta.text)
            case ToolBegan():
                self._open_call(delta)
            case ToolDelta():
                self._add_to_call(delta)
            case Finished():
                self._finish = answer.told_as(delta.finish, refused=self._refused)
                self._close_item()
            case _:
                pass

    # Messages

    def _say_text(self, delta: TextDelta) -> None:
        if not delta.text and not delta.notes:
            return
        item, part = self._open_part("text")
        scores = b"[]"
        if delta.logprobs:
            logprobs = answer.logprobs_of(delta.logprobs)
            self._characters += len(logprobs) * _LOGPROB_CHARACTERS
            if delta.text:
                part.logprobs += logprobs
                scores = _encode(logprobs)
        if delta.text:
            self._take(part.pieces, delta.text)
            part.length += len(delta.text)
            # The one event that comes for every token: put together from pieces.
            said = part.head, _encode(delta.text), scores, self._number
            self._number += 1
            self._events.append(b'%b%b,"logprobs":%b,"sequence_number":%d}\n\n' % said)
        if delta.notes:
            self._annotate(item, part, delta.notes)

    def _annotate(self, item: _Item, part: _Part, notes: tuple[Json, ...]) -> None:
        for annotation in answer.annotations_of(notes, part.length):
            if len(part.annotations) >= MOST_ITEMS:
                raise UpstreamMalformed("The provider's answer has too many annotations.")
            self._emit(
                "response.output_text.annotation.added",
                {
                    "item_id": item.id,
                    "output_index": item.place,
                    "content_index": len(item.content),
                    "annotation_index": len(part.annotations),
                    "annotation": annotation,
                },
            )
            part.annotations.append(annotation)

    def _say_refusal(self, text: str) -> None:
        if not text:
            return
        self._refused = True
        item, part = self._open_part("refusal")
        self._take(part.pieces, text)
        self._emit(
            "response.refusal.delta",
            {
                "item_id": item.id,
                "output_index": item.place,
                "content_index": len(item.content),
                "delta": text,
            },
        )

    def _open_part(self, kind: str) -> tuple[_Item, _Part]:
        item = self._item
        if item is None or item.kind != "message":
            item = self._open_item("message", "msg")
            self._emit_item("added", item, self._message(item, "in_progress"))
        part = item.part
        if part is None or part.kind != kind:
            self._close_part(item)
            if len(item.content) >= MOST_ITEMS:
                raise UpstreamMalformed("The provider's answer has too many parts.")
            part = item.part = _Part(
                kind, _TEXT % (item.id.encode(), item.place, len(item.content))
            )
            self._emit_part("added", item, part.whole())
        return item, part

    def _close_part(self, item: _Item) -> None:
        part = item.part
        if part is None:
            return
        item.part = None
        whole = part.whole()
        place = {
            "item_id": item.id,
            "output_index": item.place,
            "content_index": len(item.content),
        }
        if part.kind == "refusal":
            self._emit("response.refusal.done", place | {"refusal": whole["refusal"]})
        else:
            said = {"text": whole["text"], "logprobs": whole["logprobs"]}
            self._emit("response.output_text.done", place | said)
        self._emit_part("done", item, whole)
        item.content.append(whole)

    def _message(self, item: _Item, status: str) -> Json:
        return answer.message(self._token, item.place, status, item.content)

    # Reasoning

    def _say_thinking(self, delta: ThinkingDelta) -> None:
        if not delta.text and delta.signature is None and delta.redacted is None:
            return
        item = self._item
        if item is None or item.kind != "reasoning":
            item = self._open_item("reasoning", "rs")
            self._emit_item("added", item, self._reasoning(item, "in_progress", Thinking()))
        if delta.text:
            if not item.pieces:
                self._emit_thought("added", item, "")
            self._take(item.pieces, delta.text)
            self._emit(
                "response.reasoning_summary_text.delta"
                if self._as_summary
                else "response.reasoning_text.delta",
                self._in_thought(item) | {"delta": delta.text},
            )
        if delta.signature is not None or delta.redacted is not None:
            self._close_reasoning(item, delta.signature, delta.redacted)

    def _close_reasoning(
        self, item: _Item, signature: str | None = None, redacted: str | None = None
    ) -> None:
        text = "".join(item.pieces)
        if text:
            self._emit(
                "response.reasoning_summary_text.done"
                if self._as_summary
                else "response.reasoning_text.done",
                self._in_thought(item) | {"text": text},
            )
            self._emit_thought("done", item, text)
        thinking = Thinking(text, signature, redacted)
        self._finish_item(item, self._reasoning(item, "completed", thinking))

    def _in_thought(self, item: _Item) -> Json:
        index = "summary_index" if self._as_summary else "content_index"
        return {"item_id": item.id, "output_index": item.place, index: 0}

    def _emit_thought(self, what: str, item: _Item, text: str) -> None:
        """Say that the one part of a reasoning item opens or closes."""
        if self._as_summary:
            part = {"type": "summary_text", "text": text}
            name = f"response.reasoning_summary_part.{what}"
        else:
            part = {"type": "reasoning_text", "text": text}
            name = f"response.content_part.{what}"
        self._emit(name, self._in_thought(item) | {"part": part})

    def _reasoning(self, item: _Item, status: str, thinking: Thinking) -> Json:
        return answer.reasoning(
            self._token, item.place, status, thinking, as_summary=self._as_summary
        )

    # Calls

    def _open_call(self, began: ToolBegan) -> None:
        item = self._open_item("function_call", "fc")
        item.tool = began
        self._emit_item("added", item, self._call(item, "in_progress", began, ""))

    def _add_to_call(self, delta: ToolDelta) -> None:
        item = self._item
        if item is None or item.tool is None or item.tool.index != delta.index:
            raise UpstreamMalformed("The provider went on with a call that had ended.")
        if not delta.arguments:
            return
        self._take(item.pieces, delta.arguments)
        self._emit(
            "response.function_call_arguments.delta",
            {"item_id": item.id, "output_index": item.place, "delta": delta.arguments},
        )

    def _close_call(self, item: _Item, began: ToolBegan) -> None:
        arguments = "".join(item.pieces)
        self._emit(
            "response.function_call_arguments.done",
            {
                "item_id": item.id,
                "output_index": item.place,
                "arguments": arguments,
                "name": began.name,
            },
        )
        status = answer.status_of(self._finish)
        self._finish_item(item, self._call(item, status, began, arguments))

    def _call(self, item: _Item, status: str, began: ToolBegan, arguments: str) -> Json:
        use = ToolUse(began.id, began.name, arguments, began.signature)
        return answer.function_call(self._token, item.place, status, use)

    # Items and events

    def _open_item(self, kind: str, prefix: str) -> _Item:
        self._close_item()
        place = len(self._output)
        if place >= MOST_ITEMS:
            raise UpstreamMalformed("The provider's answer holds too many items.")
        self._item = _Item(kind, place, f"{prefix}_{self._token}{place:02x}")
        return self._item

    def _close_item(self) -> None:
        item = self._item
        if item is None:
            return
        if item.kind == "message":
            self._close_part(item)
            self._finish_item(item, self._message(item, answer.status_of(self._finish)))
        elif item.tool is not None:
            self._close_call(item, item.tool)
        else:
            self._close_reasoning(item)

    def _finish_item(self, item: _Item, whole: Json) -> None:
        self._emit_item("done", item, whole)
        self._output.append(whole)
        self._item = None

    def _take(self, pieces: list[str], text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise UpstreamMalformed("The provider's answer has no end.")
        pieces.append(text)

    def _emit_item(self, what: str, item: _Item, whole: Json) -> None:
        self._emit(f"response.output_item.{what}", {"output_index": item.place, "item": whole})

    def _emit_part(self, what: str, item: _Item, whole: Json) -> None:
        self._emit(
            f"response.content_part.{what}",
            {
                "item_id": item.id,
                "output_index": item.place,
                "content_index": len(item.content),
                "part": whole,
            },
        )

    def _emit(self, name: str, fields: Json) -> None:
        event = {"type": name, **fields, "sequence_number": self._number}
        self._number += 1
        self._events.append(b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(event)))

    def _taken(self) -> bytes:
        taken = b"".join(self._events)
        self._events.clear()
        return taken
