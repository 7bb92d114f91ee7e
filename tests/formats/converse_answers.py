"""Answers of Converse, whole and streamed, to be read."""

from __future__ import annotations

import json
from typing import Any

from tidegate.formats import converse
from tidegate.formats.words import Delta
from tidegate.net.eventstream import EventStreamDecoder, encode

Json = dict[str, Any]
Event = tuple[str, Json]


def answer(*blocks: Json, reason: str = "end_turn", **more: Any) -> bytes:
    message = {"role": "assistant", "content": list(blocks)}
    return json.dumps({"output": {"message": message}, "stopReason": reason, **more}).encode()


def stream(*events: Event) -> bytes:
    return b"".join(
        encode(name, json.dumps(data).encode(), "exception" if "xception" in name else "event")
        for name, data in events
    )


def read(*events: Event) -> list[Delta]:
    reader = converse.reader()
    deltas: list[Delta] = []
    for event in EventStreamDecoder().feed(stream(*events)):
        deltas += reader.read(event.event, event.data)
    assert reader.complete()
    return deltas


def piece(delta: Json, place: int = 0) -> Event:
    return "contentBlockDelta", {"delta": delta, "contentBlockIndex": place, "p": "abcd"}


STARTED: Event = ("messageStart", {"role": "assistant"})
STOPPED: Event = ("messageStop", {"stopReason": "end_turn"})
COUNTED: Event = (
    "metadata",
    {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 9}},
)
CALL: Event = (
    "contentBlockStart",
    {"start": {"toolUse": {"toolUseId": "t1", "name": "f"}}, "contentBlockIndex": 1},
)
CALL_ENDED: Event = ("contentBlockStop", {"contentBlockIndex": 1})
