"""Responses as OpenAI writes them: one object, or numbered events from `created` to `completed`.

Source: the API reference, "Responses" and "Streaming events", and recorded streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidegate.providers.simulated.asking import decode
from tidegate.providers.simulated.choices import Choice, converse
from tidegate.providers.simulated.framing import server_sent
from tidegate.providers.simulated.openai.items import Item, items_of
from tidegate.providers.simulated.openai.responses_requests import (
    DECODE_RESPONSES,
    ResponsesRequest,
    ask_of,
    check,
)
from tidegate.providers.simulated.reply import EVENT_STREAM, Reply, Turn

_FRAMING: Final = server_sent(
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"\n\n',
    b'event: response.output_text.delta\ndata: {"type":"respo',
)
_encode = msgspec.json.encode


def responses(turn: Turn) -> Reply:
    """Answer one body of `/v1/responses`."""
    body = decode(DECODE_RESPONSES, turn.body)
    check(body)
    turn.meter.prompt_tokens = body.prompt_tokens()
    turn.meter.stream = bool(body.stream)
    (choice,) = converse(ask_of(body), turn)
    answer = _Answer(body, turn, choice)
    return answer.streamed() if body.stream else answer.whole()


class _Answer:
    """One answer and the object that is told of it at its beginning and at its end."""

    def __init__(self, body: ResponsesRequest, turn: Turn, choice: Choice) -> None:
        self._body = body
        self._turn = turn
        self._choice = choice
        empty = "empty-choices" in turn.faults
        self._items = [] if empty else items_of(choice, turn.tag)
        self._sequence = 0

    def whole(self) -> Reply:
        said = _encode(self._response(_STATUS.get(self._choice.finish, "completed")))
        tokens = len(self._choice) + len(self._choice.thoughts)
        return Reply(200, said, wait_s=self._turn.pace.whole_s(tokens))

    def streamed(self) -> Reply:
        status = _STATUS.get(self._choice.finish, "completed")
        closing = self._items[-1].closing if self._items else []
        # Counted ahead: an event's number is known only when those before it are.
        self._sequence = 2 + sum(len(item) for item in self._items) - len(closing)
        tail = self._seal(closing) + self._tell(f"response.{status}", self._response(status))
        self._sequence = 0
        return Reply(
            200,
            events=self._events(),
            tail=tail,
            content_type=EVENT_STREAM,
            delays=self._turn.pace.delays(),
            framing=_FRAMING,
            trouble=self._trouble,
        )

    def _events(self) -> Iterator[bytes]:
        """One piece for each token; what opens the answer and each item goes out with the first."""
        meter = self._turn.meter
        begun = self._response("in_progress")
        kept = self._tell("response.created", begun) + self._tell("response.in_progress", begun)
        before: Item | None = None
        for item in self._items:
            kept += self._seal(before.closing) if before else b""
            kept += self._seal(item.opening)
            before = item
            if item.opens:
                meter.delivered_tokens += 1
                yield kept
                kept = b""
            for piece in item.pieces:
                meter.delivered_tokens += item.counted
                self._sequence += 1  # before the event leaves: it may be the last
                number = self._sequence - 1
                yield kept + b"%b%b%b%d}\n\n" % (item.before, piece, item.after, number)
                kept = b""
        if kept:
            yield kept

    def _seal(self, events: list[bytes]) -> bytes:
        """Events that lack only their numbers, numbered."""
        said = b"".join(
            b"%b%d}\n\n" % (event, self._sequence + at) for at, event in enumerate(events)
        )
        self._sequence += len(events)
        return said

    def _tell(self, kind: str, response: dict[str, Any]) -> bytes:
        event = b'event: %b\ndata: {"type":"%b","response":%b,"sequence_number":'
        return self._seal([event % (kind.encode(), kind.encode(), _encode(response))])

    def _trouble(self) -> bytes:
        """The error as OpenAI tells it in the middle: an event, then the response that failed."""
        turn = self._turn
        if not turn.meter.stream:
            return turn.trouble()
        cause = "overloaded" if "overloaded" in turn.faults else "failed"
        refusal = turn.vendor.refusal(cause)
        error = {"code": refusal.code or "server_error", "message": refusal.message}
        told = b'event: error\ndata: {"type":"error","code":%b,"message":%b,"param":null,' % (
            _encode(error["code"]),
            _encode(error["message"]),
        )
        first = self._seal([told + b'"sequence_number":'])
        return first + self._tell("response.failed", self._response("failed") | {"error": error})

    def _response(self, status: str) -> dict[str, Any]:
        turn, body, meter = self._turn, self._body, self._turn.meter
        ended = status in ("completed", "incomplete")
        usage = None
        if ended and "missing-usage" not in turn.faults:
            output = meter.visible_tokens + meter.reasoning_tokens
            details = {"cached_tokens": turn.cached, "cache_write_tokens": turn.cache_write}
            usage = {
                "input_tokens": meter.prompt_tokens,
                "input_tokens_details": details,
                "output_tokens": output,
                "output_tokens_details": {"reasoning_tokens": meter.reasoning_tokens},
                "total_tokens": meter.prompt_tokens + output,
            }
        reason = _REASONS.get(self._choice.finish) if status == "incomplete" else None
        return {
            "id": f"resp_{meter.tag}",
            "object": "response",
            "created_at": turn.created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": turn.model,
            "output": [item.whole for item in self._items] if ended else [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": body.reasoning or {"effort": None, "summary": None},
            "service_tier": "default",
            "store": body.store is not False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": body.text or {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
        }


_STATUS: Final = {b"length": "incomplete", b"content_filter": "incomplete"}
_REASONS: Final = {b"length": "max_output_tokens", b"content_filter": "content_filter"}
