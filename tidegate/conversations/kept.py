"""What is kept of an answer in the Responses format, so that it can be continued and shown.

It takes the way of the records: through the spool into the store. The two kinds of payload are
told apart by their first bytes, for a record is a map and this a row that begins with its name.
"""

from __future__ import annotations

import re

import msgspec

from tidegate.types import Principal

MOST_BYTES = 16 << 20
"""The longest that is kept: it passes through memory several times, and waits in the spool's."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
_MARK = slice(1, 10), b"\xa8response"


class Kept(msgspec.Struct, frozen=True, array_like=True, tag="response"):
    """One response, and what it answered. Fields are only ever added at the end.

    `input` and `response` are JSON: the caller's own items of this turn, and the whole object.
    """

    id: str
    owner: str
    """See `owner_of`."""
    root: str
    """The id of the conversation's first response: all of one conversation expire together."""
    previous: str | None
    provider: str | None
    """The provider that keeps it too, under the same id; None when it was translated."""
    created_ns: int
    expires_ns: int
    """Unix time in nanoseconds, as `created_ns`."""
    input: bytes
    response: bytes
    user: str | None = None
    """Whose turn it was, so that they can be erased."""

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, nearly."""
        return len(self.input) + len(self.response) + 1024


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)


def encode(kept: Kept) -> bytes:
    """`kept` as msgpack, a payload of the spool."""
    return _encoder.encode(kept)


def decode(payload: bytes) -> Kept:
    """What `encode` wrote. Raises: `msgspec.DecodeError`."""
    return _decoder.decode(payload)


def is_kept(payload: bytes) -> bool:
    """Whether a payload of the spool is one of these, and not a record."""
    place, mark = _MARK
    return payload[place] == mark


def is_id(text: str) -> bool:
    """Whether `text` could be the id of a response: nothing else is looked for or kept."""
    return _ID.fullmatch(text) is not None


def owner_of(caller: Principal) -> str:
    """Who may continue what `caller` was answered: its team, or else its key."""
    if caller.team is not None:
        return f"team:{caller.team}"
    return "anonymous" if caller.key is None else f"key:{caller.key}"
