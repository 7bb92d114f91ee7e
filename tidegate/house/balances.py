"""Tell an engine what has been spent, as soon as it waits for that: until then it admits nothing.

The control process knows, once it has loaded the spool and settled what the dead left behind. It is
asked at the start, so that it settles what an earlier process of this name has left behind, and
whenever a budget appears; as long as it does not answer, it is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlencode

import msgspec

from tidegate.admission import told
from tidegate.errors import Unavailable
from tidegate.house.counting import Counting
from tidegate.limits import Owed
from tidegate.net.control import FOUND, ControlLine

PATH = "/internal/balances"
LOOK_S = 0.1
PATIENT_TRIES = 30
PATIENCE_S = 60.0
"""The sums of a hundred thousand users take the store some seconds."""

log = logging.getLogger("tidegate.house")

_pause = partial(asyncio.sleep, LOOK_S)


async def keep_balanced(
    counting: Counting,
    control: ControlLine,
    *,
    worker: str,
    began_ns: int,
    pause: Callable[[], Awaitable[object]] = _pause,
) -> None:
    """Tell `counting` what it begins with whenever it waits for that, until cancelled.

    `worker` began at the Unix time `began_ns`: what a process of its name held before that is lost.
    """
    path = f"{PATH}?{urlencode({'worker': worker, 'began_ns': began_ns})}"
    tries, first = 0, True
    while True:
        waits, awaited = counting.waits, counting.engine.awaited
        if waits or first:
            try:
                status, body = await control.ask("GET", path, PATIENCE_S)
                if status == FOUND:
                    if waits:  # else Redis knows more than we were told just now
                        await counting.begin_with(await _read(body), awaited)
                    tries, first = 0, False
            except (Unavailable, msgspec.DecodeError) as error:
                tries += 1
                if tries == PATIENT_TRIES:  # the control process takes a moment to start
                    log.warning(
                        "what has been spent is not known yet: what budgets cover is refused",
                        extra={"fields": {"reason": str(error)}},
                    )
        await pause()


async def _read(body: bytes) -> Owed:
    """What is owed; requests go on between its pieces. Raises: `msgspec.DecodeError`."""
    owed = Owed([], [])
    for piece in told.read(body):
        owed.balances.extend(piece.balances)
        owed.holds.extend(piece.holds)
        await asyncio.sleep(0)
    return owed
