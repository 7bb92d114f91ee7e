"""Blocks of content as parts, and parts as blocks: the same in requests and in answers.

What a part cannot hold is told through `lost`, by name, so that whoever writes the request in
another format can say what was left out. A block of an unknown type is kept whole as `Foreign`.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import convert, structs

from tidegate.errors import BadRequest
from tidegate.formats.messages.shapes import (
    FORMAT,
    DocumentBlock,
    ImageBlock,
    Json,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    decode,
    deeper,
    encode,
)
from tidegate.formats.words import (
    Audio,
    File,
    Foreign,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
PDF, PLAIN = "application/pdf", "text/plain"
CITATIONS = frozenset({
    "char_location", "page_location", "content_block_location", "web_search_result_location",
    "search_result_location",
})  # fmt: skip
"""The notes that are citations in this format; other vendors' are of another shape."""

TOOL_MARK = "tool:"
"""Before the signature of a tool's call, for which this format has no field: it travels in a block
of thinking in front of the call, which callers send back as they got it."""

_TEXT_LIKE = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
_UNFIT_FOR_ID = re.compile(r"[^a-zA-Z0-9_-]")


# Reading


def read_content(content: str | list[Json] | None, lost: Json) -> tuple[Part, ...]:
    """The parts of a turn, or of a tool's result.

    Raises: `msgspec.ValidationError`, with the path behind `$`.
    """
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    parts: list[Part] = []
    try:
        for block in content:
            parts.append(read_block(block, lost))  # noqa: PERF401 - its length is the place
    except msgspec.ValidationError as error:
        raise deeper(error, f"[{len(parts)}]") from None
    return tuple(_signed(parts) if len(parts) > 1 else parts)


def _signed(parts: list[Part]) -> list[Part]:
    """`parts` with the signatures of calls where they belong."""
    signed: list[Part] = []
    signature: str | None = None
    for part in parts:
        if isinstance(part, Thinking) and (part.signature or "").startswith(TOOL_MARK):
            signature = cast("str", part.signature).removeprefix(TOOL_MARK)
        elif isinstance(part, ToolUse) and signature is not None:
            signed.append(structs.replace(part, signature=signature))
            signature = None
        else:
            signed.append(part)
    return signed


def read_block(block: Json, lost: Json) -> Part:
    """One block. Raises: `msgspec.ValidationError`."""
    kind = block.get("type")
    if not isinstance(kind, str):
        raise msgspec.ValidationError("Expected `str` - at `$.type`")
    reader = _READERS.get(kind)
    return Foreign(FORMAT, block) if reader is None else reader(block, lost)


def _read_text(block: Json, lost: Json) -> Part:  # noqa: ARG001 - all readers have one shape
    view = convert(block, TextBlock)
    return Text(view.text, view.cache_control, tuple(view.citations or ()))


def _read_image(block: Json, lost: Json) -> Part:
    view = convert(block, ImageBlock)
    source, cache = view.source, view.cache_control
    if view.transformations:
        lost["image.transformations"] = view.transformations
    match source.type:
        case "base64" if source.data is not None:
            return Image(data=source.data, media_type=source.media_type, cache=cache)
        case "url" if source.url is not None:
            return Image(url=source.url, cache=cache)
        case "file" if source.file_id is not None:
            return Image(file_id=source.file_id, cache=cache)
        case _:
            return Foreign(FORMAT, block)


def _read_document(block: Json, lost: Json) -> Part:
    view = convert(block, DocumentBlock)
    source, cache, name = view.source, view.cache_control, view.title
    if view.context:
        lost["document.context"] = view.context
    if view.citations and view.citations.get("enabled"):
        lost["document.citations"] = view.citations
    match source.type:
        case "base64" if source.data is not None:
            return File(data=source.data, media_type=source.media_type, name=name, cache=cache)
        case "url" if source.url is not None:
            return File(url=source.url, name=name, cache=cache)
        case "file" if source.file_id is not None:
            return File(file_id=source.file_id, name=name, cache=cache)
        case "text" if source.data is not None:
            return File(text=source.data, media_type=PLAIN, name=name, cache=cache)
        case "content":
            text = _plain(source.content)
            if text is not None:
                return File(text=text, media_type=PLAIN, name=name, cache=cache)
        case _:
            pass
    return Foreign(FORMAT, block)


