"""The `response` object as callers of this format get it, and the items in its output.

It repeats the request's parameters with the defaults that OpenAI tells for them, so that SDKs,
which take each field for given, can read it whoever answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec import Struct

from tidegate.formats.responses.ask import CONTINUED, Asked
from tidegate.formats.responses.items import FORMAT
from tidegate.formats.responses.request import write_ask
from tidegate.formats.responses.seal import sealed
from tidegate.formats.responses.shapes import Json
from tidegate.formats.words import (
    Ask,
    Finish,
    Foreign,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from tidegate.types import Usage


class Whole(Struct, kw_only=True):
    """The `response` object; from `background` on it repeats the request, or tells the default."""

    id: str
    object: str = "response"
    created_at: int
    status: str = "in_progress"
    completed_at: int | None = None
    error: None = None
    incomplete_details: Json | None = None
    model: str
    output: list[Json] = []
    usage: Json | None = None

    background: Any = False
    frequency_penalty: Any = 0.0
    instructions: Any = None
    max_output_tokens: Any = None
    max_tool_calls: Any = None
    metadata: Any = {}
    parallel_tool_calls: Any = True
    presence_penalty: Any = 0.0
    previous_response_id: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = True
    temperature: Any = 1.0
    tool_choice: Any = "auto"
    top_logprobs: Any = 0
    top_p: Any = 1.0
    truncation: Any = "disabled"
    user: Any = None

    reasoning: Json
    text: Json
    tools: list[Json]


_REPEATED = frozenset(Whole.__struct_fields__[Whole.__struct_fields__.index("background") : -3])
_REASONING: Json = {"effort": None, "summary": None}
_TEXT: Json = {"format": {"type": "text"}, "verbosity": "medium"}
_OWN = frozenset({"message", "function_call", "reasoning"})
_INCOMPLETE: dict[Finish, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    # What is to be continued is not complete, and this is the one word for that.
    "pause": "max_output_tokens",
}


def begun(ask: Ask | None, token: str, created_s: int, model: str) -> Whole:
    """A response in progress with an empty output; `token` makes its id."""
    asked = _asked(ask)
    reasoning, text, tools = asked.get("reasoning"), asked.get("text"), asked.get("tools")
    response = Whole(
        id=f"resp_{token}",
        created_at=created_s,
        model=model,
        reasoning=_REASONING | reasoning if reasoning else _REASONING,
        text=_TEXT | _told(text) if text else _TEXT,
        tools=[_tool(tool) for tool in tools] if tools else [],
    )
    for name in _REPEATED.intersection(asked):
        if asked[name] is not None:
            setattr(response, name, asked[name])
    if response.previous_response_id is None:
        response.previous_response_id = asked.get(CONTINUED)
    return response


def end(response: Whole, finish: Finish, usage: Usage | None, now_s: int) -> None:
    """Complete `response`, whose output is complete."""
    reason = _INCOMPLETE.get(finish)
    if reason is None:
        response.status, response.completed_at = "completed", now_s
    else:
        response.status, response.incomplete_details = "incomplete", {"reason": reason}
    if usage is not None:
        response.usage = _usage(usage)
        response.service_tier = usage.tier or response.service_tier


def told_as(finish: Finish, *, refused: bool) -> Finish:
    """`finish`, where a refusal that was not said in words is a filter's: the answer was cut."""
    return "content_filter" if finish == "refusal" and not refused else finish


def status_of(finish: Finish | None) -> str:
    """The status of the item that an answer ended in."""
    return "incomplete" if finish in _INCOMPLETE else "completed"


def _asked(ask: Ask | None) -> Json:
    """The body that said `ask`, or one that would have."""
    if isinstance(ask, Asked):
        return ask.body
    return write_ask(ask)[0] if ask is not None else {}


def _told(value: Json | None) -> Json:
    return {key: said for key, said in (value or {}).items() if said is not None}


def _tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": False} | _told(tool)


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.input + usage.output,
    }


# Items


