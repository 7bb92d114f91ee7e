"""Requests that nobody will end any more: their gateway was killed while money was held for them.

Each becomes a record whose outcome is `lost`, charged by policy. If its own record comes after all
(it was in a spool that nobody had loaded yet), that one takes its place and the sums are put right.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tidegate.control.rows import LOST, row_of
from tidegate.store.held import Held
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Record, decode, encode

Policy = Literal["upper", "delivered", "zero"]
GRACE_S: Final = 10.0
"""How long after its time a request is waited for."""
_MOST: Final = 1_000
_NOBODY: Mapping[str, int] = MappingProxyType({})


def settle_lost(
    store: RecordStore,
    spool: str,
    now_ns: int,
    policy: Policy,
    dead: Mapping[str, int] = _NOBODY,
) -> list[Record]:
    """Settle what is lost; return the new records, so that whoever holds for them can be told.

    Lost are requests past their time, and those of this spool that a worker in `dead` began before
    the time said there: when its present process began. Load the spool first: what is still in it
    is not lost. Raises: `SQLAlchemyError`; calling again goes on.
    """
    expired_ns = now_ns - round(GRACE_S * 1e9)
    settled: list[Record] = []
    while held := store.held.overdue(spool, expired_ns, dead, _MOST):
        lost = {record.request_id: record for record in (lost_record(h, policy) for h in held)}
        rows = [row_of(record, encode(record)) for record in lost.values()]
        gone = store.give_up(rows, now_ns)
        settled += [lost[name] for name in gone]
        if not gone:
            break
    return settled


def lost_record(held: Held, policy: Policy) -> Record:
    """The record of a lost request.

    `upper` charges what was held; `delivered` what its gateway last said it had come to, or its
    input where it said nothing, or what was held where that is not known; `zero` nothing.
    """
    record = decode(held.payload)
    said, tokens = held.said_nanousd, held.output_tokens
    if policy == "zero":
        cost = 0
    elif policy == "upper":
        cost = max(held.held_nanousd, said or 0)
    elif said is not None:
        cost = said
    else:
        known = record.held_input_nanousd
        cost = held.held_nanousd if known is None else known
    return msgspec.structs.replace(
        record,
        outcome=LOST,
        error="The gateway process was gone before the request was over.",
        cost_nanousd=cost,
        price=f"lost: {policy}",
        held_nanousd=held.held_nanousd,
        output_tokens=record.output_tokens if tokens is None else tokens,
        usage_estimated=True,
    )
