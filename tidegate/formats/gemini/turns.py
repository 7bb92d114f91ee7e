"""The turns of a conversation as Google's `contents`.

There are two roles, `user` and `model`; instructions stand outside. What a tool gave stands in a
content of its own, with nothing else in it: newer models take text beside it for a turn of their
own. Images in it go inside for models that look there, else into the content behind it.

A tool's result names its tool, which callers' formats mostly leave out: the name is that of the
call with the same id, before it.

Signatures by which Google knows its own thoughts again go to callers with a mark before them. One
that comes back without it is another provider's, which Google would refuse: a conversation may have
begun there. Calls of tools are signed by nobody else, so theirs need no mark. Newer models refuse a
call of the turn under way that has no signature; one that another model made is given the word that
Google documents for this.

Source: ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tidegate.errors import BadRequest
from tidegate.formats.gemini.models import Model
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
    Turn,
)

Json = dict[str, Any]
_Kind = Literal["user", "model", "results"]

MARK = "gemini:"
"""Stands before the signature of a thought while a caller keeps it."""
_UNSIGNED = "skip_thought_signature_validator"

_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_FETCHED = ("https://", "http://", "gs://")
_NO_ARGUMENTS = msgspec.Raw(b"{}")
_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
    "gif": "image/gif", "heic": "image/heic", "heif": "image/heif", "bmp": "image/bmp",
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv",
    "html": "text/html", "htm": "text/html", "xml": "text/xml", "json": "application/json",
    "mp3": "audio/mp3", "wav": "audio/wav", "aac": "audio/aac", "ogg": "audio/ogg",
    "flac": "audio/flac", "aiff": "audio/aiff", "m4a": "audio/mp4",
    "mp4": "video/mp4", "mov": "video/quicktime", "mpeg": "video/mpeg", "webm": "video/webm",
    "avi": "video/x-msvideo", "wmv": "video/x-ms-wmv", "flv": "video/x-flv", "3gp": "video/3gpp",
}  # fmt: skip
_BEGINNINGS = {
    "iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp", "R0lGOD": "image/gif",
    "JVBER": "application/pdf",
}  # fmt: skip
_MISNAMED = {"image/jpg": "image/jpeg"}

_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Contents:
    """Takes turns in their order; then `system` and `contents` hold what goes into the body."""

    def __init__(self, of: Model, dropped: list[str]) -> None:
        self.system: list[Json] = []
        self.contents: list[Json] = []
        self._of = of
        self._dropped = dropped
        self._kind: _Kind | None = None
        self._parts: list[Json] = []
        self._behind: list[Json] = []
        self._names: dict[str, str] = {}
        self._unsigned = False

    def take(self, turns: tuple[Turn, ...]) -> None:
        """Say all of `turns`. Raises: `BadRequest` for results and calls that make no sense."""
        for turn in turns:
            if turn.name is not None:
                self._dropped.append("messages[].name")
            if turn.role == "system":
                self._instruct(turn)
            elif turn.role == "assistant":
                for part in turn.parts:
                    self._part("model", part)
            else:
                # Results come right behind their calls.
                parts = turn.parts
                for part in sorted(parts, key=_is_no_result) if len(parts) > 1 else parts:
                    self._part("user", part)
        self._give_behind()
        if self._unsigned and self._of.signs:
            _sign(self.contents)
        if self.system and not self.contents:  # instructions alone are no conversation
            self.contents = [{"role": "user", "parts": self.system}]
            self.system = []

    def _instruct(self, turn: Turn) -> None:
        for part in turn.parts:
            if isinstance(part, Text):
                self._note_text(part)
                if part.text:
                    self.system.append({"text": part.text})
            else:
                self._dropped.append(f"system[{_name(part)}]")

    def _add(self, kind: _Kind, part: Json) -> None:
        if kind != "results":
            self._give_behind()
        if kind != self._kind:
            self._begin(kind)
        self._parts.append(part)

    def _begin(self, kind: _Kind) -> None:
        self._kind, self._parts = kind, []
        role = "model" if kind == "model" else "user"
        self.contents.append({"role": role, "parts": self._parts})

    def _give_behind(self) -> None:
        if self._behind:
            self._begin("user")
            self._parts += self._behind
            self._behind = []

    def _part(self, kind: _Kind, part: Part) -> None:
        match part:
            case Text():
                self._note_text(part)
                if part.text:
                    self._add(kind, {"text": part.text})
            case ToolUse():
                self._call(part)
            case ToolResult():
                self._result(part)
            case Thinking():
                self._thought(part)
            case Refusal(text=text) | File(text=str(text)):
                self._add(kind, {"text": text})
            case Image() | File() | Audio():
                said = self._media(part)
                if said is not None:
                    self._add(kind, said)
            case Foreign():
                self._dropped.append(f"messages[{_name(part)}]")

    def _note_text(self, part: Text) -> None:
        if part.cache is not None:
            self._dropped.append("cache_control")
        if part.notes:
            self._dropped.append("messages[citations]")

    def _call(self, part: ToolUse) -> None:
        if part.cache is not None:
            self._dropped.append("cache_control")
        self._names[part.id] = part.name
        call: Json = {"id": part.id, "name": part.name, "args": _object(part)}
        said: Json = {"functionCall": call}
        if part.signature:
            said["thoughtSignature"] = part.signature
        else:
            self._unsigned = True
        self._add("model", said)

    def _thought(self, part: Thinking) -> None:
        """Keep thoughts; a signature without a text of its own belongs to the text before it."""
        signature = _ours(part.signature)
        if part.redacted is not None:
            self._dropped.append("messages[redacted_thinking]")
        if part.text:
            said: Json = {"text": part.text, "thought": True}
        elif signature is None:
            return
        elif self._kind == "model" and self._parts[-1].keys() == {"text"}:
            self._parts[-1]["thoughtSignature"] = signature
            return
        else:
            said = {"text": ""}
        if signature is not None:
            said["thoughtSignature"] = signature
        self._add("model", said)

    def _result(self, part: ToolResult) -> None:
        name = self._names.get(part.id) or part.name
        if not name:
            raise BadRequest(
                "A tool's result stands there without the call that it answers.", param="messages"
            )
        if part.cache is not None:
            self._dropped.append("cache_control")
        texts: list[str] = []
        media: list[Json] = []
        for each in part.parts:
            match each:
                case Text() | Refusal():
                    texts.append(each.text)
                case File(text=str(text)):
                    texts.append(text)
                case Image() | File() | Audio():
                    said = self._media(each)
                    if said is not None:
                        media.append(said)
                case _:
                    self._dropped.append(f"messages[{_name(each)}]")
        response: Json = {
            "id": part.id,
            "name": name,
            "response": {"error" if part.failed else "output": "\n".join(texts)},
        }
        if media and self._of.sees_results:
            response["parts"] = media
        else:
            self._behind += media
        self._add("results", {"functionResponse": response})

    def _media(self, part: Image | File | Audio) -> Json | None:
        """A part with bytes or an address; None, and a name dropped, when it cannot be said."""
        if isinstance(part, Audio):
            return {"inlineData": {"mimeType": f"audio/{part.kind}", "data": part.data}}
        if part.cache is not None:
            self._dropped.append("cache_control")
        if isinstance(part, Image) and part.detail not in (None, "auto"):
            self._dropped.append("messages[image.detail]")
        said = _bytes(part) if part.data is not None else _address(part)
        if said is None:
            self._dropped.append(f"messages[{_name(part)}]")
        return said


def _is_no_result(part: Part) -> bool:
    return not isinstance(part, ToolResult)


def _bytes(part: Image | File) -> Json | None:
    data = part.data or ""
    kind = part.media_type
    if kind is None and isinstance(part, File) and part.name is not None:
        kind = _TYPES.get(part.name.rpartition(".")[2].lower())
    if kind is None:
        kind = next((each for start, each in _BEGINNINGS.items() if data.startswith(start)), None)
    if kind is None:
        return None
    return {"inlineData": {"mimeType": _MISNAMED.get(kind, kind), "data": data}}


def _address(part: Image | File) -> Json | None:
    """Google fetches public addresses, its own files and its own storage, if told what they are."""
    url = part.url
    if url is None and part.file_id is not None:
        if part.file_id.startswith("files/"):
            return {"fileData": {"fileUri": _FILES + part.file_id}}
        url = part.file_id
    if url is None:
        return None
    if url.startswith("data:"):
        kind, _, data = url[5:].partition(";base64,")
        return {"inlineData": {"mimeType": _MISNAMED.get(kind, kind), "data": data}}
    if url.startswith(_FILES + "files/"):
        return {"fileData": {"fileUri": url}}
    ending = url.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    kind = part.media_type or _TYPES.get(ending)
    if kind is None or not url.startswith(_FETCHED):
        return None
    return {"fileData": {"mimeType": _MISNAMED.get(kind, kind), "fileUri": url}}


def _object(part: ToolUse) -> msgspec.Raw:
    """The arguments as they stand, which is a JSON object."""
    text = part.arguments.strip()
    if not text:
        return _NO_ARGUMENTS
    try:
        _arguments(text)
        return msgspec.Raw(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadRequest(
            f"The arguments of the tool call {part.id!r} are not a JSON object.", param="messages"
        ) from None


def _ours(signature: str | None) -> str | None:
    if signature is None or not signature.startswith(MARK):
        return None
    return signature[len(MARK) :]


def _sign(contents: list[Json]) -> None:
    """Sign the first call of each step since the last thing that the user said."""
    for content in reversed(contents):
        parts: list[Json] = content["parts"]
        if content["role"] == "user":
            if "functionResponse" not in parts[0]:
                return
            continue
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", _UNSIGNED)


def _name(part: Part) -> str:
    """What kind of part it is, in its own format's word if it is foreign."""
    if isinstance(part, Foreign):
        return str(part.value.get("type", part.format))[:100]
    return type(part).__name__.lower()
