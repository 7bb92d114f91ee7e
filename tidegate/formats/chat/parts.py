"""Parts of a chat message, which requests and answers share: content, tool calls, reasoning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tidegate.formats.words import Audio, File, Foreign, Image, Part, Refusal, Text, Thinking

Json = dict[str, Any]

_FIELD = "message."

_encode = msgspec.json.Encoder().encode


def foreign_field(name: str, value: object) -> Foreign:
    """A field of a message, not a part of its content, that the neutral words do not know."""
    return Foreign("chat", {"type": _FIELD + name, "value": value})


def field_of(part: Foreign) -> str | None:
    """The name of the field that `part` stands for, if it is one."""
    kind = part.value.get("type")
    if part.format != "chat" or not isinstance(kind, str) or not kind.startswith(_FIELD):
        return None
    return kind.removeprefix(_FIELD)


class ImageUrl(Struct):
    """Where an image is, or the image itself as a data URL."""

    url: str
    detail: str | None = None


class _FileFields(Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _AudioFields(Struct):
    data: str
    format: str = "wav"


class PartFields(Struct):
    """Any part of a content list. Mistral writes an image's URL without an object around it."""

    type: str = ""
    text: str | None = None
    image_url: ImageUrl | str | None = None
    file: _FileFields | None = None
    input_audio: _AudioFields | None = None
    refusal: str | None = None
    thinking: str | list[Json] | None = None
    cache_control: Json | None = None


class Function(Struct):
    """A function as it is called; a call in the old form is no more than this."""

    name: str | None = None
    arguments: str | Json | None = None


class ToolCall(Struct):
    """A call of a tool, or a piece of one; without a function it is of a kind we do not know."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None


def arguments_text(told: str | Json | None) -> str:
    """Arguments as JSON text: some servers send the object itself."""
    if told is None:
        return ""
    return told if isinstance(told, str) else _encode(told).decode()


def read_part(part: PartFields, raw: Json) -> Iterator[Part]:
    """What one part of a content list says."""
    match part:
        case PartFields(type="text", text=str(text)):
            yield Text(text, part.cache_control)
        case PartFields(type="image_url", image_url=ImageUrl(url=url, detail=detail)):
            yield _image(url, detail, part.cache_control)
        case PartFields(type="image_url", image_url=str(url)):
            yield _image(url, None, part.cache_control)
        case PartFields(type="file", file=_FileFields() as file):
            yield _file(file, part.cache_control)
        case PartFields(type="input_audio", input_audio=_AudioFields() as audio):
            yield Audio(audio.data, audio.format)
        case PartFields(type="refusal", refusal=str(refusal)):
            yield Refusal(refusal)
        case PartFields(type="thinking", thinking=thinking) if thinking is not None:
            yield Thinking(thought(thinking))
        case _:
            yield Foreign("chat", raw)


def _image(url: str, detail: str | None, cache: Json | None) -> Image:
    data = split_data_url(url)
    if data is None:
        return Image(url=url, detail=detail, cache=cache)
    return Image(media_type=data[0], data=data[1], detail=detail, cache=cache)


def _file(file: _FileFields, cache: Json | None) -> File:
    split = split_data_url(file.file_data or "")
    media_type, data = split or (None, file.file_data)
    return File(
        data=data, file_id=file.file_id, media_type=media_type, name=file.filename, cache=cache
    )


def split_data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL; None for any other."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url.partition(",")
    media_type, _, coding = head[len("data:") :].rpartition(";")
    return (media_type, data) if comma and coding == "base64" and media_type else None


def thought(said: str | list[Json]) -> str:
    """The text of Mistral's thinking part, which is a list of text parts."""
    if isinstance(said, str):
        return said
    return "".join(text for part in said if isinstance(text := part.get("text"), str))


def read_thinking(text: str | None, details: list[Json] | None) -> list[Thinking]:
    """Reasoning: its text as such, or in OpenRouter's details, which repeat it with signatures."""
    told = [thinking for detail in details or () if (thinking := read_detail(detail)) is not None]
    if text and not any(thinking.text for thinking in told):
        told.insert(0, Thinking(text))
    return told


def read_detail(detail: Json) -> Thinking | None:
    """One of OpenRouter's details."""
    match detail:
        case {"type": "reasoning.encrypted", "data": str(data)}:
            return Thinking(redacted=data)
        case {"type": "reasoning.summary", "summary": str(text)}:
            return Thinking(text)
        case {"type": "reasoning.text"}:
            text, signature = detail.get("text"), detail.get("signature")
            return Thinking(
                text if isinstance(text, str) else "",
                signature if isinstance(signature, str) else None,
            )
        case _:
            return None


def write_detail(place: int, thinking: Thinking) -> Json:
    """`thinking` as one of OpenRouter's details."""
    if thinking.redacted is not None:
        return {"type": "reasoning.encrypted", "data": thinking.redacted, "index": place}
    detail: Json = {"type": "reasoning.text", "text": thinking.text, "index": place}
    return detail if thinking.signature is None else detail | {"signature": thinking.signature}


def read_signature(extra_content: object) -> str | None:
    """The signature of a call's thought, as Google's servers send it."""
    match extra_content:
        case {"google": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return None


def write_signature(signature: str) -> Json:
    """The same, to be sent."""
    return {"google": {"thought_signature": signature}}
