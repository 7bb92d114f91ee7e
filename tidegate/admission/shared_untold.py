"""What Redis has still to be told: settlements, charges and holds that it must not miss.

Each may be told twice without harm, so whatever is not answered is told again. What a full queue
lets go of is found by the control process: a hold past its time is settled by what the ledger says.
A charge that nothing was held for would be found by nobody: so that none is let go, no more of
those are made once the queue is half full (`is_filling`).
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable

import msgspec

from tidegate.admission.redis_line import LineBroken
from tidegate.admission.redis_words import Complaint, NotRedis
from tidegate.admission.shared_link import Link
from tidegate.admission.shared_scripts import Script

MOST = 50_000
AT_ONCE = 1_000
MOST_COMPLAINTS = 5

log = logging.getLogger("tidegate.admission")

_decode = msgspec.msgpack.Decoder(list[object]).decode


class Telling:
    """One thing to tell. `heard` is given the answer; false keeps it to be told later."""

    __slots__ = (
        "_complaints",
        "_heard",
        "_late",
        "_script",
        "_untold",
        "command",
        "deadline_s",
        "done",
    )

    def __init__(
        self, untold: Untold, script: Script, command: bytes, heard: Callable[[object], bool]
    ) -> None:
        self.command = command
        self.deadline_s = math.inf
        self.done = False
        self._untold = untold
        self._script = script
        self._heard = heard
        self._complaints = 0
        self._late = False

    def answered(self, answer: object) -> None:
        """Hand on what Redis says."""
        if isinstance(answer, Complaint):
            self._complain(answer)
            return
        if not self._late:
            self._untold.link.went_well()
        if not self._heard(answer if isinstance(answer, int) else unpacked(answer)):
            self._untold.keep(self)

    def overdue(self) -> None:
        """Nobody waits for it; but who is asked next would."""
        self._late = True
        self._untold.link.failed("it was told something and did not answer in time")

    def broken(self, why: str) -> None:
        """Tell it again."""
        del why
        self._untold.keep(self)

    def _complain(self, complaint: Complaint) -> None:
        if complaint.code == "NOSCRIPT":
            self.command = self._script.again(self.command)
        else:
            self._untold.link.failed(str(complaint)[:200])
            self._complaints += 1
        if self._complaints < MOST_COMPLAINTS:
            self._untold.keep(self)
        else:
            log.error("Redis does not take it", extra={"fields": {"says": str(complaint)[:200]}})


class Untold:
    """The queue. `lost` counts what was let go."""

    def __init__(self, link: Link, time: Callable[[], float], timeout_s: float) -> None:
        self.link = link
        self.lost = 0
        self.most = MOST
        """Beyond so many the oldest is let go."""
        self._time = time
        self._timeout_s = timeout_s
        self._waiting = deque[Telling]()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_filling(self) -> bool:
        """Whether nothing should be begun that must be told later."""
        return 2 * len(self._waiting) >= self.most

    def tell(self, script: Script, command: bytes, heard: Callable[[object], bool]) -> None:
        """Tell it now if that is possible, else later."""
        telling = Telling(self, script, command, heard)
        if self._waiting:  # in order: what is told first may be what the next one settles
            self.keep(telling)
            self.link.wake()
        else:
            self._ask(telling)

    def keep(self, telling: Telling) -> None:
        """Tell it later."""
        if len(self._waiting) >= self.most:
            self._waiting.popleft()
            self.lost += 1
            if self.lost == 1:
                log.error("more is to be told to Redis than can be kept: the oldest is let go")
        self._waiting.append(telling)

    def tell_all(self) -> None:
        """Tell what waits, as much as is good at once."""
        for _ in range(min(len(self._waiting), AT_ONCE)):
            self._ask(self._waiting.popleft())

    def _ask(self, telling: Telling) -> None:
        telling.done = False
        telling.deadline_s = self._time() + self._timeout_s
        try:
            self.link.ask(telling)
        except LineBroken:
            self.keep(telling)


def unpacked(answer: object) -> list[object]:
    """What a script of ours has packed. Raises: `NotRedis` when it has not."""
    if not isinstance(answer, bytes):
        raise NotRedis("an answer that none of our scripts gives")
    try:
        return _decode(answer)
    except msgspec.MsgspecError as error:
        raise NotRedis("an answer that none of our scripts gives") from error
