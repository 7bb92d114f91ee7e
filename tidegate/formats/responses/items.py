"""Read the items of a request's `input` as turns.

The format's items are flat: a function call stands beside the message it came with. Here the
model's items that follow each other are one turn, and so are the outputs that answer its calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from msgspec import Struct

from tidegate.errors import BadRequest
from tidegate.formats.responses.seal import unsealed
from tidegate.formats.responses.shapes import (
    CallShape,
    Json,
    ReasoningShape,
    RefusalShape,
    TextShape,
    from_caller,
)
from tidegate.formats.words import (
    File,
    Foreign,
    Image,
    Part,
    Refusal,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)

FORMAT = "responses"

_Role = Literal["system", "user", "assistant"]
_ROLES: dict[str, _Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


class _Message(Struct):
    role: str
    content: str | list[Any]


class _Image(Struct):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class _File(Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Output(Struct):
    call_id: str
    output: str | list[Any]


def read_turns(instructions: str | None, items: list[Any]) -> tuple[Turn, ...]:
    """The conversation that `instructions` and `items` say. Raises: `BadRequest`."""
    turns: list[tuple[_Role, list[Part]]] = []
    if instructions is not None:
        turns.append(("system", [Text(instructions)]))
    joined = False
    for place, item in enumerate(items):
        path = f"input[{place}]"
        role, parts, joins = _item(_object(item, path), path)
        if joined and joins and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        else:
            turns.append((role, parts))
        joined = joins
    return tuple([Turn(role, tuple(parts)) for role, parts in turns])


def _item(item: Json, path: str) -> tuple[_Role, list[Part], bool]:
    """Whose an item is, what it says, and whether its neighbours are of the same turn."""
    kind = item.get("type")
    if kind is None and "role" in item:
        kind = "message"
    match kind:
        case "message":
            message = from_caller(item, _Message, path)
            role = _ROLES.get(message.role)
            if role is None:
                param = f"{path}.role"
                raise BadRequest(f"{param}: {message.role[:40]!r} is not a role.", param=param)
            return role, _parts(message.content, f"{path}.content"), role == "assistant"
        case "function_call":
            call = from_caller(item, CallShape, path)
            use = ToolUse(call.call_id, call.name, call.arguments, call.signature)
            return "assistant", [use], True
        case "function_call_output":
            output = from_caller(item, _Output, path)
            parts = _parts(output.output, f"{path}.output")
            return "user", [ToolResult(output.call_id, tuple(parts))], True
        case "reasoning":
            thought = from_caller(item, ReasoningShape, path)
            return (
                "assistant",
                [unsealed(thought.text(), thought.encrypted_content, thought.id)],
                True,
            )
        case "item_reference" | None:
            raise BadRequest(
                f"{path}: Items cannot be referred to by id at this model's provider; send them "
                "whole, or continue with `previous_response_id`.",
                param=path,
            )
        case _:
            return "assistant", [Foreign(FORMAT, item)], True


def _parts(content: str | list[Any], path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    return [_part(_object(part, f"{path}[{n}]"), f"{path}[{n}]") for n, part in enumerate(content)]


def _part(part: Json, path: str) -> Part:
    kind = part.get("type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        return Foreign(FORMAT, part)
    return read(part, path)


def _text(part: Json, path: str) -> Part:
    text = from_caller(part, TextShape, path)
    return Text(text.text, notes=tuple(text.annotations or ()))


def _refusal(part: Json, path: str) -> Part:
    return Refusal(from_caller(part, RefusalShape, path).refusal)


def _image(part: Json, path: str) -> Part:
    image = from_caller(part, _Image, path)
    data, media_type = split_data_url(image.image_url)
    if data is not None:
        return Image(data=data, media_type=media_type, detail=image.detail)
    if image.image_url is None and image.file_id is None:
        raise BadRequest(f"{path}: It names neither `image_url` nor `file_id`.", param=path)
    return Image(url=image.image_url, file_id=image.file_id, detail=image.detail)


def _file(part: Json, path: str) -> Part:
    file = from_caller(part, _File, path)
    data, media_type = split_data_url(file.file_data)
    if file.file_data is None and file.file_url is None and file.file_id is None:
        raise BadRequest(
            f"{path}: It names neither `file_data`, `file_url` nor `file_id`.", param=path
        )
    return File(
        data=data if data is not None else file.file_data,
        media_type=media_type,
        url=file.file_url,
        file_id=file.file_id,
        name=file.filename,
    )


_PARTS: dict[str, Callable[[Json, str], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
}


def split_data_url(url: str | None) -> tuple[str | None, str | None]:
    """The base64 and the media type in a `data:` URL; two times None for anything else."""
    if url is None or not url.startswith("data:"):
        return None, None
    head, _, data = url[5:].partition(",")
    media_type, _, coding = head.partition(";")
    # What is not in base64 stays a URL: the provider may know better.
    return (data, media_type or None) if coding.endswith("base64") else (None, None)


def _object(value: Any, path: str) -> Json:
    if not isinstance(value, dict):
        raise BadRequest(f"{path}: Expected `object`.", param=path)
    return cast("Json", value)