def _plain(content: str | list[Json] | None) -> str | None:
    """The text of a document made of blocks; None if they are not all text."""
    if not isinstance(content, list):
        return content
    texts = [block.get("text") for block in content if block.get("type") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        return None
    return "\n".join(cast("list[str]", texts))


def _read_tool_use(block: Json, lost: Json) -> Part:
    view = convert(block, ToolUseBlock)
    if "toolset_name" in block:
        lost["tool_use.toolset_name"] = block["toolset_name"]
    return ToolUse(view.id, view.name, encode(view.input).decode(), cache=view.cache_control)


def _read_tool_result(block: Json, lost: Json) -> Part:
    view = convert(block, ToolResultBlock)
    try:
        parts = read_content(view.content, lost)
    except msgspec.ValidationError as error:
        raise deeper(error, ".content") from None
    return ToolResult(view.tool_use_id, parts, bool(view.is_error), cache=view.cache_control)


def _read_thinking(block: Json, lost: Json) -> Part:  # noqa: ARG001 - all readers have one shape
    view = convert(block, ThinkingBlock)
    return Thinking(view.thinking, view.signature)


def _read_redacted(block: Json, lost: Json) -> Part:  # noqa: ARG001 - all readers have one shape
    return Thinking(redacted=convert(block, RedactedBlock).data)


_READERS: dict[str, Callable[[Json, Json], Part]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "tool_use": _read_tool_use,
    "tool_result": _read_tool_result,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
}


# Writing


def write_block(part: Part, dropped: list[str]) -> Json | None:
    """`part` as a block; None if it says nothing, or nothing this format can say.

    Raises: `BadRequest` when a file's base64 is none.
    """
    return _WRITERS[type(part)](part, dropped)


def write_blocks(parts: tuple[Part, ...], dropped: list[str]) -> list[Json]:
    """The blocks of `parts`, without those that say nothing."""
    return [block for part in parts if (block := write_block(part, dropped)) is not None]


def write_text(part: Text, dropped: list[str]) -> Json | None:  # noqa: ARG001 - one shape
    """A block of text; an empty one is refused by the API, and left out here."""
    if not part.text:
        return None
    block: Json = {"type": "text", "text": part.text}
    if part.notes:
        citations = [note for note in part.notes if note.get("type") in CITATIONS]
        if citations:
            block["citations"] = citations
    return block if part.cache is None else _cached(block, part.cache)


def _write_image(part: Image, dropped: list[str]) -> Json | None:
    if part.url is not None:
        source: Json = {"type": "url", "url": part.url}
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    else:
        kind = part.media_type or ""
        kind = "image/jpeg" if kind == "image/jpg" else kind
        if kind not in IMAGE_TYPES or part.data is None:
            dropped.append(f"content[{kind or 'image'}]")
            return None
        source = {"type": "base64", "media_type": kind, "data": part.data}
    return _cached({"type": "image", "source": source}, part.cache)


def _write_file(part: File, dropped: list[str]) -> Json | None:
    kind = (part.media_type or "").partition(";")[0].strip()
    if part.text is not None:
        source: Json = {"type": "text", "media_type": PLAIN, "data": part.text}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    elif part.data is None:
        dropped.append("content[file]")
        return None
    elif kind in IMAGE_TYPES:
        return _write_image(Image(data=part.data, media_type=kind, cache=part.cache), dropped)
    elif kind.startswith("text/") or kind in _TEXT_LIKE:
        source = {"type": "text", "media_type": PLAIN, "data": _decoded(part.data)}
    elif kind in (PDF, ""):
        source = {"type": "base64", "media_type": PDF, "data": part.data}
    else:
        dropped.append(f"content[{kind}]")
        return None
    block: Json = {"type": "document", "source": source}
    if part.name:
        block["title"] = part.name
    return _cached(block, part.cache)


def _decoded(data: str) -> str:
    """The text in base64 `data`. Raises: `BadRequest`."""
    try:
        return b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequest("A file's data is not UTF-8 text in base64.", param="messages") from None


def _write_audio(part: Audio, dropped: list[str]) -> Json | None:  # noqa: ARG001 - one shape
    dropped.append("content[input_audio]")
    return None


def _write_tool_use(part: ToolUse, dropped: list[str]) -> Json | None:  # noqa: ARG001 - one shape
    return _cached(
        {
            "type": "tool_use",
            "id": tool_id(part.id),
            "name": part.name,
            "input": read_arguments(part.arguments),
        },
        part.cache,
    )


def is_foreign(key: object) -> bool:
    """Whether the signature of a thought, or what it hides, is another vendor's, or nobody's.

    Anthropic's own are plain base64; others have a mark in front, which ends with a colon.
    """
    return key == "" or (isinstance(key, str) and ":" in key)


def tool_id(told: str) -> str:
    """A call's id in the letters that the API takes; other vendors use more of them."""
    return _UNFIT_FOR_ID.sub("_", told) or "_"


def read_arguments(arguments: str) -> Json:
    """The object that `arguments` say.

    What is no object, for a model may have written anything, stands under `arguments` in one:
    the conversation must go on with it.
    """
    try:
        value: Any = decode(arguments) if arguments else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = arguments
    return cast("Json", value) if isinstance(value, dict) else {"arguments": value}


def _write_tool_result(part: ToolResult, dropped: list[str]) -> Json | None:
    block: Json = {"type": "tool_result", "tool_use_id": tool_id(part.id)}
    content = write_blocks(part.parts, dropped)
    if content:
        block["content"] = content
    if part.failed:
        block["is_error"] = True
    return _cached(block, part.cache)


def _write_thinking(part: Thinking, dropped: list[str]) -> Json | None:
    """A block of thinking, if it is this vendor's: any other would be refused."""
    key = part.signature if part.redacted is None else part.redacted
    if key is None or is_foreign(key):
        if part.text:
            dropped.append("messages[thinking]")
        return None
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": key}
    return {"type": "thinking", "thinking": part.text, "signature": key}


def _write_refusal(part: Refusal, dropped: list[str]) -> Json | None:
    return write_text(Text(part.text), dropped)


def _write_foreign(part: Foreign, dropped: list[str]) -> Json | None:
    if part.format == FORMAT:
        return part.value
    dropped.append(f"content[{part.value.get('type', part.format)}]")
    return None


def _cached(block: Json, cache: Json | None) -> Json:
    if cache is not None:
        block["cache_control"] = cache
    return block


_WRITERS: dict[type, Callable[[Any, list[str]], Json | None]] = {
    Text: write_text,
    Image: _write_image,
    File: _write_file,
    Audio: _write_audio,
    ToolUse: _write_tool_use,
    ToolResult: _write_tool_result,
    Thinking: _write_thinking,
    Refusal: _write_refusal,
    Foreign: _write_foreign,
}
