"""What alerts are about, as the store and the gateways' boards have it just now.

What takes long is looked at less often: the hour's costs once a minute, budgets every five seconds,
drift every five minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final, TypeGuard

from sqlalchemy.exc import SQLAlchemyError

from tidegate.alerts.facts import (
    WINDOW_S,
    BudgetFact,
    Caching,
    Disk,
    Drifted,
    Facts,
    FeatureCost,
    Load,
    OpenBreaker,
    Spending,
    Traffic,
)
from tidegate.alerts.objectives import Objective
from tidegate.control.balances import stands
from tidegate.control.burns import Burns
from tidegate.control.hearing import MOST_READ, Hearing
from tidegate.control.loader import NAME_FILE
from tidegate.control.quality import Drift, Drifting
from tidegate.ledger.segment import segments
from tidegate.limits import Rule
from tidegate.policy.board import Board, SharedState
from tidegate.store.records import Filter, RecordStore
from tidegate.store.spend import Of, SpendQuery, Spent

_SECOND_NS: Final = 10**9
_MINUTE_NS, _HOUR_NS, _DAY_NS = 60 * _SECOND_NS, 3_600 * _SECOND_NS, 86_400 * _SECOND_NS
_WINDOW_NS: Final = WINDOW_S * _SECOND_NS
_LATE_NS: Final = 15 * _SECOND_NS
"""How long a minute's records may take to be loaded."""
_BUDGETS_NS, _COSTS_NS = 5 * _SECOND_NS, _MINUTE_NS
_LEAST_HOURS: Final = 24
_MOST_USERS: Final = 5_000
_WORTH_A_WORD: Final = 0.25
"""Budgets of which less than this is spent are not looked at any closer."""


@dataclass(slots=True)
class _Slow:
    budgets_ns: int = 0
    costs_ns: int = 0
    budgets: tuple[BudgetFact, ...] = ()
    spending: Spending | None = None
    usual: Mapping[str, float] | None = None
    models: frozenset[str] = frozenset()
    caching: Mapping[str, Caching] | None = None


