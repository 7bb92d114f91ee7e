"""Ask any server that speaks OpenAI's API: `open(choice, call)` gives an answer to read.

Answers pass through as bytes. A stream's events are each decoded once, to learn usage, finish
reason and content; none is encoded again. The usage chunk is always asked for, and kept from a
caller that did not ask.

Source: platform.openai.com/docs/api-reference/chat-streaming (chunks, `stream_options`, `[DONE]`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast

import msgspec

from tidegate.errors import (
    UpstreamCut,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.net.http import Response, Timeouts
from tidegate.net.sse import SseDecoder
from tidegate.redact import redact
from tidegate.types import Answer, Call, Choice, Facts, Usage

PATHS = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}
GOOD = 200
"""The one good status of this API."""
EVENTS, JSON = b"text/event-stream", b"application/json"
ANSWER_LIMIT_BYTES = 64 << 20
ERROR_LIMIT_BYTES = 64 << 10
END_WAIT_S = 1.0
MESSAGE_LIMIT = 1_000

_REFUSALS = frozenset({400, 404, 409, 413, 422})
_DENIALS = frozenset({401, 402, 403})
_PASSED_ON = frozenset({b"openai-processing-ms", b"openai-version"})

_encode = msgspec.json.Encoder().encode


class Pool(Protocol):
    """What is asked of the outbound pool (`net.http.Pool`)."""

    async def open(
        self,
        method: str,
        path: str,
        headers: bytes,
        body: bytes,
        *,
        timeouts: Timeouts,
        deadline: float,
    ) -> Response:
        """The response once its head is in."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class OpenAIProvider:
    """One account at one OpenAI-compatible server."""

    def __init__(
        self,
        pool: Pool,
        *,
        api_key: str | None,
        headers: Mapping[str, str],
        output_field: str = "max_tokens",
    ) -> None:
        """Make one.

        Args:
            pool: connections to the base URL.
            api_key: sent as a bearer token; None sends none.
            headers: sent with every request.
            output_field: the field in which a default output ceiling is told to chat models.
                OpenAI's own reasoning models refuse `max_tokens`; many others know nothing else.
        """
        self._pool = pool
        self._output_field = output_field
        lines = {"content-type": "application/json", **{k.lower(): v for k, v in headers.items()}}
        if api_key is not None:
            lines.setdefault("authorization", f"Bearer {api_key}")
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()

    async def open(self, choice: Choice, call: Call, deadline: float) -> Answer:
        """Send `call` to `choice` and return its answer once the head of it is in.

        Raises: `UpstreamError`.
        """
        timeouts = choice.target.timeouts
        response = await self._pool.open(
            "POST",
            PATHS[call.wire],
            self._headers,
            _encode(self._outgoing(choice, call)),
            timeouts=Timeouts(
                connect_s=timeouts.connect_s,
                # Without a stream the head comes with the whole answer, so only the total counts.
                first_byte_s=timeouts.first_token_s if call.stream else timeouts.total_s,
                idle_s=timeouts.idle_s,
            ),
            deadline=deadline,
        )
        if response.status != GOOD:
            try:
                raise await _refusal(response)
            finally:
                response.close()
        kind = (response.header(b"content-type") or b"").lower()
        if not kind.startswith(EVENTS if call.stream else JSON):
            response.close()
            raise UpstreamMalformed(
                f"The provider answered with content type {kind[:80].decode('latin-1')!r}."
            )
        facts = Facts(headers=[pair for pair in response.headers if pair[0] in _PASSED_ON])
        if call.stream:
            choices = call.body.get("n") or 1
            return OpenAIStream(response, facts, wants_usage=call.wants_usage, choices=choices)
        return OpenAIBody(response, facts, wire=call.wire)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    def _outgoing(self, choice: Choice, call: Call) -> dict[str, Any]:
        """The caller's body with the few fields that must differ."""
        body = call.body | {"model": choice.model}
        if call.stream:
            options = cast("dict[str, Any] | None", body.get("stream_options")) or {}
            body["stream_options"] = options | {"include_usage": True}
        if call.wire != "embeddings":
            _bound_output(
                body,
                "max_tokens" if call.wire == "completions" else self._output_field,
                choice.target.output_default,
                choice.target.output_max,
            )
        return body


def _bound_output(
    body: dict[str, Any], field: str, default: int | None, ceiling: int | None
) -> None:
    """Set the default where the caller named no output length; lower what passes the ceiling."""
    named = False
    for name in ("max_tokens", "max_completion_tokens"):
        asked = body.get(name)
        if asked is not None:
            named = True
            if ceiling is not None and asked > ceiling:
                body[name] = ceiling
    if not named:
        length = default if default is not None else ceiling
        if length is not None:
            body[field] = length


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


class _Whole(msgspec.Struct):
    choices: list[_Choice] | None = None
    data: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_any = msgspec.json.Decoder().decode


def _usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens or 0,
        output=usage.completion_tokens or 0,
        cached_input=prompt.cached_tokens if prompt else None,
        cache_write=prompt.cache_write_tokens if prompt else None,
        reasoning=completion.reasoning_tokens if completion else None,
    )


