"""How what is owed travels to a gateway: in pieces, each of which is read in a moment.

A hundred thousand balances take half a second to read at once, in which no request goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec
from msgspec import Struct

from tidegate.limits import Balance, OpenHold, Owed

AT_ONCE = 200
_encode = msgspec.msgpack.Encoder().encode
_balances = msgspec.msgpack.Decoder(list[Balance]).decode
_holds = msgspec.msgpack.Decoder(list[OpenHold]).decode


class _Told(Struct, array_like=True):
    balances: list[bytes]
    holds: list[bytes]


_told = msgspec.msgpack.Decoder(_Told).decode


def write(owed: Owed) -> bytes:
    """`owed` as `read` takes it."""
    return _encode(_Told(_pieces(owed.balances), _pieces(owed.holds)))


def read(data: bytes) -> Iterator[Owed]:
    """What `write` wrote, piece by piece. Raises: `msgspec.DecodeError`."""
    told = _told(data)
    return chain(
        (Owed(_balances(piece), []) for piece in told.balances),
        (Owed([], _holds(piece)) for piece in told.holds),
    )


def _pieces(items: Sequence[object]) -> list[bytes]:
    return [_encode(items[at : at + AT_ONCE]) for at in range(0, len(items), AT_ONCE)]
