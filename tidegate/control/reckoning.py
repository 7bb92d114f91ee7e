"""What is owed, reckoned up: losses settled, old records summed, balances told to the gateways.

`GET /internal/balances?worker=gw-0&began_ns=...` answers what everybody has spent in the present
periods and who still holds something, after everything that was spent is known: the spool is
loaded, those of other machines too where gateways count together, records of earlier versions are
summed, and what an earlier process of that worker held is settled as lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from tidegate.admission import told
from tidegate.clock import Clock, SystemClock
from tidegate.control.balances import owed
from tidegate.control.catchup import catch_up
from tidegate.control.lost import Policy, settle_lost
from tidegate.limits import Rule
from tidegate.store.feedback import FeedbackStore
from tidegate.store.records import RecordStore
from tidegate.store.retention import UNTOLD, Retention, purge
from tidegate.store.rows import Judged
from tidegate.store.spools import SpoolStore
from tidegate.telemetry.record import Record

PATH: Final = "/internal/balances"
FOUND, DENIED, WRONG, FAILING = 200, 401, 405, 503
_MOST_DIGITS = 19
_PURGED_ROWS: Final = 5_000
_MOST_PURGES: Final = 20

ELSEWHERE_S: Final = 3.0
"""How long we wait until other machines have loaded their spools."""
GONE_NS: Final = 900 * 10**9
"""A spool that nobody has loaded for so long is no longer waited for."""
_LOOK_S: Final = 0.05

Answer = tuple[int, bytes]
"""Status and body, which `admission.told` reads."""

_log = logging.getLogger("tidegate.control")


@dataclass(frozen=True, slots=True)
class Terms:
    """How losses are charged, and how long tables and the audit trail are kept."""

    lost: Policy = "upper"
    retention: Retention = field(default_factory=Retention)
    audit_s: int | None = None
    """None is for ever. The admin API cuts the trail off, by an entry of its own."""
    sinks: tuple[str, ...] = ()
    """Exports, whose records wait for them."""


class Reckoning:
    """The one that settles and sums, besides the loader."""

    def __init__(
        self,
        store: RecordStore,
        *,
        load: Callable[[], Awaitable[bool]],
        spool: Callable[[], str],
        rules: Callable[[], Iterable[Rule]],
        terms: Terms,
        elsewhere: SpoolStore | None = None,
        lost: Callable[[Sequence[Record]], None] = lambda _lost: None,
        judged: Callable[[Sequence[Judged]], None] = lambda _judged: None,
        clock: Clock | None = None,
    ) -> None:
        """Make one.

        Args:
            store: What is to be reckoned.
            load: Loads what is in the spool now; whether that could be done.
            spool: What the spool is called in the store.
            rules: Those that stand now. Raises: `SQLAlchemyError`.
            terms: As the operator has set them.
            elsewhere: Where other machines say how far they have loaded; None where each gateway
                counts for itself.
            lost: Is told what was settled as lost.
            judged: Is told what became of feedback that waited.
            clock: Says what is over.
        """
        self._store = store
        self._load = load
        self._spool = spool
        self._rules = rules
        self._terms = terms
        self._elsewhere = elsewhere
        self._lost = lost
        self._judged = judged
        self._feedback = FeedbackStore(store.database)
        self._waiting = False
        self.untold = 0
        """Records deleted as too old that an export had not been told of."""
        self._clock = clock or SystemClock()

    async def serve(self, method: str, query: bytes) -> Answer:
        """Answer one gateway. Raises: `SQLAlchemyError`."""
        if method != "GET":
            return WRONG, b""
        asked = parse_qs(query.decode("latin-1"))
        worker, began = asked.get("worker", [""])[0], asked.get("began_ns", [""])[0]
        dead = {}
        if worker and began.isdecimal() and len(began) <= _MOST_DIGITS:
            dead = {worker: int(began)}
        if not await self._loaded():
            return FAILING, b""
        return FOUND, await asyncio.to_thread(self._reckon, dead)

    async def _loaded(self) -> bool:
        """Load everything that was recorded until now; whether that could be done."""
        if self._elsewhere is None:
            return await self._load()
        number = await asyncio.to_thread(self._elsewhere.ask)
        since_ns, behind = self._clock.now_ns() - GONE_NS, [""]
        deadline_s = self._clock.monotonic() + ELSEWHERE_S
        while behind and self._clock.monotonic() < deadline_s:
            if not await self._load():
                return False
            behind = await asyncio.to_thread(self._elsewhere.behind, number, since_ns)
            if behind:
                await asyncio.sleep(_LOOK_S)
        if behind and not self._waiting:
            _log.error(
                "what was spent elsewhere is not known: other control processes load nothing",
                extra={"fields": {"spools": behind}},
            )
        self._waiting = bool(behind)
        return not behind

    async def keep(self) -> None:
        """What is to be done now and then: settle losses, delete what is old enough.

        Raises: `SQLAlchemyError`.
        """
        await asyncio.to_thread(self._keep)

    def _reckon(self, dead: dict[str, int]) -> bytes:
        while catch_up(self._store):
            pass
        self._settle(dead)
        return told.write(owed(self._store, self._rules(), self._clock.now_ns()))

    def _keep(self) -> None:
        while catch_up(self._store):
            pass
        self._settle({})
        now_ns = self._clock.now_ns()
        self._judged(self._feedback.settle(now_ns))
        self._store.responses.purge(now_ns)
        for _ in range(_MOST_PURGES):
            terms, database = self._terms, self._store.database
            done = purge(database, terms.retention, now_ns, _PURGED_ROWS, terms.sinks)
            self._note_untold(done.pop(UNTOLD, 0))
            if max(done.values(), default=0) < _PURGED_ROWS:
                break

    def _note_untold(self, count: int) -> None:
        self.untold += count
        if count:
            _log.error(
                "%d records were deleted as too old that an export was never told of: it was down "
                "for longer than `retention.untold` allows",
                count,
            )

    def _settle(self, dead: dict[str, int]) -> list[Record]:
        now_ns = self._clock.now_ns()
        lost = settle_lost(self._store, self._spool(), now_ns, self._terms.lost, dead)
        self._lost(lost)
        if lost:
            _log.warning(
                "%d requests were lost with their gateway process; they are charged by policy: %s",
                len(lost),
                self._terms.lost,
                extra={"fields": {"nanousd": sum(each.cost_nanousd or 0 for each in lost)}},
            )
        return lost