class StoreLook:
    """Looks into the store; one thread at a time."""

    def __init__(
        self,
        store: RecordStore,
        rules: Callable[[], Iterable[Rule]],
        retirements: Mapping[str, int],
        objectives: Callable[[], Mapping[str, Objective]],
    ) -> None:
        self._store = store
        self._drifting = Drifting(store.database)
        self._rules = rules
        self._retirements = retirements
        self._burns = Burns(store.database, objectives)
        self._hearing = Hearing()
        self._last_id: int | None = None
        self._slow = _Slow()

    def look(self, now_ns: int, *, whole: bool) -> Facts:
        """What the store says; with `whole` everything that ended is in it.

        Raises: `SQLAlchemyError`.
        """
        self._hear(now_ns)
        slow = self._slow
        if now_ns - slow.costs_ns >= _COSTS_NS:
            slow.spending, slow.usual = self._spending(now_ns), self._usual(now_ns)
            slow.models = frozenset(self._by("model", now_ns - 7 * _DAY_NS, now_ns))
            slow.caching = self._caching(now_ns)
            slow.costs_ns = now_ns
        if now_ns - slow.budgets_ns >= _BUDGETS_NS:
            slow.budgets = tuple(self._budgets(now_ns))
            slow.budgets_ns = now_ns
        refusing = self._hearing.refusing(now_ns)
        return Facts(
            budgets=tuple(_refusing(each, refusing) for each in slow.budgets),
            traffic=self._traffic(now_ns) if whole else None,
            heard=self._hearing.heard(now_ns) if whole else None,
            spending=slow.spending,
            retiring=self._retiring(now_ns),
            burns=self._burns.look(now_ns) if whole else None,
            caching=slow.caching,
            drifted=tuple(map(_drifted, self._drifting.look(now_ns))) if whole else None,
        )

    def _hear(self, now_ns: int) -> None:
        last_id = self._store.last_id()
        if self._last_id is None:
            wanted = Filter(since_ns=now_ns - _WINDOW_NS)
            found = self._store.recent(MOST_READ, wanted)
        else:
            begin = max(self._last_id, last_id - MOST_READ)
            found = self._store.after(begin, MOST_READ, Filter()) if last_id > begin else []
        self._last_id = max([last_id, *(each.id for each in found)])
        self._hearing.hear(each.payload for each in found)

    def _by(
        self, by: Of, since_ns: int, until_ns: int, outcome: str | None = None
    ) -> dict[str, Spent]:
        asked = SpendQuery(by=by, since_ns=since_ns, until_ns=until_ns)
        if outcome is not None:
            asked = replace(asked, filters={"outcome": outcome})
        found = self._store.spending.spend(asked).rows
        return {each.name: each for each in found if each.name is not None}

    def _traffic(self, now_ns: int) -> dict[str, Traffic]:
        since_ns, until_ns = now_ns - _WINDOW_NS, now_ns + _MINUTE_NS
        everything = self._by("alias", since_ns, until_ns)
        failed = self._by("alias", since_ns, until_ns, "failed")
        lost = self._by("alias", since_ns, until_ns, "lost")
        limited = self._by("alias", since_ns, until_ns, "limited")
        end_ns = (now_ns - _LATE_NS) // _MINUTE_NS * _MINUTE_NS
        lately = self._by("alias", end_ns - _WINDOW_NS, end_ns)
        usual = self._slow.usual or {}
        return {
            alias: Traffic(
                requests=_requests(everything, alias),
                failed=_requests(failed, alias) + _requests(lost, alias),
                limited=_requests(limited, alias),
                lately=_requests(lately, alias),
                usual=usual.get(alias),
                unpriced=everything[alias].unpriced if alias in everything else 0,
            )
            for alias in everything.keys() | usual.keys()
        }

    def _usual(self, now_ns: int) -> dict[str, float]:
        # Over a whole hour, of which nothing is in the window that it is compared with.
        end_ns = (now_ns - _LATE_NS - _WINDOW_NS) // _MINUTE_NS * _MINUTE_NS
        found = self._by("alias", end_ns - _HOUR_NS, end_ns)
        return {alias: each.requests * WINDOW_S / 3_600 for alias, each in found.items()}

    def _spending(self, now_ns: int) -> Spending:
        hour_ns = now_ns - _HOUR_NS
        week = SpendQuery(by="hour", since_ns=now_ns - 7 * _DAY_NS, until_ns=hour_ns)
        hours = [each.cost_nanousd for each in self._store.spending.spend(week).rows]
        users = SpendQuery(by="user", since_ns=hour_ns, until_ns=now_ns, top=_MOST_USERS)
        spent = self._store.spending.spend(users)
        midnight_ns = now_ns // _DAY_NS * _DAY_NS
        lately = self._by("feature", midnight_ns - 7 * _DAY_NS, now_ns)
        before = self._by("feature", midnight_ns - 14 * _DAY_NS, midnight_ns - 7 * _DAY_NS)
        return Spending(
            hour_nanousd=spent.total.cost_nanousd,
            usual_nanousd=round(median(hours)) if len(hours) >= _LEAST_HOURS else None,
            users={each.name: each.cost_nanousd for each in spent.rows if each.name is not None},
            features={
                name: FeatureCost(
                    each.requests,
                    each.cost_nanousd,
                    before[name].requests,
                    before[name].cost_nanousd,
                )
                for name, each in lately.items()
                if name in before
            },
        )

    def _caching(self, now_ns: int) -> dict[str, Caching]:
        hour_ns = now_ns - _HOUR_NS
        lately = self._by("alias", hour_ns, now_ns)
        before = self._by("alias", hour_ns - _DAY_NS, hour_ns)
        return {
            alias: Caching(
                each.requests,
                _cached_share(each),
                before[alias].requests,
                _cached_share(before[alias]),
            )
            for alias, each in lately.items()
            if alias in before
        }

    def _budgets(self, now_ns: int) -> Iterable[BudgetFact]:
        for each in stands(self._store.held, self._rules(), now_ns):
            budget = each.budget
            if each.spent_nanousd > _WORTH_A_WORD * budget.nanousd:
                yield BudgetFact(
                    each.rule.kind, each.name, budget.period, budget.timezone, each.began_ns,
                    budget.nanousd, each.spent_nanousd,
                )  # fmt: skip

    def _retiring(self, now_ns: int) -> dict[str, float]:
        used = self._slow.models
        return {
            name: (goes_ns - now_ns) / _DAY_NS
            for name, goes_ns in self._retirements.items()
            if name in used or name.partition("/")[2] in used
        }


