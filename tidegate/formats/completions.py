"""OpenAI's legacy completions: a prompt, and the text that follows it.

Only callers use this format. Towards a vendor without it the prompt becomes one user's turn; of the
answer the text is told, and nothing else that a model may say.

Source: platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import Struct

from tidegate.errors import BadRequest
from tidegate.formats.faults import error_body, error_event
from tidegate.formats.openai import (
    Frame,
    PassingWatch,
    learn_choices,
    outline,
    understood,
    write_usage,
)
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finish,
    Finished,
    Refusal,
    RefusalDelta,
    Reply,
    Said,
    Text,
    TextDelta,
    Turn,
    Used,
)
from tidegate.types import Facts

__all__ = [
    "error_body",
    "error_event",
    "learn",
    "read_ask",
    "watch",
    "write_reply",
    "writer",
]

Json = dict[str, Any]

KIND, PREFIX = "text_completion", "cmpl"

_FINISHES: dict[Finish, str] = {
    "length": "length",
    "pause": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
"""Every other end is `stop`."""


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    model: str
    prompt: str | list[Any]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: int | None = None
    user: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_KNOWN = frozenset(_Body.__struct_fields__)

learn = learn_choices
_encode = msgspec.json.Encoder().encode


def read_ask(body: Json) -> Ask:
    """The request that `body` says. See `Heard.read_ask`."""
    asked = understood(body, _Body)
    stop, options = asked.stop, asked.stream_options
    return Ask(
        model=asked.model,
        turns=(Turn("user", (Text(_prompt(asked.prompt)),)),),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=asked.seed,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        n=asked.n,
        logprobs=None if asked.logprobs is None else True,
        top_logprobs=asked.logprobs,
        user=asked.user,
        stream=bool(asked.stream),
        wants_usage=not asked.stream or (options is not None and bool(options.include_usage)),
        extra={k: v for k, v in body.items() if k not in _KNOWN and v is not None},
    )


def _prompt(prompt: str | list[Any]) -> str:
    """The one text that is to go on."""
    if isinstance(prompt, str):
        return prompt
    match prompt:
        case [str(text)]:
            return text
        case [str(), *_]:
            why = "This model takes one prompt at a time"
        case _:
            why = "This model takes a prompt as text, not as tokens"
    raise BadRequest(f"prompt: {why}.", param="prompt")


def watch(facts: Facts, body: Json, *, wants_usage: bool) -> PassingWatch:
    """Looks on while an answer to `body` passes; each prompt has choices of its own."""
    prompt = body.get("prompt")
    prompts = 1
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        prompts = len(cast("list[Any]", prompt))
    choices = prompts * (body.get("n") or 1)
    return PassingWatch(facts, wants_usage=wants_usage, choices=choices)


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:  # noqa: ARG001
    """`reply` as a completion. See `Heard.write_reply`."""
    told = outline(KIND, PREFIX, reply, model)
    told["choices"] = [_choice(said, index) for index, said in enumerate(reply.choices)]
    if reply.usage is not None:
        told["usage"] = write_usage(reply.usage)
    return _encode(told)


def _choice(said: Said, index: int) -> Json:
    return {
        "text": "".join(part.text for part in said.parts if isinstance(part, Text | Refusal)),
        "index": index,
        "logprobs": None if said.logprobs is None else _scores(said.logprobs, 0),
        "finish_reason": _FINISHES.get(said.finish, "stop"),
    }


class _Score(Struct):
    token: str
    logprob: float


class _Entry(_Score):
    top_logprobs: list[_Score] = []


def _scores(entries: Iterable[Json], offset: int) -> Json | None:
    """Chat's entries as the four lists of this format; None for entries that are none."""
    try:
        scores = [msgspec.convert(entry, _Entry) for entry in entries]
    except msgspec.ValidationError:
        return None
    offsets: list[int] = []
    for score in scores:
        offsets.append(offset)
        offset += len(score.token)
    return {
        "tokens": [score.token for score in scores],
        "token_logprobs": [score.logprob for score in scores],
        "top_logprobs": [
            {top.token: top.logprob for top in score.top_logprobs} for score in scores
        ],
        "text_offset": offsets,
    }


class CompletionWriter:
    """Writes one streamed answer. See `format.Writer`."""

    def __init__(self, ask: Ask) -> None:
        self._frame = Frame(KIND, PREFIX, ask)
        self._lengths: dict[int, int] = {}

    def write(self, deltas: list[Delta]) -> bytes:
        """The chunks that say `deltas`. See `Writer.write`."""
        chunks: list[bytes] = []
        for delta in deltas:
            match delta:
                case TextDelta() | RefusalDelta() if delta.text:
                    chunks.append(self._text(delta))
                case Finished():
                    reason = _FINISHES.get(delta.finish, "stop")
                    chunks.append(self._chunk("", delta.choice, None, reason))
                case Began() | Used():
                    self._frame.note(delta)
                case _:
                    pass
        return b"".join(chunks)

    def end(self) -> bytes:
        """The usage, if asked for and known, and `[DONE]`. See `Writer.end`."""
        return self._frame.end()

    def _text(self, delta: TextDelta | RefusalDelta) -> bytes:
        offset = self._lengths.get(delta.choice, 0)
        self._lengths[delta.choice] = offset + len(delta.text)
        entries = delta.logprobs if isinstance(delta, TextDelta) else None
        scores = None if entries is None else _scores(entries, offset)
        return self._chunk(delta.text, delta.choice, scores, None)

    def _chunk(self, text: str, choice: int, scores: Json | None, reason: str | None) -> bytes:
        said = {"text": text, "index": choice, "logprobs": scores, "finish_reason": reason}
        return self._frame.chunk(_encode(said))


def writer(ask: Ask) -> CompletionWriter:
    """Writes one streamed answer to `ask`. See `Heard.writer`."""
    return CompletionWriter(ask)
