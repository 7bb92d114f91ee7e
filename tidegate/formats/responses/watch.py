"""Look on while answers of this format pass unchanged, and learn what they were.

The last event says all: it is held back until the record is written, and no other closes a good
answer. `finish_reason` is the provider's own word: `completed`, or why an answer is incomplete.
"""

from __future__ import annotations

from typing import cast

from tidegate.errors import UpstreamCut, UpstreamMalformed
from tidegate.formats.estimate import piece_tokens
from tidegate.formats.responses.failure import reported
from tidegate.formats.responses.reader import DONE
from tidegate.formats.responses.reply import decode_response
from tidegate.formats.responses.shapes import EventShape, Json, ResponseShape, event_of
from tidegate.types import Facts

_DELTAS = frozenset({
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.refusal.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
})  # fmt: skip

_SILENT = frozenset({"message", "reasoning"})
"""Items that say nothing yet when they begin; a call of a tool does."""


class ResponsesWatch:
    """Watches one streamed answer."""

    def __init__(self, facts: Facts) -> None:
        self.done = False
        self._facts = facts

    def passes(self, event: bytes, data: bytes) -> bool:  # noqa: ARG002 - it is in `data`
        """Learn from one event; whether the caller gets it now. Raises: `UpstreamError`."""
        if data == DONE:
            raise UpstreamCut("The provider's stream ended before the answer did.")
        told = event_of(data)
        self._facts.chunks += 1
        match told.type:
            case kind if kind in _DELTAS:
                self._facts.content = self._facts.content or bool(told.delta)
                piece = told.delta if isinstance(told.delta, str) else None
                self._facts.said_tokens += piece_tokens(piece)
            case "response.output_item.added" | "response.output_item.done":
                self._facts.content = self._facts.content or _says_something(told)
            case "response.created" | "response.in_progress" | "response.queued":
                if told.response is not None:
                    self._facts.model = told.response.model or self._facts.model
            case "response.completed" | "response.incomplete":
                self._end(told.response)
                return False
            case "response.failed":
                raise reported(told.response and told.response.error)
            case "error":
                raise reported(told.error or {"code": told.code, "message": told.message})
            case _:
                pass
        return True

    def _end(self, response: ResponseShape | None) -> None:
        if response is None:
            raise UpstreamMalformed("The provider's last event holds no response.")
        if not self._facts.content and response.is_empty:
            raise UpstreamMalformed("The provider's answer holds no output.")
        _note(self._facts, response)
        self.done = True

    def complete(self) -> bool:
        """Whether a stream that ends here has said all: never, for its last event says so."""
        return False


def watch(facts: Facts, body: Json, *, wants_usage: bool) -> ResponsesWatch:  # noqa: ARG001
    """Look on while an answer passes; its usage always comes, and belongs to the last event."""
    return ResponsesWatch(facts)


def learn(facts: Facts, body: bytes) -> None:
    """Fill `facts` from a whole answer. Raises: `UpstreamMalformed`, or what its error means."""
    _note(facts, decode_response(body))


def _says_something(event: EventShape) -> bool:
    item = cast("Json", event.item) if isinstance(event.item, dict) else {}
    return event.type == "response.output_item.done" or item.get("type") not in _SILENT


def _note(facts: Facts, response: ResponseShape) -> None:
    facts.content = True
    facts.model = response.model or facts.model
    facts.usage = response.usage.usage(response.service_tier) if response.usage else facts.usage
    facts.finish_reason = response.why_incomplete or response.status