def waiting_bytes(spool: Path, store: RecordStore) -> int:
    """What is in the spool and not in the store; all of it while the store cannot be asked."""
    try:
        loaded = store.offsets((spool / NAME_FILE).read_text(encoding="ascii").strip())
    except (OSError, ValueError, SQLAlchemyError):
        loaded = {}
    size_bytes = 0
    for path in segments(spool):
        with suppress(FileNotFoundError):  # it was loaded meanwhile
            size_bytes += max(0, path.stat().st_size - loaded.get(path.name, 0))
    return size_bytes


def look_around(there: list[Board], *, loading: str, waiting_bytes: int) -> Facts:
    """What the gateways of this machine tell, and how the spool is doing."""
    queues: dict[str, int] = {}
    for lane in (lane for board in there for lane in board.lanes):
        queues[lane.name] = queues.get(lane.name, 0) + lane.waiting
    return Facts(
        breakers=_breakers(there),
        retired=tuple(
            sorted(
                {
                    (part.provider, part.name)
                    for board in there
                    for part in board.parts
                    if part.kind == "account" and part.state == "retired"
                }
            )
        ),
        redis=tuple(
            (board.worker, lost[0].reason)
            for board in there
            if (lost := [each for each in (board.counting, board.shared) if _is_down(each)])
        ),
        loading=loading,
        waiting_bytes=waiting_bytes,
        queues=queues,
        loads=tuple(
            Load(board.worker, board.load.lag_s, board.load.share, board.load.pending_bytes)
            for board in there
            if board.load is not None
        ),
    )


def look_at_disks(places: Mapping[str, Path]) -> tuple[Disk, ...]:
    """The disks of these files and directories; one that two are on stands there once."""
    found: dict[int, Disk] = {}
    for of, place in places.items():
        with suppress(OSError):  # whoever writes there says what is wrong
            device, room = place.stat().st_dev, os.statvfs(place)
            disk = Disk(of, room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize)
            found.setdefault(device, disk)
    return tuple(found.values())


def _is_down(state: SharedState | None) -> TypeGuard[SharedState]:
    return state is not None and state.state == "down"


def _breakers(boards: Iterable[Board]) -> tuple[OpenBreaker, ...]:
    found: dict[str, OpenBreaker] = {}
    for board in boards:
        for target in board.targets:
            if target.state == "open":
                before = found.get(target.name, OpenBreaker(target.name, 0, target.reason))
                found[target.name] = OpenBreaker(target.name, before.workers + 1, before.reason)
    return tuple(found.values())


def _drifted(drift: Drift) -> Drifted:
    shift = drift.shift
    of = "" if drift.whole else " ".join(filter(None, (drift.model, drift.version)))
    return Drifted(
        drift.alias or "", of, shift.signal, shift.now, shift.then, shift.effect
    )  # fmt: skip


def _requests(found: Mapping[str, Spent], alias: str) -> int:
    return found[alias].requests if alias in found else 0


def _cached_share(spent: Spent) -> float:
    return (spent.cached_input_tokens or 0) / (spent.input_tokens or 1)


def _refusing(budget: BudgetFact, refusing: frozenset[tuple[str, str, str]]) -> BudgetFact:
    if (budget.kind, budget.name, budget.period) not in refusing:
        return budget
    return BudgetFact(
        budget.kind, budget.name, budget.period, budget.timezone, budget.began_ns,
        budget.limit_nanousd, budget.spent_nanousd, refusing=True,
    )  # fmt: skip
