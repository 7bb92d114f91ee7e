"""How a sink is told: the one verb that all of them have, and the pace at which they like it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from tidegate.control.sinks.forms import Form
from tidegate.control.sinks.post import Post
from tidegate.store.records import Found

__all__ = ["Pace", "Posting", "Told", "Way"]

MOST_ROWS: Final = 512
MOST_BYTES: Final = 4 << 20


class Pace(Struct, frozen=True):
    """How much a sink is told at once."""

    rows: int = MOST_ROWS
    size_bytes: int = MOST_BYTES
    """Of records as they are stored."""
    gather_s: float = 0.0
    """How long records are waited for, so that there are `rows` of them."""
    exact: bool = False
    """Whether what is told again after a crash has to be the very same records."""


class Told(Struct, frozen=True):
    """What became of a page of records that was taken."""

    sent: int
    left_out: int = 0
    """Records that are not to be told."""
    unreadable: int = 0
    rejected: int = 0
    """Records, or parts of them, that it has not taken, and never will."""
    why: str = ""
    size_bytes: int = 0
    """What was sent or written."""


class Way(Protocol):
    """The way to one sink."""

    @property
    def pace(self) -> Pace:
        """How much it is told at once."""
        ...

    async def take(self, page: Sequence[Found], after: int) -> Told:
        """Tell it of `page`; when this returns, that is on its disk. Raises: `NotTaken`.

        `after` is the place in the store behind which the page begins: the same if it is told
        again, though the first of its records may have gone meanwhile.
        """
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...


class Posting:
    """Packs each page into one message, and posts it."""

    pace = Pace()

    def __init__(self, form: Form, post: Post) -> None:
        self._form = form
        self._post = post

    async def take(self, page: Sequence[Found], after: int) -> Told:  # noqa: ARG002 - see `Way`
        """See `Way.take`."""
        parcel = await asyncio.to_thread(self._form.pack, [each.payload for each in page])
        rejected, why, size_bytes = 0, "", 0
        if parcel.records:
            answer = await self._post.send(parcel.body, parcel.headers)
            said = self._form.taken(answer)
            rejected, why, size_bytes = said.rejected, said.why, len(parcel.body)
        return Told(parcel.records, parcel.left_out, parcel.unreadable, rejected, why, size_bytes)

    async def close(self) -> None:
        """See `Way.close`."""
        await self._post.close()
