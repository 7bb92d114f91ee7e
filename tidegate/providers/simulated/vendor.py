"""What vendors differ in, whatever is asked of them: how they say no, and how they count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tidegate.providers.simulated.refusal import Refusal

CauseName = Literal[
    "bad-key",  # no key, or not the right one
    "revoked",  # a key that is good no more
    "empty",  # an account without money
    "spent",  # the same, as this vendor has it when it does not answer 402
    "limited",  # too many requests
    "overloaded",  # the vendor has too much to do
    "overflow",  # the conversation is longer than the context window
    "filtered",  # the prompt offends the vendor's content policy
    "unknown-model",
    "failed",  # something broke inside
]


@dataclass(frozen=True, slots=True)
class Cause:
    """One way of saying no. `message` may hold `{tokens}`, `{limit}` and `{model}`."""

    status: int
    message: str
    kind: str | None = None
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account has left until `reset_ns` (Unix time), in requests and in tokens."""

    limit: int
    left: int
    now_ns: int
    reset_ns: int
    tokens_each: int = 1000

    @property
    def reset_s(self) -> float:
        """Seconds until it is whole again."""
        return max(0, self.reset_ns - self.now_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's manners."""

    name: str
    id_header: bytes
    """The header that carries the id of an answer."""
    causes: Mapping[CauseName, Cause]
    error: Callable[[Refusal, str], bytes]
    """The body that says a refusal to the request of this id."""
    error_headers: Callable[[Refusal], bytes]
    quota: Callable[[Quota], bytes]
    """Header lines that say what is left."""
    by_status: Callable[[int, str], Refusal] = Refusal
    """A refusal of which only the status matters, with the code that goes with it."""

    def refusal(
        self, cause: CauseName, *, tokens: int = 0, model: str = "", retry_s: float | None = None
    ) -> Refusal:
        """The refusal for `cause`, in this vendor's words."""
        said = self.causes[cause]
        message = said.message.format(tokens=tokens, limit=CONTEXT_TOKENS, model=model)
        return Refusal(
            said.status,
            message,
            kind=said.kind,
            code=said.code,
            param=said.param,
            retry_s=retry_s,
        )


CONTEXT_TOKENS = 8192
"""The context window that an overflow names."""


def no_headers(_: object) -> bytes:
    """For vendors that say nothing in headers here."""
    return b""
