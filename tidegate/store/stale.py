"""Which hours and days have changed since they were summed up, and which are as they were then.

Whoever changes the sums of an hour or a day notes it in the same transaction. From then until it is
summed up anew, what was made of it (`marginals.py`, `packed.py`) is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from secrets import randbits
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from tidegate.store.bulk import merge_many
from tidegate.store.tables.marginals import marginals_stale

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
_BITS: Final = 32


class Stretch(NamedTuple):
    """From when until before when, in seconds; and whether its marginals are made."""

    from_s: int
    to_s: int
    made: bool


def note_changes(connection: Connection, changed: Iterable[tuple[int, int]]) -> None:
    """Have these spans, each by length and beginning, summed up anew some time.

    Belongs to the transaction that changes them.
    """
    # A number that was not there before, even if the note was taken away and made again.
    change = 1 + randbits(_BITS)
    values = [(span_s, began_s, change) for span_s, began_s in sorted(set(changed))]
    merge_many(connection, marginals_stale, values, add=["changes"])


def stretches(connection: Connection, span_s: int, from_s: int, to_s: int) -> Iterator[Stretch]:
    """The time from `from_s` to `to_s`, whole spans, cut where marginals are made or are not."""
    stale = marginals_stale.c
    query = (
        select(stale.began_s)
        .where(stale.span_s == span_s, stale.began_s >= from_s, stale.began_s < to_s)
        .order_by(stale.began_s)
    )
    at_s = stale_s = from_s
    for began_s in connection.execute(query).scalars():
        if began_s > at_s:
            if stale_s < at_s:
                yield Stretch(stale_s, at_s, made=False)
            yield Stretch(at_s, began_s, made=True)
            stale_s = began_s
        at_s = began_s + span_s
    if stale_s < at_s:
        yield Stretch(stale_s, at_s, made=False)
    if at_s < to_s:
        yield Stretch(at_s, to_s, made=True)