def message(token: str, place: int, status: str, content: list[Json]) -> Json:
    """A message item, the one at `place` of the output."""
    return {
        "id": f"msg_{token}{place:02x}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def text_part(text: str, annotations: list[Json], logprobs: list[Json]) -> Json:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> Json:
    """A part of a message in which the model does not answer."""
    return {"type": "refusal", "refusal": text}


def function_call(token: str, place: int, status: str, use: ToolUse) -> Json:
    """A call. What its provider wants back with it travels as `signature`, which SDKs keep."""
    item: Json = {
        "id": f"fc_{token}{place:02x}",
        "type": "function_call",
        "call_id": use.id,
        "name": use.name,
        "arguments": use.arguments,
        "status": status,
    }
    if use.signature is not None:
        item["signature"] = use.signature
    return item


def reasoning(token: str, place: int, status: str, thinking: Thinking, *, as_summary: bool) -> Json:
    """A reasoning item; its text stands where the caller asked for it."""
    item: Json = {
        "id": f"rs_{token}{place:02x}",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": sealed(thinking),
        "status": status,
    }
    if thinking.text and as_summary:
        item["summary"] = [{"type": "summary_text", "text": thinking.text}]
    elif thinking.text:
        item["content"] = [{"type": "reasoning_text", "text": thinking.text}]
    return item


def wants_summary(ask: Ask | None) -> bool:
    """Whether reasoning is told as a summary; as the reasoning's text if not."""
    return ask is not None and ask.reasoning is not None and ask.reasoning.summary is not None


def annotations_of(notes: Iterable[Json], length: int) -> list[Json]:
    """The citations of pages among `notes`; one that names no place stands for all of the text.

    Other formats tell their notes as this one does, or in ways that have no words here.
    """
    return [
        {
            "type": "url_citation",
            "url": note["url"],
            "title": _string(note.get("title")),
            "start_index": _count(note.get("start_index"), 0),
            "end_index": _count(note.get("end_index"), length),
        }
        for note in notes
        if isinstance(note.get("url"), str)
    ]


def logprobs_of(entries: Sequence[Json] | None) -> list[Json]:
    """Log-probabilities with every field that SDKs expect."""
    if not entries:
        return []
    return [
        _logprob(entry)
        | {"top_logprobs": [_logprob(top) for top in _objects(entry, "top_logprobs")]}
        for entry in entries
    ]


def _logprob(entry: Json) -> Json:
    value, spelled = entry.get("logprob"), entry.get("bytes")
    return {
        "token": _string(entry.get("token")),
        "logprob": value if isinstance(value, int | float) else 0.0,
        "bytes": spelled if isinstance(spelled, list) else [],
    }


def _objects(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    if not isinstance(found, list):
        return []
    return [cast("Json", each) for each in cast("list[Any]", found) if isinstance(each, dict)]


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default


def items_of(
    parts: Iterable[Part], token: str, finish: Finish, logprobs: list[Json], *, as_summary: bool
) -> list[Json]:
    """The output items that say `parts`. Texts and refusals that follow each other are one."""
    items: list[Json] = []
    content: list[Json] | None = None
    for part in parts:
        said: Json | None = None
        if isinstance(part, Text):
            notes = annotations_of(part.notes, len(part.text)) if part.notes else []
            said, logprobs = text_part(part.text, notes, logprobs), []
        elif isinstance(part, Refusal):
            said = refusal_part(part.text)
        if said is not None:
            if content is None:
                content = []
                items.append(message(token, len(items), "completed", content))
            content.append(said)
            continue
        content = None
        if isinstance(part, Thinking):
            items.append(reasoning(token, len(items), "completed", part, as_summary=as_summary))
        elif isinstance(part, ToolUse):
            items.append(function_call(token, len(items), "completed", part))
        elif isinstance(part, Foreign) and part.format == FORMAT:
            items.append(part.value)
    if items and items[-1].get("type") in _OWN:
        items[-1]["status"] = status_of(finish)
    return items
