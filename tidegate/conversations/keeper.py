"""Keep answers in the Responses format, and find them again: for a call that goes on, or by id.

No database is within reach of a gateway process. What was just said is in memory; the rest is
asked of the control process, which looks through the spool before it says that something is not
there. Whoever asks for another's answer is told what is told of one that does not exist.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import msgspec
from msgspec import Struct, structs

from tidegate.clock import Clock, SystemClock
from tidegate.conversations.kept import MOST_BYTES, Kept, encode, is_id, owner_of
from tidegate.conversations.recent import Recent
from tidegate.conversations.thread import Thread
from tidegate.errors import BadRequest, TooLongPast, Unavailable, UnknownResponse
from tidegate.formats.responses.failure import UnknownPrevious
from tidegate.types import Call, Choice, Principal

PREVIOUS = "previous_response_id"
MOST_TURNS = 1_000
MOST_PAST_BYTES = 32 << 20
"""How long a conversation may be to be continued by an id."""

_NS = 1_000_000_000

log = logging.getLogger("tidegate.conversations")


class Policy(Struct, frozen=True):
    """Whether answers are kept, and for how long."""

    store: bool
    retention_s: float


class Spool(Protocol):
    """Where what is to be kept goes first (`ledger.spool.SpoolWriter`)."""

    def append(self, payload: bytes) -> asyncio.Future[None]:
        """Queue one payload; the future is done when it is safe. Raises: `Unavailable`."""
        ...


class Archive(Protocol):
    """Where it is found later (`archive.ControlArchive`)."""

    async def past(self, id_: str, owner: str, most: int) -> list[Kept]:
        """The response and those before it, last one first, as far as they are there.

        At most `most`, and fewer where they are too long together. Raises: `Unavailable`.
        """
        ...

    async def forget(self, id_: str, owner: str) -> bool:
        """Delete the response; whether it was there. Raises: `Unavailable`."""
        ...


class Conversations:
    """What the gateway's stations use of this room."""

    def __init__(
        self,
        spool: Spool,
        archive: Archive,
        recent: Recent,
        policy: Policy,
        clock: Clock | None = None,
    ) -> None:
        """`archive` and `recent` outlive a configuration; `policy` is its own."""
        self._spool = spool
        self._archive = archive
        self._recent = recent
        self._policy = policy
        self._clock = clock or SystemClock()

    async def thread(self, caller: Principal, call: Call) -> Thread:
        """`call`, which is of the Responses format, with all that goes before it.

        Where nothing is kept, what it refers to is left to the provider.
        Raises: `UnknownPrevious`, `TooLongPast`, `Unavailable`.
        """
        previous = call.body.get(PREVIOUS)
        if previous is None or not self._policy.store:
            return Thread(call, ())
        if call.body.get("conversation") is not None:
            raise BadRequest(f"{PREVIOUS}: It cannot stand beside `conversation`.", param=PREVIOUS)
        past = await self._past(previous, owner_of(caller))
        return Thread(call, past[::-1])

    def keep(
        self,
        caller: Principal,
        thread: Thread,
        choice: Choice,
        sent: bytes,
        *,
        user: str | None = None,
    ) -> asyncio.Future[None] | None:
        """Keep the good answer of `choice` to `user`, which ended in `sent`, if that is wanted.

        The future is done when it will be found by everybody: the caller may be told its end then.
        """
        if not self._policy.store or not thread.wants_keeping:
            return None
        now_ns = self._clock.now_ns()
        expires_ns = now_ns + int(self._policy.retention_s * _NS)
        kept = thread.kept(choice, sent, owner_of(caller), now_ns=now_ns, expires_ns=expires_ns)
        if kept is None:
            return None
        kept = structs.replace(kept, user=user)
        if kept.size_bytes > MOST_BYTES:
            log.warning("an answer is too long to be kept", extra={"fields": {"id": kept.id}})
            return None
        try:
            written = self._spool.append(encode(kept))
        except Unavailable:  # its memory is full: the caller gets the answer all the same
            log.exception("an answer could not be kept", extra={"fields": {"id": kept.id}})
            return None
        self._recent.put(kept)
        return written

    async def find(self, caller: Principal, id_: str) -> bytes:
        """The kept response, as its caller got it. Raises: `UnknownResponse`, `Unavailable`."""
        owner = owner_of(caller)
        kept = self._recent.get(id_)
        if kept is None and is_id(id_):
            kept = next(iter(await self._archive.past(id_, owner, 1)), None)
        if kept is None or kept.owner != owner:
            raise _unknown(id_)
        return kept.response

    async def forget(self, caller: Principal, id_: str) -> bytes:
        """Delete a kept response; what is told about it. Raises: as `find`.

        Another gateway process may know it for as long as its memory goes back.
        """
        self._recent.drop(id_)
        if not is_id(id_) or not await self._archive.forget(id_, owner_of(caller)):
            raise _unknown(id_)
        return msgspec.json.encode({"id": id_, "object": "response", "deleted": True})

    async def _past(self, id_: str, owner: str) -> list[Kept]:
        """The response and those before it, last one first.

        Raises: `UnknownPrevious`, `TooLongPast`, `Unavailable`.
        """
        past: list[Kept] = []
        size_bytes = 0
        wanted: str | None = id_ if is_id(id_) else None
        while wanted is not None or not past:
            kept = self._recent.get(wanted) if wanted is not None else None
            if kept is not None:
                found = [kept]
            elif wanted is not None:
                found = await self._archive.past(wanted, owner, MOST_TURNS - len(past))
            else:
                found = []
            if not found or found[0].owner != owner:
                raise UnknownPrevious(id_)
            for each in found:
                self._recent.put(each)
                size_bytes += each.size_bytes
            past += found
            wanted = past[-1].previous
            if size_bytes > MOST_PAST_BYTES or (wanted is not None and len(past) >= MOST_TURNS):
                raise TooLongPast(
                    "This conversation is too long to be continued by an id.", param=PREVIOUS
                )
        return past


def _unknown(id_: str) -> UnknownResponse:
    return UnknownResponse(f"Response with id {id_[:200]!r} not found.")
