"""A `Reply` written as a whole chat answer.

Source: platform.openai.com/docs/api-reference/chat/object; `stop_reason` is vLLM's, `images` and
`reasoning_details` are OpenRouter's, `reasoning_content` is DeepSeek's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.formats.chat.parts import field_of, write_detail, write_signature
from tidegate.formats.openai import outline, write_usage
from tidegate.formats.words import (
    Ask,
    Finish,
    Foreign,
    Image,
    Part,
    Refusal,
    Reply,
    Said,
    Text,
    Thinking,
    ToolUse,
)

Json = dict[str, Any]

_WRITTEN: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    # What is to be continued is not complete, and this is the one word for that.
    "pause": "length",
    "other": "stop",
}
_CITATION = frozenset({"start_index", "end_index", "title", "url", "content"})

_encode = msgspec.json.Encoder().encode


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:  # noqa: ARG001
    """`reply` as a chat completion. See `Heard.write_reply`."""
    told = outline("chat.completion", "chatcmpl", reply, model)
    told["choices"] = [_choice(said, index) for index, said in enumerate(reply.choices)]
    if reply.usage is not None:
        told["usage"] = write_usage(reply.usage)
    return _encode(told)


def _choice(said: Said, index: int) -> Json:
    message = _message(said.parts)
    choice: Json = {
        "index": index,
        "message": message,
        "logprobs": None if said.logprobs is None else {"content": said.logprobs, "refusal": None},
        "finish_reason": write_finish(said.finish, refused=message["refusal"] is not None),
    }
    if said.stop_sequence is not None:
        choice["stop_reason"] = said.stop_sequence
    return choice


def _message(parts: tuple[Part, ...]) -> Json:
    """The parts of each kind together, in the field of that kind."""
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].notes:  # nearly always
        return {"role": "assistant", "content": parts[0].text, "refusal": None}
    texts = [part for part in parts if isinstance(part, Text)]
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    calls = [write_call(part) for part in parts if isinstance(part, ToolUse)]
    images = [_image(part) for part in parts if isinstance(part, Image)]
    message: Json = {
        "role": "assistant",
        "content": None if not texts and (calls or refusals) else "".join(t.text for t in texts),
        "refusal": "".join(refusals) or None,
    }
    if notes := _annotations(texts):
        message["annotations"] = notes
    if calls:
        message["tool_calls"] = calls
    if images:
        message["images"] = images
    if said := "".join(thought.text for thought in thoughts):
        message["reasoning_content"] = said
    if any(thought.signature or thought.redacted for thought in thoughts):
        message["reasoning_details"] = [write_detail(*each) for each in enumerate(thoughts)]
    for part in parts:
        if isinstance(part, Foreign) and (field := field_of(part)) is not None:
            message[field] = part.value.get("value")
    return message


def _annotations(texts: list[Text]) -> list[Json]:
    notes: list[Json] = []
    start = 0
    for text in texts:
        if text.notes:
            notes += write_notes(text.notes, start, len(text.text))
        start += len(text.text)
    return notes


def write_call(call: ToolUse) -> Json:
    """A call of a tool, with the signature that Google's models want to see again."""
    told: Json = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature is not None:
        told["extra_content"] = write_signature(call.signature)
    return told


def _image(image: Image) -> Json:
    url = image.url or f"data:{image.media_type or 'image/png'};base64,{image.data or ''}"
    return {"type": "image_url", "image_url": {"url": url}}


def write_finish(finish: Finish, *, refused: bool) -> str:
    """The finish reason to tell; a refusal that was said in words ends with `stop`."""
    return "stop" if finish == "refusal" and refused else _WRITTEN[finish]


def write_notes(notes: Sequence[Json], start: int, length: int) -> list[Json]:
    """Citations of pages, with the fields in an object of their own.

    Those that name no place in the text stand for all of it, `length` characters from `start` on;
    a note that names no page has no words here.
    """
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": start + length,
                "title": "",
                **{k: v for k, v in note.items() if k in _CITATION and v is not None},
            },
        }
        for note in notes
        if isinstance(note.get("url"), str)
    ]
