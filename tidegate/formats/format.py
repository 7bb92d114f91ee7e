"""What a wire format does, on either side of the gateway: the protocols that each file here fills.

A vendor's side (`Spoken`) reads answers and writes requests; the caller's side (`Heard`) reads
requests and writes answers. A format that callers and vendors both use (chat, messages, responses)
fills both, and can pass its own bytes on unchanged (`Watch`).
"""

from __future__ import annotations

from typing import Any, Protocol

from tidegate.errors import TidegateError, UpstreamError
from tidegate.formats.words import Ask, Delta, Reply
from tidegate.types import Facts

Json = dict[str, Any]


class Watch(Protocol):
    """Looks on while a stream of the caller's own format passes, and learns the facts.

    Raises from `passes`: `UpstreamError` when the event reports a failure, or is not an event.
    """

    done: bool
    """Whether the format's own end has been seen; the event that is the end does not pass."""

    def passes(self, event: bytes, data: bytes) -> bool:
        """Learn from one event (its type and data); whether the caller gets it."""
        ...

    def complete(self) -> bool:
        """Whether a stream that ends here, without its end mark, has said all."""
        ...


class Reader(Protocol):
    """Reads a vendor's stream; one for each answer."""

    done: bool
    """Whether the format's own end has been seen."""

    def read(self, event: bytes, data: bytes) -> list[Delta]:
        """The deltas in one event. `Began` comes first, `Used` before the end.

        Raises: `UpstreamError` when the event reports a failure, or is not an event.
        """
        ...

    def complete(self) -> bool:
        """Whether a stream that ends here, without its end mark, has said all."""
        ...


class Writer(Protocol):
    """Writes a stream for the caller; one for each answer."""

    def write(self, deltas: list[Delta]) -> bytes:
        """The events that say `deltas`; empty when they wait for more."""
        ...

    def end(self) -> bytes:
        """The events that close a good answer, after the last delta."""
        ...


class Spoken(Protocol):
    """A format as its vendor speaks it. Modules fill this: `formats.messages` is one."""

    def write_ask(self, ask: Ask) -> tuple[Json, list[str]]:
        """The request's body, without the model's name, and the names of what could not be said.

        Each name is that of the caller's field as far as it is known (`logit_bias`,
        `tools[web_search]`).
        """
        ...

    def read_reply(self, body: bytes) -> Reply:
        """A whole answer. Raises: `UpstreamMalformed`, or what an error inside it stands for."""
        ...

    def reader(self) -> Reader:
        """Reads one streamed answer."""
        ...

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """The error that an answer with another status than 200 stands for.

        `body` is at most 64 KiB. The pool adds `retry_after_s`; messages are redacted and bounded.
        """
        ...


class Heard(Protocol):
    """A format as callers use it."""

    def read_ask(self, body: Json) -> Ask:
        """The request that `body` (already checked by its edge) says.

        Raises: `BadRequest` with `param` for what only a translation needs to understand.
        """
        ...

    def write_reply(self, reply: Reply, model: str, ask: Ask | None = None) -> bytes:
        """A whole answer to `ask`, which some formats repeat.

        `model` is the name to show when the reply has none.
        """
        ...

    def writer(self, ask: Ask) -> Writer:
        """Writes one streamed answer to `ask`."""
        ...

    def watch(self, facts: Facts, body: Json, *, wants_usage: bool) -> Watch:
        """Looks on while an answer to `body` passes unchanged."""
        ...

    def learn(self, facts: Facts, body: bytes) -> None:
        """Fill `facts` from a whole answer that passes unchanged.

        Raises: `UpstreamMalformed`, or what an error inside it stands for.
        """
        ...

    def error_body(self, error: TidegateError, request_id: str) -> bytes:
        """`error` as the format's SDKs expect it."""
        ...

    def error_event(self, error: TidegateError, request_id: str) -> bytes:
        """`error` as the last event of a stream that had begun."""
        ...
