"""The four kinds of answer: whole or streamed, passed on as it came or translated.

Whatever the kind, an answer is good only if its format's own end has come; what came before a
failure is the caller's, unless nothing had been before it, for then another target can hide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tidegate.errors import UpstreamCut, UpstreamError, UpstreamMalformed
from tidegate.formats.estimate import piece_tokens
from tidegate.formats.format import Heard, Reader, Spoken, Watch, Writer
from tidegate.formats.heard import HEARD
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finished,
    RefusalDelta,
    Reply,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Used,
)
from tidegate.net.http import Response
from tidegate.net.sse import Event, SseDecoder
from tidegate.types import Answer, Call, Facts

EVENTS, JSON = b"text/event-stream", b"application/json"
ANSWER_LIMIT_BYTES = 64 << 20
END_WAIT_S = 1.0


def expect(response: Response, kind: bytes) -> None:
    """Raises: `UpstreamMalformed` when the content type does not begin with `kind`."""
    told = (response.header(b"content-type") or b"").lower()
    if not told.startswith(kind):
        raise UpstreamMalformed(
            f"The provider answered with content type {told[:80].decode('latin-1')!r}."
        )


class Decoder(Protocol):
    """Cuts a stream into events: server-sent ones, or a vendor's own framing."""

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that `data` completes. Raises: `UpstreamMalformed`."""
        ...

    def close(self) -> object:
        """The stream is over. Raises: `UpstreamCut` in the middle of an event."""
        ...


class UpstreamAnswer:
    """What all answers do with the response they are read from."""

    def __init__(self, response: Response, facts: Facts) -> None:
        self.facts = facts
        self.last = b""
        self.ended: Callable[[UpstreamError | None], None] | None = None
        """Told once how it ended, by `close`."""
        self._response = response
        self._done = False

    def set_idle(self, wait_s: float) -> None:
        """See `Answer.set_idle`."""
        self._response.set_idle(wait_s)

    def set_limit(self, until: float) -> None:
        """See `Answer.set_limit`."""
        self._response.set_limit(until)

    def close(self, error: UpstreamError | None = None) -> None:
        """See `Answer.close`."""
        if self.ended is not None:
            ended, self.ended = self.ended, None
            ended(error)
        if self._done:
            # The end of the body comes right behind the format's own; waiting for it keeps the
            # connection.
            self._response.leave(END_WAIT_S)
        else:
            self._response.close()


class _Stream(UpstreamAnswer):
    """Reads events until the format's own end; what they become is its children's."""

    def __init__(
        self, response: Response, facts: Facts, decoder: Decoder, reader: Watch | Reader
    ) -> None:
        super().__init__(response, facts)
        self._events = decoder
        self._reader = reader
        self._failure: UpstreamError | None = None

    async def read(self) -> bytes:
        """The next events for the caller; empty at the good end. See `Answer.read`."""
        while not self._done:
            if self._failure is not None:
                raise self._failure
            data = await self._response.read()
            if not data:
                self._events.close()
                if not self._reader.complete():
                    raise UpstreamCut("The provider's stream ended before the answer did.")
                self._done = True
                break
            taken = self._take(data)
            if taken:
                return taken
        self._end()
        return b""

    def _take(self, data: bytes) -> bytes:
        """What the caller gets for `data`; a failure behind it is raised by the next `read`."""
        raise NotImplementedError

    def _end(self) -> None:
        """All has been read."""


class PassedStream(_Stream):
    """Events pass through as they came, each decoded once to learn the facts."""

    def __init__(
        self, response: Response, facts: Facts, watch: Watch, end: bytes, decoder: SseDecoder
    ) -> None:
        """`end` closes the answer where the vendor sends no end of its own."""
        super().__init__(response, facts, decoder, watch)
        self.last = end
        self._watch = watch

    def _take(self, data: bytes) -> bytes:
        begun, watch = self.facts.content, self._watch
        passed: list[bytes] = []
        try:
            for event in self._events.feed(data):
                if self._done or not event.data:
                    continue  # comments keep connections awake; the caller's is ours to keep
                if watch.passes(event.event, event.data):
                    passed.append(event.raw)
                elif watch.done:
                    self._done = True
                    self.last = event.raw
        except UpstreamError as error:
            if not begun or not passed:
                raise
            self._failure = error
        return passed[0] if len(passed) == 1 else b"".join(passed)


class TranslatedStream(_Stream):
    """Events are read as deltas and written again in the caller's format."""

    def __init__(
        self, response: Response, facts: Facts, reader: Reader, writer: Writer, decoder: Decoder
    ) -> None:
        super().__init__(response, facts, decoder, reader)
        self._deltas = reader
        self._writer = writer

    def _take(self, data: bytes) -> bytes:
        facts, reader = self.facts, self._deltas
        begun = facts.content
        deltas: list[Delta] = []
        try:
            for event in self._events.feed(data):
                if not event.data or self._done:
                    continue
                deltas += reader.read(event.event, event.data)
                facts.chunks += 1
                if reader.done:
                    self._done = True
        except UpstreamError as error:
            if not begun or not deltas:
                raise
            self._failure = error
        note(facts, deltas)
        return self._writer.write(deltas)

    def _end(self) -> None:
        self.last = self._writer.end()


