"""Streamed answers of Google's, read: each event is shaped like an answer and holds the next piece.

There is no end mark. A stream has said all when every candidate has told why it ended.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.gemini.answer import (
    CALLS_AT_MOST,
    Answer,
    Candidate,
    Part,
    UsageMetadata,
    arguments,
    blocked,
    call_id,
    entries,
    finish,
    usage,
)
from tidegate.formats.gemini.refusal import reported
from tidegate.formats.gemini.turns import MARK
from tidegate.formats.words import (
    Began,
    Delta,
    Finish,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)

_decode = msgspec.json.Decoder(Answer).decode


class _Choice(Struct):
    """How far a candidate is."""

    calls: int = 0
    shown: bool = False
    """Whether thoughts have been seen."""
    finished: bool = False


class Reader:
    """Reads one streamed answer. See `format.Reader`."""

    def __init__(self, candidates: int = 1) -> None:
        """`candidates` is how many were asked for."""
        self.done = False
        self._candidates = candidates
        self._choices: dict[int, _Choice] = {}
        self._began = False
        self._id: str | None = None
        self._used: UsageMetadata | None = None

    def read(self, event: bytes, data: bytes) -> list[Delta]:  # noqa: ARG002 - no event has a type
        """The deltas in one event. See `format.Reader.read`."""
        try:
            answer = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed("The provider sent an event that is not an answer.") from error
        if answer.error is not None:
            raise reported(answer.error)
        deltas: list[Delta] = []
        if not self._began:
            self._began = True
            self._id = answer.response_id
            deltas.append(Began(id=answer.response_id, model=answer.model_version))
        finishes: list[Delta] = []
        if answer.candidates:
            for candidate in answer.candidates:
                self._read(candidate, data, deltas, finishes)
        elif answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
            raise blocked(answer.prompt_feedback)
        if answer.usage_metadata is not None and answer.usage_metadata != self._used:
            self._used = answer.usage_metadata
            deltas.append(Used(usage(answer.usage_metadata)))
        return deltas + finishes if finishes else deltas

    def complete(self) -> bool:
        """Whether every candidate has told why it ended."""
        choices = self._choices.values()
        return len(choices) >= self._candidates and all(choice.finished for choice in choices)

    def _read(
        self, candidate: Candidate, data: bytes, deltas: list[Delta], finishes: list[Delta]
    ) -> None:
        index = candidate.index or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        content, told = candidate.content, candidate.logprobs_result
        logprobs = entries(told) if told is not None else None
        parts = content.parts if content is not None else None
        for part in parts or ():
            if part.text is None:
                self._read_other(part, index, choice, data, deltas)
                continue
            if choice.finished and part.text:
                raise UpstreamMalformed("The provider's stream went on after its end.")
            if part.text and not (part.thought or part.thought_signature or logprobs):
                deltas.append(TextDelta(part.text, index))  # nearly always
                continue
            _read_text(part, index, choice, logprobs, deltas)
            if not part.thought:
                logprobs = None
        if logprobs:
            deltas.append(TextDelta("", choice=index, logprobs=logprobs))
        if candidate.finish_reason is not None and not choice.finished:
            reason: Finish = finish(candidate.finish_reason, calls=choice.calls > 0)
            choice.finished = True
            finishes.append(Finished(reason, choice=index))

    def _read_other(
        self, part: Part, index: int, choice: _Choice, data: bytes, deltas: list[Delta]
    ) -> None:
        """Read a call of a tool; of other parts there are no deltas."""
        call = part.function_call
        if call is None:
            if part.inline_data is not None or part.foreign() is not None:
                raise UpstreamMalformed("The provider streamed something that is not text.")
            return
        if not call.name or choice.finished:
            raise UpstreamMalformed("A tool call has no name, or comes after the end.")
        if choice.calls == CALLS_AT_MOST:
            raise UpstreamMalformed(f"The answer calls more than {CALLS_AT_MOST} tools.")
        deltas.append(
            ToolBegan(
                index=choice.calls,
                id=call_id(call, self._id or data, index, choice.calls),
                name=call.name,
                signature=part.thought_signature or None,
                choice=index,
            )
        )
        deltas.append(ToolDelta(choice.calls, arguments(call), choice=index))
        choice.calls += 1


def _read_text(
    part: Part,
    index: int,
    choice: _Choice,
    logprobs: tuple[dict[str, object], ...] | None,
    deltas: list[Delta],
) -> None:
    """Read a text or a thought; a text's signature matters only where thoughts are kept."""
    signature = MARK + part.thought_signature if part.thought_signature else None
    text = part.text or ""
    if part.thought:
        choice.shown = True
        deltas.append(ThinkingDelta(text, signature, choice=index))
        return
    if text or logprobs:
        deltas.append(TextDelta(text, index, logprobs))
    if signature is not None and choice.shown:
        deltas.append(ThinkingDelta(signature=signature, choice=index))
