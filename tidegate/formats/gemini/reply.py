"""Whole answers of Google's, read.

Neighbouring texts become one: Google cuts long ones into parts. Images come as `Image` parts.
"""

from __future__ import annotations

import msgspec

from tidegate.errors import UpstreamMalformed
from tidegate.formats.gemini.answer import (
    CALLS_AT_MOST,
    Answer,
    Candidate,
    FunctionCall,
    Part,
    PromptFeedback,
    arguments,
    blocked,
    call_id,
    entries,
    finish,
    usage,
)
from tidegate.formats.gemini.refusal import reported
from tidegate.formats.gemini.turns import MARK
from tidegate.formats.words import Foreign, Image, Reply, Said, Text, Thinking, ToolUse
from tidegate.formats.words import Part as SaidPart

_decode = msgspec.json.Decoder(Answer).decode


def read_reply(body: bytes) -> Reply:
    """A whole answer. Raises: `UpstreamMalformed`, or what an error inside it stands for."""
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if answer.error is not None:
        raise reported(answer.error)
    if not answer.candidates:
        raise blocked(answer.prompt_feedback or PromptFeedback())
    seed = answer.response_id or body
    return Reply(
        id=answer.response_id,
        model=answer.model_version,
        choices=tuple(
            _said(candidate, seed, number) for number, candidate in enumerate(answer.candidates)
        ),
        usage=usage(answer.usage_metadata) if answer.usage_metadata is not None else None,
    )


def _said(candidate: Candidate, seed: str | bytes, number: int) -> Said:
    if candidate.finish_reason is None:
        raise UpstreamMalformed("The provider's answer does not say why it ended.")
    content, told = candidate.content, candidate.logprobs_result
    parts = _Parts(seed, number)
    for part in (content.parts or ()) if content is not None else ():
        parts.take(part)
    parts.end_text()
    return Said(
        parts=tuple(parts.said),
        finish=finish(candidate.finish_reason, calls=parts.calls > 0),
        logprobs=entries(told) if told is not None else None,
    )


class _Parts:
    """Takes the parts of one candidate; `said` is what they come to."""

    def __init__(self, seed: str | bytes, number: int) -> None:
        self.said: list[SaidPart] = []
        self.calls = 0
        self._seed = seed
        self._number = number
        self._texts: list[str] = []
        self._thought = False
        self._shown = False

    def take(self, part: Part) -> None:
        """Take one part. Raises: `UpstreamMalformed`."""
        if part.text is not None:
            self._take_text(part, part.text)
            return
        self.end_text()
        blob = part.inline_data
        if part.function_call is not None:
            self._take_call(part.function_call, part.thought_signature)
        elif blob is not None:
            self.said.append(Image(data=blob.data or "", media_type=blob.mime_type))
        elif (foreign := part.foreign()) is not None:
            name, value = foreign
            self.said.append(Foreign(format="gemini", value={"type": name, name: value}))

    def end_text(self, signature: str | None = None) -> None:
        """Put the text so far together; a thought's signature ends it."""
        text = "".join(self._texts)
        self._texts = []
        if self._thought:
            if text or signature is not None:
                self.said.append(Thinking(text=text, signature=signature))
        elif text:
            self.said.append(Text(text))

    def _take_text(self, part: Part, text: str) -> None:
        """Take a text or a thought.

        The signature of a text matters only where thoughts are kept, so it is one of theirs.
        """
        if not text and not part.thought_signature:
            return
        thought = bool(part.thought)
        if thought != self._thought:
            self.end_text()
            self._thought = thought
        self._shown = self._shown or thought
        self._texts.append(text)
        if part.thought_signature:
            signature = MARK + part.thought_signature
            self.end_text(signature)
            if not thought and self._shown:
                self.said.append(Thinking(signature=signature))

    def _take_call(self, call: FunctionCall, signature: str | None) -> None:
        if not call.name:
            raise UpstreamMalformed("A tool call has no name.")
        if self.calls == CALLS_AT_MOST:
            raise UpstreamMalformed(f"The answer calls more than {CALLS_AT_MOST} tools.")
        self.said.append(
            ToolUse(
                id=call_id(call, self._seed, self._number, self.calls),
                name=call.name,
                arguments=arguments(call),
                signature=signature or None,
            )
        )
        self.calls += 1
