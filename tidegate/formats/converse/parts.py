"""Parts of a turn as Converse's content blocks.

Bytes are base64 in this API's JSON, so they pass as the caller wrote them. A part that cannot be
said is left out and told by the name of the caller's field.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any, Final, cast

import msgspec

from tidegate.formats.converse.draft import Draft
from tidegate.formats.converse.models import Place
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

Json = dict[str, Any]

FORMAT: Final = "converse"
MAX_CACHE_POINTS: Final = 4
EMPTY: Final = "(empty)"
"""Stands where a text must be and there is none: blank ones are refused."""

_IMAGES: Final = {
    "image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif",
    "image/webp": "webp",
}  # fmt: skip
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_DOCUMENT_ENDINGS: Final = frozenset(_DOCUMENTS.values())
_SOUNDS: Final = frozenset({
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga",
    "pcm", "webm",
})  # fmt: skip
_BUCKET: Final = "s3://"
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_UNFIT_FOR_NAME: Final = re.compile(r"[^a-zA-Z0-9\-()\[\]]+")
_NAME_CHARACTERS: Final = 100

_decode = msgspec.json.Decoder().decode


class Blocks:
    """Writes the parts of one request: document names are unique in it, cache points few."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._cache_points = 0
        self._names: set[str] = set()

    def turn(self, parts: tuple[Part, ...], role: str) -> list[Json]:
        """The blocks of one turn; none if it says nothing."""
        blocks: list[Json] = []
        for part in parts:
            if isinstance(part, Text):
                _text(part.text, blocks)
            else:
                self._part(part, role, blocks)
            cache = getattr(part, "cache", None)
            if cache is not None and blocks:
                self.cache(cache, "messages", blocks)
        kinds = {kind for block in blocks for kind in block}
        if "document" in kinds and "text" not in kinds:  # which is refused
            blocks.append({"text": "See the document."})
        return blocks

    def system(self, parts: tuple[Part, ...], blocks: list[Json]) -> None:
        """Append instructions to `blocks`: only text can be one."""
        for part in parts:
            if not isinstance(part, Text):
                self._draft.drop(_shown(part))
                continue
            _text(part.text, blocks)
            if part.cache is not None and blocks:
                self.cache(part.cache, "system", blocks)

    def cache(self, mark: Json, place: Place, blocks: list[Json]) -> None:
        """Put a cache point behind `blocks`, where the model takes one."""
        if place not in self._draft.able.cache or self._cache_points >= MAX_CACHE_POINTS:
            self._draft.drop("cache_control")
            return
        self._cache_points += 1
        point: Json = {"type": "default"}
        if mark.get("ttl") == "1h":
            if self._draft.able.cache_hour:
                point["ttl"] = "1h"
            else:
                self._draft.drop("cache_control.ttl")
        blocks.append({"cachePoint": point})

    def _part(self, part: Part, role: str, blocks: list[Json]) -> None:
        """Append one part that is not text."""
        match part:
            case ToolUse():
                blocks.append(_call(part))
            case ToolResult():
                blocks.append(self._result(part))
            case Thinking():
                self._thinking(part, blocks)
            case Refusal():
                _text(part.text, blocks)
            case Image() | File() | Audio() if role == "user":
                self._media(part, blocks)
            case Foreign(format="converse"):
                blocks.append(part.value)
            case _:
                self._draft.drop(_shown(part))

    def _thinking(self, part: Thinking, blocks: list[Json]) -> None:
        """Reasoning, if it is signed by this vendor: any other is refused.

        Its signatures are plain base64; those of other formats begin with a mark and a colon.
        """
        key = part.signature if part.redacted is None else part.redacted
        if not key or ":" in key:
            if part.text:
                self._draft.drop("messages[thinking]")
        elif part.redacted is not None:
            blocks.append({"reasoningContent": {"redactedContent": key}})
        else:
            text = {"text": part.text, "signature": key}
            blocks.append({"reasoningContent": {"reasoningText": text}})

    def _result(self, part: ToolResult) -> Json:
        content: list[Json] = []
        for each in part.parts:
            if isinstance(each, Text):
                _text(each.text, content)
            elif isinstance(each, Image | File):
                self._media(each, content)
            else:
                self._draft.drop(_shown(each))
        result: Json = {"toolUseId": call_id(part.id), "content": content or [{"text": EMPTY}]}
        if part.failed and self._draft.may(
            self._draft.able.marks_failure, "messages[tool_result.is_error]"
        ):
            result["status"] = "error"
        return {"toolResult": result}

    def _media(self, part: Image | File | Audio, blocks: list[Json]) -> None:
        match part:
            case Image():
                block = _image(part)
            case File():
                block = self._document(part)
            case Audio():
                block = _sound(part)
        if block is None:
            self._draft.drop(_shown(part))
        else:
            blocks.append(block)

    def _document(self, part: File) -> Json | None:
        media_type = _bare(part.media_type)
        if media_type in _IMAGES:
            return _image(Image(url=part.url, data=part.data, media_type=media_type))
        kind = _DOCUMENTS.get(media_type) or _ending(part.name or part.url or "")
        if part.text:
            kind, source = "txt", {"bytes": b64encode(part.text.encode()).decode()}
        else:
            source = _source(part.data, part.url)
        if source is None or kind not in _DOCUMENT_ENDINGS:
            return None
        name = self._name(part.name or "")
        return {"document": {"format": kind, "name": name, "source": source}}

    def _name(self, told: str) -> str:
        """A name as Converse takes it: few kinds of characters, and no two alike."""
        told = told.rpartition("/")[2][:_NAME_CHARACTERS]
        stem = told.rpartition(".")[0] or told
        base = _UNFIT_FOR_NAME.sub(" ", stem).strip() or "Document"
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base} {number}"
        self._names.add(name)
        return name