class PassedBody(UpstreamAnswer):
    """A whole answer: read to its end, understood once, passed on as it came."""

    def __init__(self, response: Response, facts: Facts, heard: Heard) -> None:
        super().__init__(response, facts)
        self._heard = heard

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._done:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._done = True
        self.facts.chunks = 1
        _check_text(body)
        self._heard.learn(self.facts, body)
        self.facts.content = True
        return body


class TranslatedBody(UpstreamAnswer):
    """A whole answer, read in the vendor's format and written in the caller's."""

    def __init__(
        self, response: Response, facts: Facts, spoken: Spoken, heard: Heard, ask: Ask
    ) -> None:
        super().__init__(response, facts)
        self._spoken = spoken
        self._heard = heard
        self._ask = ask

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._done:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._done = True
        reply = self._spoken.read_reply(body)
        note_reply(self.facts, reply)
        return self._heard.write_reply(reply, self._ask.model, self._ask)


def _check_text(body: bytes) -> None:
    """Refuse what no JSON is made of: what nobody looks at in an answer is not decoded."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamMalformed("The provider's answer is not UTF-8.") from error


def translated(
    response: Response,
    call: Call,
    facts: Facts,
    spoken: Spoken,
    *,
    ask: Ask | None,
    reader: Reader | None = None,
    decoder: Decoder | None = None,
) -> Answer:
    """An answer in the vendor's format to a `call` in another one.

    `ask` is the call in neutral words, if they are at hand; `reader` and `decoder` stand in for
    what `spoken` and server-sent events have.
    """
    heard = HEARD[call.wire]
    ask = ask or heard.read_ask(call.body)
    if not call.stream:
        return TranslatedBody(response, facts, spoken, heard, ask)
    return TranslatedStream(
        response, facts, reader or spoken.reader(), heard.writer(ask), decoder or SseDecoder()
    )


def note(facts: Facts, deltas: list[Delta]) -> None:
    """Fill `facts` from the deltas of a stream."""
    for delta in deltas:
        match delta:
            case TextDelta() | ThinkingDelta() | RefusalDelta():
                if delta.text:
                    facts.content = True
                    facts.said_tokens += piece_tokens(delta.text)
            case ToolDelta():
                if delta.arguments:
                    facts.said_tokens += piece_tokens(delta.arguments)
            case ToolBegan():
                facts.content = True
            case Finished():
                facts.content = True
                facts.finish_reason = delta.finish
            case Used():
                facts.usage = delta.usage
            case Began():
                facts.model = delta.model or facts.model
                facts.usage = delta.usage or facts.usage
            case _:
                pass


def note_reply(facts: Facts, reply: Reply) -> None:
    """Fill `facts` from a whole answer. Raises: `UpstreamMalformed` when it holds no choices."""
    if not reply.choices:
        raise UpstreamMalformed("The provider's answer holds no choices.")
    facts.content, facts.chunks = True, 1
    facts.model, facts.usage = reply.model, reply.usage
    facts.finish_reason = reply.choices[0].finish
