"""What OpenAI's older endpoints share: usage, the frame of a stream, and how an answer is watched.

Chat, completions and embeddings pass unchanged from servers that speak them; each whole answer, or
each event of a stream, is decoded once to learn usage, finish reason and content.

Source: platform.openai.com/docs/api-reference/chat-streaming (chunks, `stream_options`, `[DONE]`).
"""

from __future__ import annotations

import time
from secrets import token_hex
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from tidegate.errors import BadRequest, UpstreamMalformed
from tidegate.formats.estimate import piece_tokens
from tidegate.formats.faults import reported
from tidegate.formats.words import Ask, Began, Reply, Used
from tidegate.types import Facts, Usage

Json = dict[str, Any]
_Shape = TypeVar("_Shape", bound=Struct)

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"
BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises when bytes are not what they should be."""

_Tokens = Annotated[int, Meta(ge=0, le=1 << 40)]


class Details(Struct):
    """The parts of a count. OpenRouter tells what was written to a cache, OpenAI what was read."""

    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None
    audio_tokens: _Tokens | None = None


class Counts(Struct):
    """A usage object. `prompt_cache_hit_tokens` is DeepSeek's word."""

    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    total_tokens: _Tokens | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: _Tokens | None = None


def read_usage(counts: Counts, tier: object = None) -> Usage:
    """The tokens that `counts` tells, served in `tier` as the answer around them says.

    xAI counts reasoning beside the completion, everybody else inside it: the total says which, or
    that it would not fit inside. Predicted tokens that were rejected are output like any other.
    """
    given, made = counts.prompt_tokens or 0, counts.completion_tokens or 0
    cached, written, heard, cached_audio = counts.prompt_cache_hit_tokens, None, None, None
    prompt, completion = counts.prompt_tokens_details, counts.completion_tokens_details
    if prompt is not None:
        written, heard = prompt.cache_write_tokens, prompt.audio_tokens
        if prompt.cached_tokens is not None:
            cached = prompt.cached_tokens
    if cached or written or heard:
        left = given - (cached or 0) - (written or 0)
        if left < 0:
            given, left = given - left, 0
        if heard is not None and heard > left:
            # Only so much of the audio must have come from the cache. If more did, it is charged as
            # if it had not.
            cached_audio = min(heard - left, cached or 0)
            beyond = heard - left - cached_audio
            given, heard = given + beyond, left + beyond
    reasoning = spoken = None
    if completion is not None:
        reasoning, spoken = completion.reasoning_tokens, completion.audio_tokens
        if reasoning or spoken:
            total, thought = counts.total_tokens, reasoning or 0
            beside = (counts.prompt_tokens or 0) + made + thought
            if thought > made if total is None else total == beside:
                made += thought
            made = max(made, thought + (spoken or 0))
    # By place: this runs for every request.
    served = tier if isinstance(tier, str) else None
    return Usage(given, made, cached, written, reasoning, heard, spoken, cached_audio, None, served)


def write_usage(usage: Usage) -> Json:
    """`usage` as a usage object."""
    told: Json = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    prompt: Json = {}
    if usage.cached_input is not None:
        prompt["cached_tokens"] = usage.cached_input
    if usage.cache_write is not None:
        prompt["cache_write_tokens"] = usage.cache_write
    if usage.audio_input is not None:
        prompt["audio_tokens"] = usage.audio_input + (usage.cached_audio_input or 0)
    if prompt:
        told["prompt_tokens_details"] = prompt
    completion: Json = {}
    if usage.reasoning is not None:
        completion["reasoning_tokens"] = usage.reasoning
    if usage.audio_output is not None:
        completion["audio_tokens"] = usage.audio_output
    if completion:
        told["completion_tokens_details"] = completion
    return told


def understood(body: Json, shape: type[_Shape]) -> _Shape:
    """`body` with its types checked. Raises: `BadRequest`, with the path of the mistake."""
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        param = path.strip("`").lstrip(".") or None
        raise BadRequest(f"{param or 'The body'}: {what}.", param=param) from None


def outline(kind: str, prefix: str, reply: Reply | Began, model: str) -> Json:
    """The fields that every answer, and every chunk of one, begins with.

    `prefix` begins the id where the vendor gave none, `model` is the name where it told none.
    """
    return {
        "id": reply.id or f"{prefix}-{token_hex(12)}",
        "object": kind,
        "created": int(time.time()) if reply.created is None else reply.created,
        "model": reply.model or model,
    }


