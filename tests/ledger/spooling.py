"""A writer in a process of its own, to be killed: `spooling.py DIRECTORY SEED [records]`.

Payloads begin with their number; with `records` they are records with the id `SEED-NUMBER`.
Says one line `START N` before record N is appended and, once it is written, one line `DONE N`.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from tidegate.ledger.spool import SpoolWriter
from tidegate.telemetry.record import Record, encode


async def main(directory: Path, seed: int, *, records: bool) -> None:
    chance = random.Random(seed)
    spool = SpoolWriter(directory, writer=f"gw-{seed}", segment_bytes=20_000)
    count = 0

    async def one(number: int, size: int) -> None:
        os.write(1, b"START %d\n" % number)
        if records:
            name = f"{seed}-{number}"
            payload = encode(Record(name, number, "gw", "chat", "/", "", request_body=bytes(size)))
        else:
            payload = b"%d:" % number + bytes(size)
        await spool.append(payload)
        os.write(1, b"DONE %d\n" % number)

    while True:
        burst = range(count, count + chance.randrange(1, 8))
        count = burst.stop
        await asyncio.gather(*(one(number, chance.randrange(2000)) for number in burst))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), records=len(sys.argv) > 3))
