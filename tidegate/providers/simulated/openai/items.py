"""The items of a response and the events that tell of each: opening, deltas, closing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tidegate.providers.simulated.choices import Call, Choice, signature, text_of

Json = dict[str, Any]

_encode = msgspec.json.encode
_NUMBER: Final = b',"sequence_number":'


@dataclass(slots=True)
class Item:
    """One item. Its events lack the number that they end with, which goes in before `}`."""

    whole: Json
    opening: list[bytes]
    before: bytes
    after: bytes
    pieces: Sequence[bytes]
    closing: list[bytes]
    counted: bool = True
    """Whether its pieces are visible tokens."""
    opens: bool = False
    """Whether its opening is a token too."""

    def __len__(self) -> int:
        """The number of its events."""
        return len(self.opening) + len(self.pieces) + len(self.closing)


def items_of(choice: Choice, tag: bytes) -> list[Item]:
    """The items that say `choice`: reasoning, a message, calls of functions."""
    items: list[Item] = []
    status = "incomplete" if choice.finish in (b"length", b"content_filter") else "completed"
    if choice.thoughts:
        items.append(_reasoning(choice, len(items), tag.decode()))
    if choice.tokens or not (choice.calls or choice.thoughts):
        items.append(_message(choice, len(items), tag.decode(), status))
    for call in choice.calls:
        items.append(_call(call, len(items), tag.decode(), status))
    return items


def _message(choice: Choice, index: int, tag: str, status: str) -> Item:
    name = f"msg_{tag}"
    said = text_of(choice.tokens)
    text: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
    whole: Json = {
        "id": name,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [text],
    }
    place = {"item_id": name, "output_index": index, "content_index": 0}
    part = "response.content_part"
    delta: Json = {**place, "logprobs": [], "delta": "\0"}
    return Item(
        whole,
        [
            _added(index, whole | {"status": "in_progress", "content": []}),
            _event(f"{part}.added", {**place, "part": text | {"text": ""}}),
        ],
        *_around(_event("response.output_text.delta", delta)),
        choice.tokens,
        [
            _event("response.output_text.done", {**place, "logprobs": [], "text": said}),
            _event(f"{part}.done", {**place, "part": text}),
            _done(index, whole),
        ],
    )


def _reasoning(choice: Choice, index: int, tag: str) -> Item:
    name = f"rs_{tag}"
    summary = {"type": "summary_text", "text": text_of(choice.thoughts)}
    encrypted = signature(choice.thought).decode()
    whole: Json = {
        "id": name,
        "type": "reasoning",
        "summary": [summary],
        "encrypted_content": encrypted,
    }
    place = {"item_id": name, "output_index": index, "summary_index": 0}
    kind = "response.reasoning_summary"
    return Item(
        whole,
        [
            _added(index, whole | {"summary": []}),
            _event(f"{kind}_part.added", {**place, "part": summary | {"text": ""}}),
        ],
        *_around(_event(f"{kind}_text.delta", {**place, "delta": "\0"})),
        choice.thoughts,
        [
            _event(f"{kind}_text.done", {**place, "text": summary["text"]}),
            _event(f"{kind}_part.done", {**place, "part": summary}),
            _done(index, whole),
        ],
        counted=False,
    )


def _call(call: Call, index: int, tag: str, status: str) -> Item:
    number = call.number.decode()
    name = f"fc_{tag}_{number}"
    arguments = text_of(call.pieces)
    whole: Json = {
        "id": name,
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": f"call_{number}",
        "name": msgspec.json.decode(call.name),
    }
    place = {"item_id": name, "output_index": index}
    kind = "response.function_call_arguments"
    return Item(
        whole,
        [_added(index, whole | {"status": "in_progress", "arguments": ""})],
        *_around(_event(f"{kind}.delta", {**place, "delta": "\0"})),
        call.pieces,
        [
            _event(f"{kind}.done", {**place, "name": whole["name"], "arguments": arguments}),
            _done(index, whole),
        ],
        opens=True,
    )


def _event(kind: str, fields: Json) -> bytes:
    data = _encode({"type": kind, **fields})
    return b"event: %b\ndata: %b%b" % (kind.encode(), data[:-1], _NUMBER)


def _around(event: bytes) -> tuple[bytes, bytes]:
    """What stands before and after a piece in `event`, where a bare NUL holds its place."""
    before, after = event.split(b"\\u0000")
    return before, after


def _added(index: int, item: Json) -> bytes:
    return _event("response.output_item.added", {"output_index": index, "item": item})


def _done(index: int, item: Json) -> bytes:
    return _event("response.output_item.done", {"output_index": index, "item": item})
