"""Ask again: the model is shown its malformed answer and told what is wrong with it."""

from __future__ import annotations

from typing import Any, cast

from tidegate.formats.words import Reply, Text, ToolUse

Json = dict[str, Any]

SHOWN_CHARACTERS = 20_000
"""How much of the malformed answer is shown to the model again."""


def repaired(wire: str, body: Json, reply: Reply, fault: str) -> Json | None:
    """`body` with the answer that was `reply` and a request to correct it; None if it cannot be.

    A tool call is shown as text: a call without its result may not stand in a conversation.
    """
    said = _shown(reply)[:SHOWN_CHARACTERS] or "(nothing)"
    told = (
        f"Your last answer could not be used: {fault}. Give the whole answer again, corrected, "
        "and nothing else."
    )
    field = "input" if wire == "responses" else "messages"
    items = body.get(field)
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if wire not in ("chat", "messages", "responses") or not isinstance(items, list):
        return None
    return body | {
        field: [
            *cast("list[Any]", items),
            {"role": "assistant", "content": said},
            {"role": "user", "content": told},
        ]
    }


def _shown(reply: Reply) -> str:
    lines: list[str] = []
    for part in reply.choices[0].parts if reply.choices else ():
        if isinstance(part, Text):
            lines.append(part.text)
        elif isinstance(part, ToolUse):
            lines.append(f"{part.name}({part.arguments})")
    return "\n".join(lines)
