"""Shorten a conversation that does not fit: the oldest turns go, whole.

A turn is what a user said with everything that followed from it, so a tool's call and its result
stay or go together. Instructions stay, and so does the last turn.
"""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]

_FIELDS = {"chat": "messages", "messages": "messages", "responses": "input"}


def trimmed(wire: str, body: Json) -> Json | None:
    """`body` without the older half of its turns; None when only one is left."""
    field = _FIELDS.get(wire)
    items = body.get(field) if field else None
    if field is None or not isinstance(items, list):
        return None
    items = cast("list[Any]", items)
    starts = [place for place, item in enumerate(items) if _begins_turn(item)]
    if len(starts) <= 1:
        return None
    cut = starts[(len(starts) + 1) // 2]
    kept = [item for item in items[:cut] if _instructs(item)]
    return body | {field: kept + items[cut:]}


def _begins_turn(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    item = cast("Json", item)
    if item.get("role") != "user" or item.get("type", "message") != "message":
        return False
    content = item.get("content")
    if not isinstance(content, list):
        return True
    # Anthropic's tool results come as a user's message; they answer a call in the same turn.
    return not any(
        isinstance(block, dict) and cast("Json", block).get("type") == "tool_result"
        for block in cast("list[Any]", content)
    )


def _instructs(item: Any) -> bool:
    return isinstance(item, dict) and cast("Json", item).get("role") in ("system", "developer")
