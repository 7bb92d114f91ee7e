"""Count a request's tokens here, for a provider that cannot: an answer without an upstream."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.errors import UpstreamError
from tidegate.formats.estimate import input_tokens
from tidegate.formats.messages import counting
from tidegate.types import Call, Facts


class Estimated:
    """The answer to a `count_tokens` call; see `formats.estimate` for how near it is."""

    def __init__(self, call: Call) -> None:
        """Raises: `BadRequest` when the call cannot be understood."""
        self.facts = Facts(content=True, chunks=1, model=call.model)
        self.last = b""
        self.ended: Callable[[UpstreamError | None], None] | None = None
        self._body = counting.write_count(input_tokens(counting.read_ask(call.body)))

    async def read(self) -> bytes:
        """See `Answer.read`."""
        body, self._body = self._body, b""
        return body

    def set_idle(self, wait_s: float) -> None:
        """See `Answer.set_idle`: nothing is waited for."""

    def close(self, error: UpstreamError | None = None) -> None:
        """See `Answer.close`."""
        if self.ended is not None:
            ended, self.ended = self.ended, None
            ended(error)
