"""What a vendor's dialect does: it says a call in the vendor's words and understands the answer.

A dialect knows no connection, no account and no health; `http.HttpProvider` has these, and asks.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from tidegate.errors import UpstreamError
from tidegate.net.http import Response
from tidegate.types import Answer, Call, Choice, Facts

GOOD = 200
"""The one good status of every vendor's API."""


class Request(Struct, frozen=True):
    """A call as it is sent.

    `path` goes behind the base URL; `headers` are encoded lines, each with its CR LF. The fewer
    different ones there are the better: the pool keeps those that it has checked.
    """

    path: str
    headers: bytes
    body: bytes
    dropped: tuple[str, ...] = ()
    """What of the call could not be said."""


class Dialect(Protocol):
    """One vendor's API. `anthropic.Anthropic` is one."""

    native: frozenset[str]
    """The callers' formats that it speaks itself: what is asked in one of them passes on."""
    counts: bool
    """Whether the API can count a request's tokens before it is sent."""

    def request(self, choice: Choice, call: Call, credential: Any) -> Request:
        """`call` in this vendor's words, for `choice`, in the name of `credential`.

        `credential` is what the composition root gave the account: encoded header lines for most.

        Raises: `Unsupported` (the target's policy is `error`), `BadRequest` (the call cannot be
        understood well enough to be translated).
        """
        ...

    def answer(self, response: Response, call: Call, facts: Facts) -> Answer:
        """The answer to `call`, whose head is in with a good status.

        Raises: `UpstreamMalformed`; the response is the caller's to close then.
        """
        ...

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """The error that any other status stands for; `body` is 64 KiB at most.

        `retry_after_s` is filled in from the headers by whoever asked.
        """
        ...

    def signature(self, credential: Any, method: str, path: str, body: bytes) -> bytes:
        """Header lines that let any request in, in the name of `credential`."""
        ...
