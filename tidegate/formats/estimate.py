"""How many tokens a request will be, roughly: for targets that cannot count.

No tokenizer is asked, for each vendor has its own, so the figure is an estimate:

    tokens = 3 + turns (4 each, and their parts) + tools (100 once, and 8 each, and their text)
               + the schema of the answer

where text is a token for every 4 bytes of UTF-8 begun (English has 4 letters to a token, Chinese
about 3 bytes), a call of a tool or its result is 8 more than its text, an image is 1,200 (a
photograph of a megapixel; `detail: low` is 85), a document 1,500 for every 64 KiB begun (a page),
and sound one for every 1,600 bytes (ten in a second).

Of recorded requests with plain text, it is within a third of what the provider counted for most.
What providers add unseen is not in it: a few hundred tokens where there are tools or thinking.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    Foreign,
    ForeignTool,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)

TOKEN_BYTES = 4
REQUEST_TOKENS, TURN_TOKENS, TOOLS_TOKENS, TOOL_TOKENS = 3, 4, 100, 8
IMAGE_TOKENS, SMALL_IMAGE_TOKENS = 1_200, 85
PAGE_BYTES, PAGE_TOKENS = 64 << 10, 1_500
SOUND_TOKEN_BYTES = 1_600

PIECE_LETTERS = 16
"""A piece of a stream that is shorter is one token: servers send them as they come."""

_encode = msgspec.json.Encoder().encode


def piece_tokens(text: str | None) -> int:
    """About how many tokens a piece of a stream is; one that says nothing we know counts as one."""
    return 1 if text is None or len(text) < PIECE_LETTERS else len(text) // TOKEN_BYTES


def input_tokens(ask: Ask) -> int:
    """About how many tokens `ask` is for the model that reads it."""
    tokens = REQUEST_TOKENS
    for turn in ask.turns:
        tokens += TURN_TOKENS + _of_parts(turn.parts)
    if ask.tools:
        tokens += TOOLS_TOKENS
    for tool in ask.tools:
        tokens += TOOL_TOKENS + _of_tool(tool)
    if ask.output is not None and ask.output.schema is not None:
        tokens += _of_json(ask.output.schema)
    return tokens


def _of_parts(parts: Iterable[Part]) -> int:
    return sum(_of_part(part) for part in parts)


def _of_part(part: Part) -> int:
    match part:
        case Text() | Refusal() | Thinking():
            tokens = _of_text(part.text)
        case Image():
            tokens = SMALL_IMAGE_TOKENS if part.detail == "low" else IMAGE_TOKENS
        case File():
            tokens = _of_file(part)
        case Audio():
            tokens = _begun(_decoded_bytes(part.data), SOUND_TOKEN_BYTES)
        case ToolUse():
            tokens = TOOL_TOKENS + _of_text(part.name) + _of_text(part.arguments)
        case ToolResult():
            tokens = TOOL_TOKENS + _of_parts(part.parts)
        case Foreign():
            tokens = _of_json(part.value)
    return tokens


def _of_file(file: File) -> int:
    if file.text is not None:
        return _of_text(file.text)
    size_bytes = PAGE_BYTES if file.data is None else _decoded_bytes(file.data)
    return PAGE_TOKENS * max(1, _begun(size_bytes, PAGE_BYTES))


def _of_tool(tool: Tool | ForeignTool) -> int:
    if isinstance(tool, ForeignTool):
        return _of_json(tool.value)
    return _of_text(tool.name) + _of_text(tool.description or "") + _of_json(tool.schema or {})


def _of_text(text: str) -> int:
    # An ASCII string has as many bytes as letters; only others are encoded to be measured.
    size_bytes = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return _begun(size_bytes, TOKEN_BYTES)


def _of_json(value: Any) -> int:
    return _begun(len(_encode(value)), TOKEN_BYTES)


def _decoded_bytes(data: str) -> int:
    """How many bytes base64 `data` holds."""
    return len(data) * 3 // 4


def _begun(amount: int, unit: int) -> int:
    """How many `unit`s of `amount` are begun."""
    return -(-amount // unit)
