"""The audit trail's chain: each entry carries the hash of the one before, so that none can change.

The hash is SHA-256 over the previous entry's hash and the entry as canonical JSON (keys sorted, no
spaces, UTF-8). Whoever can write to the database could still rewrite the whole chain: therefore the
log tells each new hash, where it can be compared with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from msgspec import Struct

GENESIS = "0" * 64
"""What the first entry follows."""


class Entry(Struct, frozen=True):
    """One change. `before` and `after` are canonical JSON, None where there was or is nothing."""

    seq: int
    """Counts from 1 without a gap."""
    time_ns: int
    actor: str
    role: str
    action: str
    object: str
    before: str | None
    after: str | None
    previous: str = GENESIS
    hash: str = ""


class Head(Struct, frozen=True):
    """The last entry of a chain, or the last one that was cut off its beginning."""

    seq: int = 0
    hash: str = GENESIS


class Verdict(Struct, frozen=True):
    """What a walk along the chain found; `broken` is the first entry that does not fit."""

    entries: int
    head: Head
    broken: int | None = None
    reason: str | None = None


def canonical(value: Any) -> str:
    """`value` as JSON in the one form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_of(entry: Entry) -> str:
    """What `entry.hash` must be."""
    told = {
        "seq": entry.seq, "time_ns": entry.time_ns, "actor": entry.actor, "role": entry.role,
        "action": entry.action, "object": entry.object, "before": entry.before,
        "after": entry.after,
    }  # fmt: skip
    return sha256(f"{entry.previous}\n{canonical(told)}".encode()).hexdigest()


def verify(entries: Iterable[Entry], anchor: Head, head: Head | None = None) -> Verdict:
    """Walk along `entries`, oldest first, from `anchor`; they must end in `head` if it is known."""
    last, count = anchor, 0
    for entry in entries:
        reason = _mistake(entry, last)
        if reason is not None:
            return Verdict(count, last, entry.seq, reason)
        last = Head(entry.seq, entry.hash)
        count += 1
    if head is not None and head != last:
        return Verdict(count, last, last.seq + 1, f"the trail should end with entry {head.seq}")
    return Verdict(count, last)


def _mistake(entry: Entry, last: Head) -> str | None:
    if entry.seq != last.seq + 1:
        return f"entry {last.seq + 1} is missing"
    if entry.previous != last.hash:
        return "it does not follow the entry before it"
    if entry.hash != hash_of(entry):
        return "its content is not what was hashed"
    return None
