"""What Google's answers are made of, whole or streamed, and what it means in neutral words.

Invariant: the classes of tokens add up to the total that Google tells.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Final

import msgspec
from msgspec import Struct

from tidegate.errors import (
    ContentFiltered,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.formats.words import Finish
from tidegate.types import Usage

Json = dict[str, Any]

CALLS_AT_MOST: Final = 256
"""Of tools, in one answer."""
_PARTS, _CANDIDATES, _MODALITIES = 1 << 14, 128, 64
_NAME_CHARACTERS: Final = 200

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class FunctionCall(Struct, rename="camel"):
    """A call of a tool; `args` as the model wrote it."""

    name: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class Blob(Struct, rename="camel"):
    """Bytes as base64."""

    mime_type: str | None = None
    data: str | None = None


class Part(Struct, rename="camel"):
    """One of these; those below `inline_data` come only from tools that Google runs itself."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    file_data: Any = None
    tool_call: Any = None
    tool_response: Any = None

    def foreign(self) -> tuple[str, Any] | None:
        """The name and value of what only Google's format knows, if it is that."""
        for name, value in (
            ("executableCode", self.executable_code),
            ("codeExecutionResult", self.code_execution_result),
            ("fileData", self.file_data),
            ("toolCall", self.tool_call),
            ("toolResponse", self.tool_response),
        ):
            if value is not None:
                return name, value
        return None


class Content(Struct, rename="camel"):
    """What a candidate says."""

    parts: Annotated[list[Part], msgspec.Meta(max_length=_PARTS)] | None = None


class Chosen(Struct, rename="camel"):
    """A token and how likely it was."""

    token: str | None = None
    log_probability: float | None = None


class Top(Struct, rename="camel"):
    """The likeliest tokens of one step."""

    candidates: list[Chosen] | None = None


class Logprobs(Struct, rename="camel"):
    """Log-probabilities, step by step."""

    chosen_candidates: list[Chosen] | None = None
    top_candidates: list[Top] | None = None


class Candidate(Struct, rename="camel"):
    """One choice."""

    content: Content | None = None
    finish_reason: str | None = None
    index: Annotated[int, msgspec.Meta(ge=0, lt=_CANDIDATES)] | None = None
    logprobs_result: Logprobs | None = None


class PromptFeedback(Struct, rename="camel"):
    """Why there is no answer."""

    block_reason: str | None = None


class Modality(Struct, rename="camel"):
    """How many of some tokens are of one kind."""

    modality: str | None = None
    token_count: _Count | None = None


_Modalities = Annotated[list[Modality], msgspec.Meta(max_length=_MODALITIES)]


class UsageMetadata(Struct, rename="camel"):
    """Tokens, as counted so far."""

    prompt_token_count: _Count | None = None
    cached_content_token_count: _Count | None = None
    candidates_token_count: _Count | None = None
    tool_use_prompt_token_count: _Count | None = None
    thoughts_token_count: _Count | None = None
    total_token_count: _Count | None = None
    prompt_tokens_details: _Modalities | None = None
    cache_tokens_details: _Modalities | None = None
    tool_use_prompt_tokens_details: _Modalities | None = None
    candidates_tokens_details: _Modalities | None = None


class Answer(Struct, rename="camel"):
    """A whole answer, or one event of a stream."""

    candidates: Annotated[list[Candidate], msgspec.Meta(max_length=_CANDIDATES)] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    response_id: str | None = None
    model_version: str | None = None
    error: Any = None


_FINISHES: dict[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_MALFORMED = frozenset({
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
})  # fmt: skip


def finish(reason: str, *, calls: bool) -> Finish:
    """What Google's reason means; `calls` is whether the candidate called a tool.

    Raises: what a reason that is a failure stands for.
    """
    found = _FINISHES.get(reason)
    if found is None:
        if reason in _MALFORMED:
            raise UpstreamMalformed(f"The model's answer broke off ({reason}).")
        if reason == "PUP_LIMITED_DISABLED":
            raise UpstreamDenied("The provider does not accept this gateway's credentials.")
        return "other"
    return "tool_calls" if found == "stop" and calls else found


def blocked(feedback: PromptFeedback) -> UpstreamError:
    """The error that an answer without candidates stands for."""
    reason = (feedback.block_reason or "")[:_NAME_CHARACTERS]
    if not reason:
        return UpstreamMalformed("The provider's answer holds no candidates.")
    return ContentFiltered(f"The provider's content filter stopped the request ({reason}).")


def usage(told: UsageMetadata) -> Usage:
    """Tokens by class.

    The total decides what the output is: some models count their thoughts among the candidates'
    tokens, some beside them, and some tell them not at all.
    """
    prompt = told.prompt_token_count or 0
    read = prompt + (told.tool_use_prompt_token_count or 0)
    said, thought = told.candidates_token_count or 0, told.thoughts_token_count
    output = said + (thought or 0)
    if told.total_token_count is not None:
        left = told.total_token_count - read
        if left >= max(said, thought or 0):
            output = left
    cached = told.cached_content_token_count
    if cached is not None:
        cached = min(cached, read)
    heard = _audio(told.prompt_tokens_details, told.tool_use_prompt_tokens_details)
    spoken = _audio(told.candidates_tokens_details)
    from_cache = None
    if heard is not None and cached:
        from_cache = min(_audio(told.cache_tokens_details) or 0, heard, cached)
        heard -= from_cache
    return Usage(
        input=read,
        output=output,
        cached_input=cached,
        reasoning=thought,
        audio_input=None if heard is None else min(heard, read - (cached or 0)),
        audio_output=None if spoken is None else min(spoken, output - (thought or 0)),
        cached_audio_input=from_cache,
    )


def _audio(details: list[Modality] | None, more: list[Modality] | None = None) -> int | None:
    if not details and not more:  # nearly always
        return None
    counts = [
        each.token_count or 0
        for each in (*(details or ()), *(more or ()))
        if each.modality == "AUDIO"
    ]
    return sum(counts) if counts else None


def arguments(call: FunctionCall) -> str:
    """The call's arguments as JSON text of one line. Raises: `UpstreamMalformed`."""
    raw = bytes(call.args)
    try:
        if b"\n" in raw:  # whole answers are printed to be read
            raw = msgspec.json.format(raw, indent=-1)
        text = raw.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("A tool call's arguments are not JSON.") from error
    if text == "null":
        return "{}"
    if not text.startswith("{"):
        raise UpstreamMalformed("A tool call's arguments are not a JSON object.")
    return text


def call_id(call: FunctionCall, seed: str | bytes, choice: int, index: int) -> str:
    """The call's id, or one made of the answer's own, so that it is the same each time.

    It has the letters and the length that every other provider accepts.
    """
    if call.id:
        return call.id
    if isinstance(seed, str):
        seed = seed.encode("utf-8", "replace")
    made = blake2b(seed, digest_size=12, salt=b"%d.%d" % (choice, index))
    return f"call_{made.hexdigest()}"


def entries(told: Logprobs) -> tuple[Json, ...]:
    """Log-probabilities as OpenAI's `content` entries."""
    tops = told.top_candidates or []
    return tuple(
        _entry(chosen)
        | {
            "top_logprobs": [_entry(each) for each in (tops[step].candidates or ())]
            if step < len(tops)
            else []
        }
        for step, chosen in enumerate(told.chosen_candidates or ())
    )


def _entry(chosen: Chosen) -> Json:
    token = chosen.token or ""
    return {
        "token": token,
        "logprob": chosen.log_probability or 0.0,
        "bytes": list(token.encode("utf-8", "replace")),
    }
