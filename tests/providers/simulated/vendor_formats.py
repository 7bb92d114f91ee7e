"""One small request in each vendor's format, and how its answers are read without an SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.eventstream import EventStreamBuffer

Json = dict[str, Any]
Events = list[Json]


@dataclass(frozen=True)
class Format:
    """How to ask in one format, and what to look for in the answer."""

    path: str
    body: Json
    stream_path: str = ""
    stream_body: Json = field(default_factory=dict[str, Any])
    headers: tuple[str, ...] = ()
    text: Callable[[Json], str] = str
    """The text of a whole answer."""
    delta: Callable[[Json], str] = str
    """The text in one event."""
    is_end: Callable[[Json], bool] = bool
    """Whether an event is the good end."""
    is_error: Callable[[Json], bool] = bool
    usage: Callable[[Json], tuple[int, int]] = lambda _: (0, 0)
    """Tokens in and out, of a whole answer."""

    def request(self, faults: str = "", *, stream: bool = False, **fields: Any) -> bytes:
        body = {**self.body, **(self.stream_body if stream else {}), **fields}
        data = json.dumps(body).encode()
        path = (stream and self.stream_path) or self.path
        lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(data)}"]
        lines += [*self.headers, *([f"x-simulate: {faults}"] if faults else [])]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    def events(self, answer: Any) -> Events:
        """The events of a streamed answer, as far as they came; `[DONE]` is `{"done": True}`."""
        if "eventstream" in answer.headers["content-type"]:
            return _frames(answer.body)
        return [{"done": True} if one == "[DONE]" else json.loads(one) for one in answer.events]

    def said(self, events: Events) -> str:
        return "".join(self.delta(event) for event in events)


def _frames(body: bytes) -> Events:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    events: Events = []
    messages: Any = buffer
    for message in messages:
        headers: Json = dict(message.headers)
        name = headers.get(":event-type") or headers.get(":exception-type")
        events.append({str(name): json.loads(message.payload), "headers": headers})
    return events


HI = [{"role": "user", "content": "hi"}]


def _chat_delta(event: Json) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def _gemini_text(event: Json) -> str:
    return "".join(
        part.get("text", "")
        for candidate in event.get("candidates", ())
        for part in candidate["content"]["parts"]
    )


FORMATS = {
    "chat": Format(
        "/v1/chat/completions",
        {"model": "sim-1", "messages": HI},
        stream_body={"stream": True},
        text=lambda whole: whole["choices"][0]["message"]["content"],
        delta=_chat_delta,
        is_end=lambda event: "done" in event,
        is_error=lambda event: "error" in event,
        usage=lambda whole: (
            whole["usage"]["prompt_tokens"],
            whole["usage"]["completion_tokens"],
        ),
    ),
    "responses": Format(
        "/v1/responses",
        {"model": "sim-1", "input": "hi"},
        stream_body={"stream": True},
        text=lambda whole: whole["output"][-1]["content"][0]["text"],
        delta=lambda event: event["delta"] if event["type"].endswith("output_text.delta") else "",
        is_end=lambda event: event["type"] in ("response.completed", "response.incomplete"),
        is_error=lambda event: event.get("type") == "response.failed" or "error" in event,
        usage=lambda whole: (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]),
    ),
    "messages": Format(
        "/v1/messages",
        {"model": "sim-1", "messages": HI, "max_tokens": 100},
        stream_body={"stream": True},
        headers=("anthropic-version: 2023-06-01",),
        text=lambda whole: whole["content"][-1]["text"],
        delta=lambda event: event.get("delta", {}).get("text", ""),
        is_end=lambda event: event["type"] == "message_stop",
        is_error=lambda event: event.get("type") == "error",
        usage=lambda whole: (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]),
    ),
    "gemini": Format(
        "/v1beta/models/sim-1:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        stream_path="/v1beta/models/sim-1:streamGenerateContent?alt=sse",
        text=_gemini_text,
        delta=_gemini_text,
        is_end=lambda event: any("finishReason" in one for one in event.get("candidates", ())),
        is_error=lambda event: "error" in event,
        usage=lambda whole: (
            whole["usageMetadata"]["promptTokenCount"],
            whole["usageMetadata"]["candidatesTokenCount"],
        ),
    ),
    "converse": Format(
        "/model/sim-1/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        stream_path="/model/sim-1/converse-stream",
        text=lambda whole: whole["output"]["message"]["content"][-1]["text"],
        delta=lambda event: event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""),
        is_end=lambda event: "messageStop" in event,
        is_error=lambda event: (
            event.get("headers", {}).get(":message-type") == "exception"
            or list(event) == ["message"]
        ),
        usage=lambda whole: (whole["usage"]["inputTokens"], whole["usage"]["outputTokens"]),
    ),
}
