"""A loader in a process of its own, to be killed: `loading.py SPOOL STORE_URL`.

Small batches, and a line on standard output before and after everything that changes the store.
"""

import os
import sys
from pathlib import Path

from tidegate.control.loader import Loader
from tidegate.store.records import RecordStore
from tidegate.store.rows import Added, Batch, Place


class TalkativeStore(RecordStore):
    def insert(self, batch: Batch, place: Place) -> Added:
        os.write(1, b"insert\n")
        added = super().insert(batch, place)
        os.write(1, b"inserted\n")
        return added

    def forget(self, spool: str, segment: str) -> None:
        os.write(1, b"forget\n")
        super().forget(spool, segment)
        os.write(1, b"forgot\n")


store = TalkativeStore(sys.argv[2])
store.create()
loader = Loader(Path(sys.argv[1]), store, batch_rows=7)
while True:
    loader.load()
    os.write(1, b"pass\n")