def _text(text: str, blocks: list[Json]) -> None:
    """Append a text that is not blank: those are refused."""
    if text and not text.isspace():
        blocks.append({"text": text})


def _image(part: Image) -> Json | None:
    kind = _IMAGES.get(_bare(part.media_type)) or _IMAGES.get(f"image/{_ending(part.url or '')}")
    source = _source(part.data, part.url)
    if source is None or kind is None:
        return None
    return {"image": {"format": kind, "source": source}}


def _sound(part: Audio) -> Json | None:
    if part.kind not in _SOUNDS or not part.data:
        return None
    return {"audio": {"format": part.kind, "source": {"bytes": part.data}}}


def _source(data: str | None, url: str | None) -> Json | None:
    """Bytes, or a place in S3: no other address is fetched."""
    if data:
        return {"bytes": data}
    return {"s3Location": {"uri": url}} if url and url.startswith(_BUCKET) else None


def call_id(told: str) -> str:
    """A call's id as Converse takes it; other vendors have longer ones, with other letters."""
    if _CALL_ID.fullmatch(told):
        return told
    return f"call_{sha256(told.encode()).hexdigest()[:32]}"


def _call(part: ToolUse) -> Json:
    """A call; what is no object, for models write anything, stands under `arguments` in one."""
    try:
        value: Any = _decode(part.arguments) if part.arguments.strip() else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = part.arguments
    value = cast("Json", value) if isinstance(value, dict) else {"arguments": value}
    return {"toolUse": {"toolUseId": call_id(part.id), "name": part.name, "input": value}}


def _bare(media_type: str | None) -> str:
    """A media type without its parameters."""
    return (media_type or "").partition(";")[0].strip().lower()


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _shown(part: Part) -> str:
    """What a part is called when it is told as dropped."""
    match part:
        case Foreign():
            return f"content[{part.value.get('type') or part.format}]"
        case Image():
            return "content[image_url]" if part.url else f"content[{part.media_type or 'image'}]"
        case File():
            return f"content[{part.media_type or 'file'}]"
        case Audio():
            return "content[input_audio]"
        case _:
            return f"content[{type(part).__name__.lower()}]"
