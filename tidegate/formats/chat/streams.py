"""A streamed chat answer, read into deltas.

Servers agree on little beyond the outline. Here a finish reason may come with content or twice,
usage in any chunk, calls without index or id; what is told on is in order: one part after another,
each choice finished once.

Source: platform.openai.com/docs/api-reference/chat-streaming; Mistral (content as a list),
OpenRouter (`reasoning_details`, a second finish reason), vLLM (`reasoning_content`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.chat.calls import Budget, Calls
from tidegate.formats.chat.parts import Function, PartFields, ToolCall, read_detail, thought
from tidegate.formats.chat.replies import (
    CHOICES_MAX,
    Logprobs,
    created,
    read_finish,
    read_notes,
)
from tidegate.formats.faults import reported
from tidegate.formats.openai import BROKEN, DONE, Counts, read_usage
from tidegate.formats.words import (
    Began,
    Delta,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    Used,
)

Json = dict[str, Any]


class _Delta(Struct):
    content: str | list[PartFields] | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Json] | None = None
    refusal: str | None = None
    function_call: Function | None = None
    annotations: list[Json] | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: Logprobs | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []
    usage: Counts | None = None
    service_tier: Any = None
    id: str | None = None
    model: str | None = None
    created: float | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatReader:
    """Reads one streamed answer. See `format.Reader`."""

    def __init__(self) -> None:
        self.done = False
        self._began = False
        self._choices: dict[int, _Progress] = {}
        self._budget = Budget()

    def read(self, event: bytes, data: bytes) -> list[Delta]:  # noqa: ARG002 - chunks have no name
        """The deltas in one event. See `Reader.read`."""
        if data == DONE:
            self.done = True
            return self._leftover()
        try:
            chunk = _decode(data)
        except BROKEN as error:
            raise UpstreamMalformed("The provider sent an event that is not a chunk.") from error
        if chunk.error is not None:
            raise reported(chunk.error)
        deltas: list[Delta] = []
        if not self._began and (chunk.choices or chunk.usage is not None):
            # Azure's verdict on the prompt comes first, in a chunk that knows no id.
            self._began = True
            deltas.append(Began(chunk.id or None, chunk.model or None, created(chunk.created)))
        for choice in chunk.choices:
            index = choice.index or 0
            progress = self._choices.get(index)
            if progress is None:
                if not 0 <= index < CHOICES_MAX:
                    raise UpstreamMalformed("The provider's stream has too many choices.")
                progress = self._choices[index] = _Progress(index, self._budget)
            progress.read(choice, deltas)
        if chunk.usage is not None:
            deltas.append(Used(read_usage(chunk.usage, chunk.service_tier)))
        return deltas

    def complete(self) -> bool:
        """Whether every choice that began has finished. See `Reader.complete`."""
        return bool(self._choices) and all(each.finished for each in self._choices.values())

    def _leftover(self) -> list[Delta]:
        """The ends of choices whose server said `[DONE]` without a finish reason."""
        deltas: list[Delta] = []
        for progress in self._choices.values():
            if not progress.finished:
                progress.finish(None, None, deltas)
        return deltas


class _Progress:
    """How far one choice has come."""

    __slots__ = ("_budget", "_calls", "_index", "_plain", "_refused", "finished")

    def __init__(self, index: int, budget: Budget) -> None:
        self._index = index
        self._budget = budget
        self._calls: Calls | None = None
        self._plain = False
        self._refused = False
        self.finished = False

    def read(self, choice: _Choice, deltas: list[Delta]) -> None:
        """Append the deltas of one chunk, in the order that its parts have in an answer.

        Raises: `UpstreamMalformed`.
        """
        delta = choice.delta
        if delta is not None and not self.finished:
            self._read(choice, delta, deltas)
        elif delta is not None and (delta.content or delta.tool_calls or delta.refusal):
            raise UpstreamMalformed("The provider's stream goes on after a choice's end.")
        if choice.finish_reason is not None and not self.finished:
            self.finish(choice.finish_reason, choice.stop_reason, deltas)

    def _read(self, choice: _Choice, delta: _Delta, deltas: list[Delta]) -> None:
        content, said = delta.content, len(deltas)
        thinks = delta.reasoning_content or delta.reasoning or delta.reasoning_details
        if thinks:
            deltas += self._thoughts(delta)
        if isinstance(content, str) and not delta.annotations and choice.logprobs is None:
            if content:  # nearly always
                deltas.append(TextDelta(content, self._index))
        elif content or delta.annotations or choice.logprobs is not None:
            deltas += _texts(choice, delta, self._index)
        if delta.refusal:
            self._refused = True
            deltas.append(RefusalDelta(delta.refusal, self._index))
        if self._calls is not None and len(deltas) > said:
            if thinks or content or delta.refusal:
                self._calls.settle(deltas, said)
            else:
                del deltas[said:]  # scores alone are no part, and would end the call
        if delta.tool_calls or delta.function_call is not None:
            self._call(delta, deltas)

    def finish(self, reason: str | None, stop: object, deltas: list[Delta]) -> None:
        """Append the choice's end, behind what was held back until then."""
        self.finished = True
        if self._calls is not None:
            self._calls.settle(deltas, len(deltas))
        finish = read_finish(reason, called=self._calls is not None, refused=self._refused)
        sequence = stop if finish == "stop" and isinstance(stop, str) else None
        deltas.append(Finished(finish, sequence, self._index))

    def _thoughts(self, delta: _Delta) -> Iterable[Delta]:
        """Reasoning as text, and what only OpenRouter's details tell: signatures, encrypted parts.

        Details say the text again, so theirs counts only where there is no other.
        """
        text = delta.reasoning_content or delta.reasoning
        if text:
            self._plain = True
            yield ThinkingDelta(text, choice=self._index)
        for detail in delta.reasoning_details or ():
            told = read_detail(detail)
            if told is not None:
                more = "" if self._plain else told.text
                if more or told.signature or told.redacted:
                    yield ThinkingDelta(more, told.signature, told.redacted, self._index)

    def _call(self, delta: _Delta, deltas: list[Delta]) -> None:
        if self._calls is None:
            self._calls = Calls(self._index, self._budget)
        for call in delta.tool_calls or ():
            self._calls.read(call, deltas)
        old = delta.function_call
        if old is not None:
            self._calls.read(ToolCall(function=old), deltas)


def _texts(choice: _Choice, delta: _Delta, index: int) -> Iterable[Delta]:
    content, logprobs = delta.content, choice.logprobs
    scores = None if logprobs is None or not logprobs.content else tuple(logprobs.content)
    if isinstance(content, list):
        for part in content:
            if part.thinking is not None:
                yield ThinkingDelta(thought(part.thinking), choice=index)
            elif part.text:
                yield TextDelta(part.text, index)
        content = ""
    notes = read_notes(delta.annotations) if delta.annotations else ()
    if content or scores is not None or notes:
        yield TextDelta(content or "", index, scores, notes)
