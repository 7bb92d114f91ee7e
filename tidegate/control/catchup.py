"""Give records that were loaded by an earlier version what today's sums and columns need.

It goes backwards through them, some at a time, and what is done is noted with each step: it may be
stopped at any moment, and goes on where it was.
"""

from __future__ import annotations

import logging

import msgspec

from tidegate.control.rows import row_of
from tidegate.store.records import RecordStore
from tidegate.store.rows import Row
from tidegate.telemetry.record import decode

_log = logging.getLogger("tidegate.control")


def catch_up(store: RecordStore, most: int = 1_000) -> bool:
    """Do the next `most` records; whether there are more. Raises: `SQLAlchemyError`."""
    unsummed = store.unsummed(most)
    if not unsummed:
        return False
    rows: list[tuple[int, Row]] = []
    for each in unsummed:
        try:
            rows.append((each.id, row_of(decode(each.payload), each.payload)))
        except msgspec.DecodeError as error:
            _log.error("record %d cannot be read, it is in no sum: %s", each.id, error)
    store.sum_up(rows, top=unsummed[0].id, below=unsummed[-1].id)
    return unsummed[-1].id > 1
