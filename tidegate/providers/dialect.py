"""What a vendor's dialect does: it says a call in the vendor's words and understands the answer.

A dialect knows no connection, no account and no health; `http.HttpProvider` has these, and asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tidegate.errors import BadRequest, Unsupported, UpstreamError
from tidegate.formats.words import Ask
from tidegate.net.http import Response
from tidegate.types import Answer, Call, Choice, Facts

_encode = msgspec.json.Encoder().encode

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
    ask: Ask | None = None
    """The call in neutral words, where it was translated."""


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

    def answer(
        self, response: Response, call: Call, facts: Facts, ask: Ask | None = None
    ) -> Answer:
        """The answer to `call` (`ask`, if it was translated), whose head is in with a good status.

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


def written(
    choice: Choice, body: dict[str, Any], dropped: Collection[str]
) -> tuple[bytes, tuple[str, ...]]:
    """A request's body as it is sent, and what it leaves out.

    Raises: `Unsupported` when something is left out and the target's policy is `error`,
        `BadRequest` when it is nested too deeply.
    """
    names = tuple(dict.fromkeys(dropped)) if dropped else ()
    if names and choice.target.unsupported == "error":
        raise Unsupported(f"{choice.name} cannot do this: {', '.join(names)}.", param=names[0])
    try:
        return _encode(body), names
    except RecursionError:
        raise BadRequest("The request is nested too deeply.") from None


def header_lines(
    name: str, secret: str | None, headers: Mapping[str, str], *, unless: str | None = None
) -> bytes:
    """The header lines of an account: `secret` under `name`, and whatever `headers` add.

    What `headers` say goes before ours; where they have `unless`, they say already who asks.
    """
    lines = {"content-type": "application/json", **{k.lower(): v for k, v in headers.items()}}
    if secret is not None and unless not in lines:
        lines.setdefault(name, secret)
    return joined(lines)


def joined(lines: Mapping[str, str]) -> bytes:
    """Header lines as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
