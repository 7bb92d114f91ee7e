"""What must change in a request that passes on: what other vendors left in the conversation.

Where others answered before, their reasoning stands in blocks of thinking that they signed, or
nobody did, and their calls have ids in letters that Anthropic does not take. Each would be refused,
in this turn and in all that follow.
"""

from __future__ import annotations

from typing import Any, cast

from tidegate.formats.messages.parts import is_foreign, tool_id
from tidegate.formats.messages.shapes import Json
from tidegate.formats.messages.thinking import round_is_signed

THOUGHTS = "messages[thinking]"


def portable(body: Json) -> tuple[Json, list[str]]:
    """`body` as Anthropic takes it, and the names of what was left out.

    Comes back as it is where no other vendor has answered; else what is changed is copied.
    """
    messages: list[Json] = body["messages"]
    if not any(_is_odd(block) for message in messages for block in _blocks(message)):
        return body, []
    kept: list[Json] = []
    dropped: list[str] = []
    for message in messages:
        blocks = _blocks(message)
        content = [_fitted(block) for block in blocks if not _is_another_s(block)]
        if len(content) < len(blocks):
            dropped = [THOUGHTS]
        if content or not blocks:
            kept.append(message | {"content": content} if blocks else message)
    fitted = body | {"messages": kept}
    if dropped and _thinks_by_budget(body) and not round_is_signed(kept):
        del fitted["thinking"]
        dropped.append("thinking")
    return fitted, dropped


def _blocks(message: Json) -> list[Json]:
    content: Any = message["content"]
    return [] if isinstance(content, str) else cast("list[Json]", content)


def _is_odd(block: Json) -> bool:
    return _is_another_s(block) or _fitted(block) is not block


def _is_another_s(block: Json) -> bool:
    """Whether it is reasoning that Anthropic does not know."""
    kind = block.get("type")
    if kind == "thinking":
        return is_foreign(block.get("signature"))
    return kind == "redacted_thinking" and is_foreign(block.get("data"))


def _fitted(block: Json) -> Json:
    """The same block where its id is fit."""
    kind = block.get("type")
    if kind not in ("tool_use", "tool_result"):
        return block
    field = "id" if kind == "tool_use" else "tool_use_id"
    told: Any = block.get(field)
    if not isinstance(told, str) or (fit := tool_id(told)) == told:
        return block
    return block | {field: fit}


def _thinks_by_budget(body: Json) -> bool:
    thinking: Any = body.get("thinking")
    return isinstance(thinking, dict) and cast("Json", thinking).get("type") == "enabled"
