"""The bins of quality, read by the hundred thousand: of what is over, packed rows are read instead.

They are made with the marginals of the same hours and days (`store/marginals.py`), and like them
are not asked from when something changes until they are made anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, select

from tidegate.store.bulk import insert_many
from tidegate.store.stale import DAY_S, HOUR_S, stretches
from tidegate.store.tables.packed import quality_packed
from tidegate.store.tables.quality import quality_bins

_COLUMNS: Final = tuple(column.name for column in quality_packed.columns)
_bins = msgspec.msgpack.Decoder(dict[int, int])
KINDS: Final = ("gram", "language", "length", "wait")


class Binned(NamedTuple):
    """The values of one kind of a group, in a time that began then."""

    began_s: int
    group_id: int
    kind: str
    bins: dict[int, int]


def pack(connection: Connection, span_s: int, began_s: int) -> None:
    """Pack the bins of one hour or day anew, in a transaction that waits its turn."""
    row = quality_packed.c
    mine = row.span_s == span_s, row.kind.in_(KINDS), row.began_s == began_s
    connection.execute(delete(quality_packed).where(*mine))
    found = defaultdict[tuple[str, int], dict[int, int]](dict)
    for _, group_id, kind, counts in _plain(connection, KINDS, began_s, began_s + span_s):
        there = found[kind, group_id]
        for value, count in counts.items():
            there[value] = there.get(value, 0) + count
    values = [
        (span_s, kind, began_s, group_id, msgspec.msgpack.encode(counts))
        for (kind, group_id), counts in sorted(found.items())
    ]
    insert_many(connection, quality_packed, _COLUMNS, values)


def binned(
    connection: Connection, kinds: Sequence[str], part_s: int, since_s: int, until_s: int
) -> Iterator[Binned]:
    """All bins from `since_s` until before `until_s`, of times that lie within a part each."""
    at_s = since_s
    for from_s, to_s in _days(connection, part_s, since_s, until_s):
        yield from _hours(connection, kinds, at_s, from_s)
        yield from _packed(connection, kinds, DAY_S, from_s, to_s)
        at_s = to_s
    yield from _hours(connection, kinds, at_s, until_s)


def forget(connection: Connection, before_s: int) -> None:
    """Drop what is packed of hours and days of before."""
    row = quality_packed.c
    for span_s in (HOUR_S, DAY_S):
        old = row.span_s == span_s, row.kind.in_(KINDS), row.began_s < before_s
        connection.execute(delete(quality_packed).where(*old))


def _days(
    connection: Connection, part_s: int, since_s: int, until_s: int
) -> Iterator[tuple[int, int]]:
    # From when to when days can be taken: those that are packed, and in which no part ends.
    if part_s < DAY_S:
        return
    first_s, last_s = -(-since_s // DAY_S) * DAY_S, until_s // DAY_S * DAY_S
    for stretch in stretches(connection, DAY_S, first_s, last_s):
        run_s = None
        for day_s in range(stretch.from_s, stretch.to_s, DAY_S) if stretch.made else ():
            whole = (day_s - since_s) // part_s == (day_s + DAY_S - 1 - since_s) // part_s
            if whole and run_s is None:
                run_s = day_s
            elif not whole and run_s is not None:
                yield run_s, day_s
                run_s = None
        if run_s is not None:
            yield run_s, stretch.to_s


def _hours(
    connection: Connection, kinds: Collection[str], from_s: int, to_s: int
) -> Iterator[Binned]:
    if from_s >= to_s:
        return
    for stretch in stretches(connection, HOUR_S, from_s, to_s):
        if stretch.made:
            yield from _packed(connection, kinds, HOUR_S, stretch.from_s, stretch.to_s)
        else:
            yield from _plain(connection, kinds, stretch.from_s, stretch.to_s)


def _packed(
    connection: Connection, kinds: Collection[str], span_s: int, from_s: int, to_s: int
) -> Iterator[Binned]:
    row = quality_packed.c
    query = select(row.began_s, row.group_id, row.kind, row.bins).where(
        row.span_s == span_s, row.kind.in_(kinds), row.began_s >= from_s, row.began_s < to_s
    )
    for began_s, group_id, kind, bins in connection.execute(query):
        yield Binned(began_s, group_id, kind, _bins.decode(bins))


def _plain(
    connection: Connection, kinds: Collection[str], from_s: int, to_s: int
) -> Iterator[Binned]:
    row = quality_bins.c
    query = select(row.began_s, row.group_id, row.kind, row.bin, row.count).where(
        row.began_s >= from_s, row.began_s < to_s, row.kind.in_(kinds)
    )
    found = defaultdict[tuple[int, int, str], dict[int, int]](dict)
    for began_s, group_id, kind, value, count in connection.execute(query):
        found[began_s, group_id, kind][value] = count
    for (began_s, group_id, kind), bins in found.items():
        yield Binned(began_s, group_id, kind, bins)
