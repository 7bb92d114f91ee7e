"""One POST to a receiver: taken, to be tried again, or never to be taken as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from tidegate.control.sinks.settings import Receiver
from tidegate.errors import TidegateError
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Response, Timeouts, verified_tls

TOTAL_S: Final = 30.0
MOST_WAIT_S: Final = 300.0
"""The longest that a receiver is believed when it says when to come back."""
_TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=20.0, idle_s=10.0)
FINE: Final = range(200, 300)
_ANSWER_BYTES: Final = 64 << 10
_UNFIT: Final = frozenset({400, 413, 422})
"""What is said to what was sent. Any other refusal is to us, or a passing one: nothing is given up
for a wrong key or path, it waits until somebody has put that right."""


class NotTaken(Exception):
    """Nothing of it was taken. The text holds no secret."""

    def __init__(self, why: str, *, unfit: bool = False, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.unfit = unfit
        """Whether it will not be taken as it is, however often it is sent."""
        self.wait_s = wait_s
        """When the receiver wants it to be tried again."""


class Post:
    """Sends to one receiver; made in a running loop."""

    def __init__(self, to: Receiver, resolver: Resolver) -> None:
        self._to = to
        self._pool = Pool(
            to.origin,
            allow_private=to.allow_private,
            tls=verified_tls(to.ca) if to.ca is not None else None,
            proxy=to.proxy,
            max_connections=1,
            max_starts=0,
            resolver=resolver,
        )

    async def send(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The body of the answer to `body`. Raises: `NotTaken`."""
        answer, told = await self.ask(body, headers, self._to.path)
        if answer.status in FINE:
            return told
        unfit = answer.status in _UNFIT
        raise NotTaken(f"it answered {answer.status}", unfit=unfit, wait_s=wait_s(answer))

    async def ask(
        self, body: bytes, headers: Mapping[str, str], path: str
    ) -> tuple[Response, bytes]:
        """What is answered at `path`, whatever it is. Raises: `NotTaken` when nothing is."""
        lines = {"user-agent": "tidegate", **headers, **self._to.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        try:
            return await self._sent(head, body, path)
        except TidegateError as error:
            raise NotTaken(error.message.replace("upstream", "receiver")) from error

    async def _sent(self, head: bytes, body: bytes, path: str) -> tuple[Response, bytes]:
        deadline = asyncio.get_running_loop().time() + TOTAL_S
        answer = await self._pool.open(
            "POST", path, head, body, timeouts=_TIMEOUTS, deadline=deadline
        )
        try:
            return answer, await answer.read_all(_ANSWER_BYTES)
        finally:
            answer.close()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._pool.close()


def wait_s(answer: Response) -> float | None:
    """What `retry-after` says, in seconds or as a date."""
    said = (answer.header(b"retry-after") or b"").decode("latin-1").strip()
    if said.isascii() and said.isdecimal() and len(said) < 10:  # noqa: PLR2004
        return min(float(said), MOST_WAIT_S)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    now = datetime.now(UTC if until.tzinfo else None)
    return min(max(0.0, (until - now).total_seconds()), MOST_WAIT_S)
