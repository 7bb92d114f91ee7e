"""Turns written as chat messages; what cannot be said is told by a name.

Source: platform.openai.com/docs/api-reference/chat/create (`messages`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tidegate.formats.chat.accent import Accent
from tidegate.formats.chat.parts import field_of, write_detail, write_signature
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

_NAMES: dict[type, str] = {ToolUse: "tool_use", ToolResult: "tool_result"}


def write_turn(turn: Turn, messages: list[Json], accent: Accent, dropped: list[str]) -> None:
    """Append what `turn` says to `messages`; a turn that says nothing here is left out."""
    if len(turn.parts) == 1 and turn.role != "assistant" and turn.name is None:
        part = turn.parts[0]
        if isinstance(part, Text) and part.cache is None and not part.notes:  # nearly always
            role = "user" if turn.role == "user" else accent.system_role
            messages.append({"role": role, "content": part.text})
            return
    _Message(turn, accent, dropped).write_into(messages)


class _Message(Struct):
    """One turn being written: a message, or one for each result of a tool and one for the rest."""

    turn: Turn
    accent: Accent
    dropped: list[str]

    fields: Json = {}
    """Fields of the message itself that no part stands for."""

    def write_into(self, messages: list[Json]) -> None:
        turn = self.turn
        match turn.role:
            case "user":
                self._write_user(messages)
            case "assistant":
                self._write_assistant(messages)
            case "system":
                parts = [part for part in map(self._text, turn.parts) if part is not None]
                if parts:
                    role = self.accent.system_role
                    messages.append(self._named({"role": role, "content": self._joined(parts)}))

    def _write_user(self, messages: list[Json]) -> None:
        """Results first, for they must follow their calls; what they cannot hold comes behind."""
        parts: list[Json] = []
        rest: list[Part] = []
        for part in self.turn.parts:
            if isinstance(part, ToolResult):
                messages.append(self._result(part, parts))
            else:
                rest.append(part)
        parts += [said for part in rest if (said := self._content(part)) is not None]
        if parts:
            messages.append(self._named({"role": "user", "content": _shortest(parts)}))

    def _result(self, result: ToolResult, behind: list[Json]) -> Json:
        """A tool's message; whatever is not text goes `behind`, into the user's message."""
        texts: list[Json] = []
        for part in result.parts:
            said = self._content(part)
            if said is not None:
                (texts if said.get("type") == "text" else behind).append(said)
        if result.failed:
            self.dropped.append("messages[tool_result.is_error]")
        content = self._joined(texts) if texts else ""
        return {"role": "tool", "tool_call_id": result.id, "content": content}

    def _write_assistant(self, messages: list[Json]) -> None:
        contents: list[Json] = []
        thoughts: list[Thinking] = []
        calls: list[Json] = []
        message: Json = {"role": "assistant", "content": None}
        for part in self.turn.parts:
            match part:
                case Refusal():
                    contents.append({"type": "refusal", "refusal": part.text})
                case ToolUse():
                    calls.append(self._call(part))
                case Thinking():
                    thoughts.append(part)
                case Foreign(format="chat", value={"type": "custom"}):
                    calls.append(part.value)
                case _:
                    if (said := self._text(part)) is not None:
                        contents.append(said)
        if contents:
            _write_contents(contents, message, self._joined(contents))
        if calls:
            message["tool_calls"] = calls
        self._write_thoughts(thoughts, message)
        if len(message) > 2 or contents or self.fields:  # noqa: PLR2004 - a role, no content
            messages.append(self._named(message))

    def _call(self, call: ToolUse) -> Json:
        said: Json = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        if call.signature is not None:
            if self.accent.signatures:
                said["extra_content"] = write_signature(call.signature)
            else:
                self.dropped.append("messages[tool_use.signature]")
        return said

    def _write_thoughts(self, thoughts: list[Thinking], message: Json) -> None:
        field = self.accent.thinking
        if not thoughts:
            return
        if field == "reasoning_details":
            message[field] = [write_detail(*each) for each in enumerate(thoughts)]
            return
        text = "".join(thought.text for thought in thoughts)
        if field is None:
            self.dropped.append("messages[thinking]")
        elif text:
            message[field] = text
        if any(thought.signature or thought.redacted for thought in thoughts):
            self.dropped.append("messages[thinking.signature]")

    def _content(self, part: Part) -> Json | None:
        """What a user's message can hold."""
        match part:
            case Image():
                said = self._image(part)
            case File():
                said = self._file(part)
            case Audio():
                audio = {"data": part.data, "format": part.kind}
                return {"type": "input_audio", "input_audio": audio}
            case _:
                return self._text(part)
        return said if said is None else self._cached(said, part.cache)

    def _text(self, part: Part) -> Json | None:
        """What any message can hold; anything else is told as dropped."""
        match part:
            case Text():
                if part.notes:
                    self.dropped.append("messages[citations]")
                return self._cached({"type": "text", "text": part.text}, part.cache)
            case Foreign(format="chat"):
                field = field_of(part)
                if field is None:
                    return part.value
                self.fields[field] = part.value.get("value")
            case Foreign():
                self.dropped.append(f"messages[{kind_of(part.value)}]")
            case _:
                name = _NAMES.get(type(part)) or type(part).__name__.lower()
                self.dropped.append(f"messages[{name}]")
        return None

    def _image(self, image: Image) -> Json | None:
        url = image.url
        if image.data is not None:
            url = f"data:{image.media_type or 'image/png'};base64,{image.data}"
        if url is None:
            self.dropped.append("messages[image.file_id]")
            return None
        said: Json = {"url": url}
        if image.detail is not None:
            said["detail"] = image.detail
        return {"type": "image_url", "image_url": said}

    def _file(self, file: File) -> Json | None:
        said: Json = {}
        if file.data is not None:
            kind = file.media_type
            said["file_data"] = file.data if kind is None else f"data:{kind};base64,{file.data}"
        elif file.file_id is not None:
            said["file_id"] = file.file_id
        elif file.text is not None:
            return {"type": "text", "text": file.text}
        else:
            self.dropped.append("messages[file.url]")
            return None
        if file.name is not None:
            said["filename"] = file.name
        return {"type": "file", "file": said}

    def _cached(self, said: Json, cache: Json | None) -> Json:
        if cache is not None:
            if self.accent.cache:
                said["cache_control"] = cache
            else:
                self.dropped.append("cache_control")
        return said

    def _named(self, message: Json) -> Json:
        if self.turn.name is not None:
            message["name"] = self.turn.name
        if self.fields:
            message |= self.fields
        return message

    def _joined(self, parts: Sequence[Json]) -> str | list[Json]:
        if self.accent.lists:
            return _shortest(parts)
        return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def _shortest(parts: Sequence[Json]) -> str | list[Json]:
    """A plain text where that says all."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return list(parts)


def _write_contents(contents: list[Json], message: Json, joined: str | list[Json]) -> None:
    """A refusal alone has a field of its own."""
    if all("refusal" in part for part in contents):
        message["refusal"] = "".join(part["refusal"] for part in contents)
    else:
        message["content"] = joined


def kind_of(value: Json) -> str:
    """The name of a foreign part or tool: its type, or the one field that it has."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else next(iter(value), "?")
