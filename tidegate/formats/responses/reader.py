"""Read a provider's stream as deltas.

Items come one after the other, each opened and closed by an event; what a provider leaves out on
the way (servers that only speak like OpenAI do) is taken from the events that repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, cast

from tidegate.errors import UpstreamCut, UpstreamMalformed
from tidegate.formats.responses.failure import reported
from tidegate.formats.responses.reply import parts_of, reply_of, thinking_of
from tidegate.formats.responses.shapes import (
    MOST_ITEMS,
    CallShape,
    EventShape,
    Json,
    ReasoningShape,
    ResponseShape,
    event_of,
    from_provider,
)
from tidegate.formats.words import (
    Began,
    Delta,
    Finished,
    Part,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Used,
)

DONE = b"[DONE]"


class ResponsesReader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.done = False
        self._began = False
        self._calls: dict[int, int] = {}
        """The calls by the index of their item; those of the neutral words count from 0."""
        self._silent_calls: set[int] = set()
        self._said: set[int] = set()
        """The items of which something has been said."""
        self._refused = False

    def read(self, event: bytes, data: bytes) -> list[Delta]:  # noqa: ARG002 - it is in `data`
        """The deltas in one event. Raises: `UpstreamError`."""
        if data == DONE:
            raise UpstreamCut("The provider's stream ended before the answer did.")
        told = event_of(data)
        deltas: list[Delta] = []
        read = self._READ.get(told.type)  # others tell what the provider's own tools do on the way
        if read is not None:
            if not self._began:
                self._begin(told.response, deltas)
            read(self, told, deltas)
        return deltas

    def complete(self) -> bool:
        """Whether a stream that ends here has said all: never, for its last event says so."""
        return False

    # What each event says, in the order in which they come

    def _lifecycle(self, event: EventShape, deltas: list[Delta]) -> None:
        """Nothing that `_begin` has not said."""

    def _added(self, event: EventShape, deltas: list[Delta]) -> None:
        if isinstance(event.item, dict) and cast("Json", event.item).get("type") == "function_call":
            self._open_call(event.output_index, event.item, deltas)

    def _text(self, event: EventShape, deltas: list[Delta]) -> None:
        self._note(event.output_index)
        deltas.append(TextDelta(_said_in(event), logprobs=_objects(event.logprobs)))

    def _annotation(self, event: EventShape, deltas: list[Delta]) -> None:
        if isinstance(event.annotation, dict):
            deltas.append(TextDelta("", notes=(cast("Json", event.annotation),)))

    def _refusal(self, event: EventShape, deltas: list[Delta]) -> None:
        self._note(event.output_index)
        self._refused = True
        deltas.append(RefusalDelta(_said_in(event)))

    def _summary_part(self, event: EventShape, deltas: list[Delta]) -> None:
        if event.summary_index and event.output_index in self._said:
            deltas.append(ThinkingDelta("\n\n"))

    def _thought(self, event: EventShape, deltas: list[Delta]) -> None:
        self._note(event.output_index)
        deltas.append(ThinkingDelta(_said_in(event)))

    def _arguments(self, event: EventShape, deltas: list[Delta]) -> None:
        index = self._calls.get(event.output_index)
        if index is None:
            raise UpstreamMalformed("The provider went on with a call it had not begun.")
        self._silent_calls.discard(event.output_index)
        deltas.append(ToolDelta(index, _said_in(event)))

    def _done_item(self, event: EventShape, deltas: list[Delta]) -> None:
        if not isinstance(event.item, dict):
            raise UpstreamMalformed("The provider ended an item that is none.")
        place, item = event.output_index, cast("Json", event.item)
        match item.get("type"):
            case "function_call":
                if place not in self._calls:
                    self._open_call(place, item, deltas)
                if place in self._silent_calls:
                    self._silent_calls.discard(place)
                    arguments = from_provider(item, CallShape).arguments
                    deltas.append(ToolDelta(self._calls[place], arguments))
            case "reasoning":
                thought = thinking_of(from_provider(item, ReasoningShape))
                self._say_thought(place, thought, deltas)
            case "message" if place not in self._said:
                self._say(place, parts_of(item, []), deltas)
            case _:
                pass

    def _end(self, event: EventShape, deltas: list[Delta]) -> None:
        response = event.response
        if response is None:
            raise UpstreamMalformed("The provider's last event holds no response.")
        if not self._said and response.is_empty:
            raise UpstreamMalformed("The provider's answer holds no output.")
        if not self._said and response.output:
            self._say(0, reply_of(response).choices[0].parts, deltas)
        finish = response.finish(called=bool(self._calls), refused=self._refused)
        if response.usage is not None:
            deltas.append(Used(response.usage.usage(response.service_tier)))
        deltas.append(Finished(finish))
        self.done = True

    def _failed(self, event: EventShape, deltas: list[Delta]) -> NoReturn:  # noqa: ARG002
        raise reported(event.response and event.response.error)

    def _error(self, event: EventShape, deltas: list[Delta]) -> NoReturn:  # noqa: ARG002
        raise reported(event.error or {"code": event.code, "message": event.message})

    # What they have in common

    def _begin(self, response: ResponseShape | None, deltas: list[Delta]) -> None:
        self._began = True
        told = response or ResponseShape()
        created = None if told.created_at is None else int(told.created_at)
        deltas.append(Began(told.id, told.model, created))

    def _open_call(self, place: int, item: Any, deltas: list[Delta]) -> None:
        call = from_provider(item, CallShape)
        if place in self._calls:
            raise UpstreamMalformed("The provider began two calls in one place.")
        index = self._calls[place] = len(self._calls)
        self._silent_calls.add(place)
        self._note(place)
        deltas.append(ToolBegan(index, call.call_id, call.name, call.signature))

    def _say(self, place: int, parts: Sequence[Part], deltas: list[Delta]) -> None:
        """Say at once what was not streamed."""
        for part in parts:
            match part:
                case Text():
                    deltas.append(TextDelta(part.text, notes=part.notes))
                case Refusal():
                    self._refused = True
                    deltas.append(RefusalDelta(part.text))
                case Thinking():
                    self._say_thought(place, part, deltas)
                case ToolUse():
                    index = self._calls[-1 - len(self._calls)] = len(self._calls)
                    deltas.append(ToolBegan(index, part.id, part.name, part.signature))
                    deltas.append(ToolDelta(index, part.arguments))
                case _:
                    pass
        self._note(place)

    def _say_thought(self, place: int, thought: Thinking, deltas: list[Delta]) -> None:
        text = "" if place in self._said else thought.text
        self._note(place)
        if text or thought.signature is not None or thought.redacted is not None:
            deltas.append(ThinkingDelta(text, thought.signature, thought.redacted))

    def _note(self, place: int) -> None:
        """Something of the item at `place` has been said."""
        if place not in self._said:
            if len(self._said) >= MOST_ITEMS:
                raise UpstreamMalformed("The provider's answer holds too many items.")
            self._said.add(place)

    _READ: ClassVar[dict[str, Callable[[ResponsesReader, EventShape, list[Delta]], None]]] = {
        "response.created": _lifecycle,
        "response.in_progress": _lifecycle,
        "response.output_item.added": _added,
        "response.output_text.delta": _text,
        "response.output_text.annotation.added": _annotation,
        "response.refusal.delta": _refusal,
        "response.reasoning_summary_part.added": _summary_part,
        "response.reasoning_summary_text.delta": _thought,
        "response.reasoning_text.delta": _thought,
        "response.function_call_arguments.delta": _arguments,
        "response.output_item.done": _done_item,
        "response.completed": _end,
        "response.incomplete": _end,
        "response.failed": _failed,
        "error": _error,
    }


def reader() -> ResponsesReader:
    """Reads one streamed answer."""
    return ResponsesReader()


def _said_in(event: EventShape) -> str:
    if not isinstance(event.delta, str):
        raise UpstreamMalformed("The provider sent an event without its text.")
    return event.delta


def _objects(value: Any) -> tuple[Json, ...] | None:
    """Log-probabilities, if there are any."""
    if not isinstance(value, list) or not value:
        return None
    return tuple(cast("Json", each) for each in cast("list[Any]", value) if isinstance(each, dict))