class Frame:
    """What stands around the choices in the chunks of one streamed answer, encoded once."""

    __slots__ = ("_ask", "_foot", "_head", "_kind", "_prefix", "_usage")

    def __init__(self, kind: str, prefix: str, ask: Ask) -> None:
        self._kind = kind
        self._prefix = prefix
        self._ask = ask
        self._usage: Usage | None = None
        # With usage asked for, every chunk has the field, and all but the last have it empty.
        self._foot = b'],"usage":null}\n\n' if ask.wants_usage else b"]}\n\n"
        self._begin(Began(None, None))

    def _begin(self, began: Began) -> None:
        head = outline(self._kind, self._prefix, began, self._ask.model)
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":['

    def note(self, delta: Began | Used) -> None:
        """Keep what is said of the answer as a whole."""
        if isinstance(delta, Began):
            self._begin(delta)
        self._usage = delta.usage or self._usage

    def chunk(self, choice: bytes) -> bytes:
        """The event with this one choice."""
        return self._head + choice + self._foot

    def end(self) -> bytes:
        """The usage, if asked for and known, and `[DONE]`."""
        if self._usage is None or not self._ask.wants_usage:
            return DONE_EVENT
        usage = _encode(write_usage(self._usage))
        return b'%b],"usage":%b}\n\n%b' % (self._head, usage, DONE_EVENT)


class _Delta(Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []
    usage: Counts | None = None
    model: str | None = None
    service_tier: Any = None
    error: Any = None


class _Whole(Struct):
    choices: list[_Choice] | None = None
    data: list[msgspec.Raw] | None = None
    usage: Counts | None = None
    model: str | None = None
    service_tier: Any = None
    error: Any = None


_encode = msgspec.json.Encoder().encode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode


class PassingWatch:
    """Looks on while a stream of chunks passes. See `format.Watch`."""

    def __init__(self, facts: Facts, *, wants_usage: bool, choices: int) -> None:
        """`choices` is how many have to finish before a stream without `[DONE]` is complete."""
        self.done = False
        self._facts = facts
        self._wants_usage = wants_usage
        self._choices = choices
        self._finished: set[int | None] = set()  # OpenRouter tells the reason of one choice twice

    def passes(self, event: bytes, data: bytes) -> bool:  # noqa: ARG002 - chunks have no name
        """Learn from one event; say whether the caller gets it. See `Watch.passes`."""
        if data == DONE:
            self.done = True
            return False
        try:
            chunk = _decode_chunk(data)
        except BROKEN as error:
            raise UpstreamMalformed("The provider sent an event that is not a chunk.") from error
        facts = self._facts
        if chunk.error is not None:
            raise reported(chunk.error)
        facts.chunks += 1
        if chunk.model:
            facts.model = chunk.model
        if chunk.usage is not None:
            facts.usage = read_usage(chunk.usage, chunk.service_tier)
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                facts.finish_reason = choice.finish_reason
                facts.content = True
                if not self.complete():
                    self._finished.add(choice.index)
            elif facts.content or choice.text or _has_content(choice.delta):
                facts.content = True
                facts.said_tokens += _tokens(choice)
        # The usage chunk is the one without choices; other choiceless chunks (a content filter's
        # verdict on the prompt) are the caller's.
        return self._wants_usage or bool(chunk.choices) or chunk.usage is None

    def complete(self) -> bool:
        """Whether every choice has finished. See `Watch.complete`."""
        return len(self._finished) >= self._choices


def _tokens(choice: _Choice) -> int:
    text = choice.text if choice.delta is None else choice.delta.content
    return piece_tokens(text if isinstance(text, str) else None)


def _has_content(delta: _Delta | None) -> bool:
    return delta is not None and bool(
        delta.content
        or delta.tool_calls
        or delta.reasoning_content
        or delta.reasoning
        or delta.refusal
        or delta.function_call
        or delta.audio
    )


def learn_choices(facts: Facts, body: bytes) -> None:
    """Fill `facts` from a whole answer that must hold choices. See `Heard.learn`."""
    choices = _learn(facts, body).choices
    if not choices:
        raise UpstreamMalformed("The provider's answer holds no choices.")
    facts.finish_reason = choices[0].finish_reason


def learn_vectors(facts: Facts, body: bytes) -> None:
    """Fill `facts` from a whole answer that must hold embeddings. See `Heard.learn`."""
    if _learn(facts, body).data is None:
        raise UpstreamMalformed("The provider's answer holds no embeddings.")


def _learn(facts: Facts, body: bytes) -> _Whole:
    try:
        whole = _decode_whole(body)
    except BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if whole.error is not None:
        raise reported(whole.error)
    facts.model = whole.model
    if whole.usage is not None:
        facts.usage = read_usage(whole.usage, whole.service_tier)
    return whole