class OpenAIStream:
    """A streamed answer: events pass through as they came, `[DONE]` is kept for the gateway."""

    def __init__(
        self, response: Response, facts: Facts, *, wants_usage: bool, choices: int
    ) -> None:
        self.facts = facts
        self._response = response
        self._events = SseDecoder()
        self._wants_usage = wants_usage
        self._unfinished = choices
        self._done = False
        self._failure: UpstreamError | None = None

    async def read(self) -> bytes:
        """The next events for the caller, unchanged; empty at the good end. See `Answer.read`."""
        while not self._done:
            if self._failure is not None:
                raise self._failure
            data = await self._response.read()
            if not data:
                self._events.close()
                if self._unfinished > 0:
                    raise UpstreamCut("The provider's stream ended before the answer did.")
                self._done = True
                break
            passed = self._passed(data)
            if passed:
                return passed[0] if len(passed) == 1 else b"".join(passed)
        return b""

    def _passed(self, data: bytes) -> list[bytes]:
        """The events in `data` that the caller gets.

        What comes before a failure is still the caller's, unless nothing has been before it: then
        the failure can be hidden by another target.
        """
        begun = self.facts.content
        passed: list[bytes] = []
        try:
            for event in self._events.feed(data):
                if self._passes(event.data):
                    passed.append(event.raw)  # noqa: PERF401 - kept when a later one fails
        except UpstreamError as error:
            if not begun or not passed:
                raise
            self._failure = error
        return passed

    def set_idle(self, wait_s: float) -> None:
        """See `Answer.set_idle`."""
        self._response.set_idle(wait_s)

    def close(self) -> None:
        """See `Answer.close`."""
        if self._done:
            # The end of the body comes right behind `[DONE]`; waiting for it keeps the connection.
            self._response.leave(END_WAIT_S)
        else:
            self._response.close()

    def _passes(self, data: bytes) -> bool:
        """Learn from one event; say whether the caller gets it."""
        if not data or self._done:
            return False  # comments keep connections awake; the caller's is ours to keep
        if data == b"[DONE]":
            self._done = True
            return False
        try:
            chunk = _decode_chunk(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed("The provider sent an event that is not a chunk.") from error
        facts = self.facts
        if chunk.error is not None:
            raise _reported(chunk.error)
        facts.chunks += 1
        if chunk.model:
            facts.model = chunk.model
        if chunk.usage is not None:
            facts.usage = _usage(chunk.usage)
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                facts.finish_reason = choice.finish_reason
                facts.content = True
                self._unfinished -= 1
            elif not facts.content:
                facts.content = bool(choice.text) or _has_content(choice.delta)
        # The usage chunk is the one without choices; other choiceless chunks (a content filter's
        # verdict on the prompt) are the caller's.
        return self._wants_usage or bool(chunk.choices) or chunk.usage is None


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


class OpenAIBody:
    """A whole answer: read to its end, understood once, passed on as it came."""

    def __init__(self, response: Response, facts: Facts, *, wire: str) -> None:
        self.facts = facts
        self._response = response
        self._wire = wire
        self._read = False

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._read:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._read = True
        try:
            whole = _decode_whole(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(
                "The provider's answer is not the JSON it should be."
            ) from error
        if whole.error is not None:
            raise _reported(whole.error)
        facts = self.facts
        facts.chunks, facts.content, facts.model = 1, True, whole.model
        if whole.usage is not None:
            facts.usage = _usage(whole.usage)
        if self._wire == "embeddings":
            if whole.data is None:
                raise UpstreamMalformed("The provider's answer holds no embeddings.")
        elif not whole.choices:
            raise UpstreamMalformed("The provider's answer holds no choices.")
        else:
            facts.finish_reason = whole.choices[0].finish_reason
        return body

    def set_idle(self, wait_s: float) -> None:
        """See `Answer.set_idle`."""
        self._response.set_idle(wait_s)

    def close(self) -> None:
        """See `Answer.close`."""
        self._response.close()


def _reported(error: object) -> UpstreamError:
    """An error object inside an answer that began well."""
    told = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    if told.get("code") in (429, "rate_limit_exceeded"):
        return UpstreamRateLimited("The provider ran into its rate limit during the answer.")
    return UpstreamFailed("The provider reported an error during the answer.")


async def _refusal(response: Response) -> UpstreamError:
    """The error that an answer with another status than 200 stands for."""
    status = response.status
    if status in _DENIALS:
        return UpstreamDenied("The provider does not accept this gateway's credentials.")
    if status == 429:  # noqa: PLR2004
        return UpstreamRateLimited(
            "The provider's rate limit is reached.", retry_after_s=_retry_after_s(response)
        )
    if status not in _REFUSALS:
        return UpstreamFailed(
            f"The provider answered with status {status}.", retry_after_s=_retry_after_s(response)
        )
    message, param, code = "The provider refused the request.", None, None
    try:
        told = _decode_any(await response.read_all(ERROR_LIMIT_BYTES))
        told = told.get("error", told)
        if isinstance(told.get("message"), str):
            message = redact(told["message"][:MESSAGE_LIMIT])
        if isinstance(told.get("param"), str):
            param = told["param"][:MESSAGE_LIMIT]
        if isinstance(told.get("code"), str):
            code = told["code"][:100]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        pass  # no JSON object: nothing in it is fit to be passed on
    refusal = UpstreamRefused(message, param=param)
    refusal.status = status
    refusal.upstream_code = code
    return refusal


def _retry_after_s(response: Response) -> float | None:
    """Seconds to wait, as told by `retry-after-ms` or by either form of `retry-after`.

    Source: RFC 9110, section 10.2.3; milliseconds are OpenAI's own.
    """
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = (response.header(name) or b"").decode("latin-1")
        if value.isdecimal() and value.isascii() and len(value) < 10:  # noqa: PLR2004 - no flood
            return int(value) / unit
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
