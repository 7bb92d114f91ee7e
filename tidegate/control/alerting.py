"""Looks every few seconds whether something is worth a word, and has it told.

What concerns all gateways is remembered in the store, so that it is told once however many control
processes look at it; what concerns this machine, and what is still to be delivered, in a file
beside the spool's segments, so that it is told even when the store is lost. A message is in that
file before it is remembered as told: a crash in between finds it again under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs
from sqlalchemy.exc import SQLAlchemyError

from tidegate.alerts.courier import Courier
from tidegate.alerts.facts import Facts, Gateways, StuckSink
from tidegate.alerts.machine import Alert, Memory, Silence, Turn, essence, step
from tidegate.alerts.measures import find
from tidegate.alerts.notices import notices
from tidegate.alerts.objectives import Objective
from tidegate.alerts.outbox import Outbox
from tidegate.alerts.settings import AlertSettings, open_sinks
from tidegate.clock import Clock, SystemClock
from tidegate.control.lives import Lives
from tidegate.control.looking import StoreLook, look_around, look_at_disks, waiting_bytes
from tidegate.control.measures.watch import Watch, firing_of
from tidegate.control.sinks.sending import Standing
from tidegate.limits import Rule as LimitRule
from tidegate.net.dns import Resolver
from tidegate.policy.board import read_boards
from tidegate.store.alerts import AlertStore
from tidegate.store.records import RecordStore

FILE: Final = "alerts.json"
_BEHIND_S: Final = 900.0
"""A sink that takes its records, and yet is so far behind, is too slow."""
_LOCAL: Final = frozenset(
    {
        "breaker-open", "account-retired", "redis-lost", "records-not-loaded", "records-waiting",
        "store-lost", "spool-not-written", "disk-filling", "sink-stuck", "queue-depth", "loop-lag",
        "shedding", "process-restarting", "gateways-missing",
    }
)  # fmt: skip
_BACKLOG_BYTES: Final = 4 << 20
"""With more than this in the spool, the last minutes are not known."""
_REFRESH_NS: Final = 15 * 10**9
"""How old the values may be that are shown of what fires."""
_REST: Final = 10
"""How many times as long as a look takes we rest after it, at least."""

_log = logging.getLogger("tidegate.alerts")


@dataclass(frozen=True, slots=True)
class Around:
    """What alerting looks at."""

    store: RecordStore
    spool: Path
    boards: Path
    rules: Callable[[], Iterable[LimitRule]]
    """Limits that stand now. Raises: `SQLAlchemyError`."""
    failing: Callable[[], str | None]
    """Why records are not loaded; None when they are."""
    objectives: Callable[[], Mapping[str, Objective]] = dict
    """What is promised of aliases."""
    sinks: Callable[[], Mapping[str, Standing]] = dict
    """How it goes with the sinks of records."""
    gateways: int | None = None
    """How many gateway processes there should be; None where nobody says."""


class Alerting:
    """One for each control process."""

    def __init__(self, around: Around, settings: AlertSettings, clock: Clock | None = None) -> None:
        self._around = around
        self._settings = settings
        self._clock = clock or SystemClock()
        self._look = StoreLook(around.store, around.rules, settings.retirements, around.objectives)
        self._lives = Lives()
        self._memory = AlertStore(around.store.database)
        self._machine = socket.gethostname()
        self._silences: tuple[Silence, ...] = ()
        self._acknowledged: frozenset[str] = frozenset()
        self._blind = ""
        self._saved_ns = 0
        self.outbox = Outbox(around.spool / FILE)
        self.watch = Watch()
        """What the last look saw that nobody else measures."""

    async def run(self) -> None:
        """Look and tell until cancelled."""
        resolver = Resolver()
        sinks = open_sinks(self._settings, resolver, self._clock.now_ns)
        courier = Courier(self.outbox, sinks, self._clock.now_ns)
        delivering = asyncio.create_task(courier.run())
        try:
            while True:
                began_s = time.monotonic()
                if await asyncio.to_thread(self._look_safely):
                    courier.ring()
                took_s = time.monotonic() - began_s
                await asyncio.sleep(max(self._settings.every_s, _REST * took_s))
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])
            await resolver.close()

    def _look_safely(self) -> bool:
        try:
            return self.look()
        except Exception:  # noqa: BLE001  the root of a task: one bad look must not be the last
            _log.exception("alerting could not look; it goes on")
            return False

    def look(self) -> bool:
        """Look once; whether there is something new to deliver."""
        now_ns = self._clock.now_ns()
        around, failing = self._around, self._around.failing()
        waiting = waiting_bytes(around.spool, around.store)
        self._ask_store(now_ns)
        nearby = self._look_here(failing or "", waiting, now_ns)
        told = self._step_here(nearby, now_ns)
        firing, facts = firing_of(self.outbox.kept.memory), Facts()
        if not self._blind:
            try:
                whole = failing is None and waiting <= _BACKLOG_BYTES
                facts = self._look.look(now_ns, whole=whole)
                more, memory = self._step_shared(facts, now_ns)
                told, firing = told + more, firing + firing_of(memory)
            except SQLAlchemyError as error:
                self._note_blind(error)
        self.watch = Watch(
            facts=facts,
            nearby=nearby,
            retirements=self._settings.retirements,
            restarts=self._lives.totals,
            firing=firing,
            owed=Counter(name for each in self.outbox.kept.owed for name in each.sinks),
        )
        return told > 0

    def _ask_store(self, now_ns: int) -> None:
        try:
            self._silences = self._silenced(now_ns)
            self._acknowledged = frozenset(self._memory.acknowledged())
        except SQLAlchemyError as error:
            self._note_blind(error)
        else:
            self._blind = ""

    def _note_blind(self, error: SQLAlchemyError) -> None:
        if not self._blind:
            _log.error("the store cannot be looked at, nothing is said of it: %s", error)
        self._blind = str(error)

    def _look_here(self, failing: str, waiting: int, now_ns: int) -> Facts:
        around = self._around
        there = read_boards(around.boards)
        places = {"spool": around.spool}
        if (file := around.store.database.file) is not None:
            places["store"] = file.parent
        sinks = around.sinks()
        return replace(
            look_around(there, loading=failing, waiting_bytes=waiting),
            store=self._blind,
            gateways=None if around.gateways is None else Gateways(len(there), around.gateways),
            restarts=self._lives.see(there, now_ns),
            disks=look_at_disks(places),
            sinks=tuple(
                StuckSink(name, each.failing or f"it is {each.lag_s:.0f} s behind", each.behind)
                for name, each in sinks.items()
                if each.failing is not None
                or (each.lag_s > _BEHIND_S and each.state != "elsewhere")
            ),
        )

    def _step_here(self, facts: Facts, now_ns: int) -> int:
        rules = [rule for rule in self._settings.rules if rule.name in _LOCAL]
        found = {
            name: findings
            if findings is None
            else [
                structs.replace(each, labels={**each.labels, "machine": self._machine})
                for each in findings
            ]
            for name, findings in find(rules, facts).items()
        }
        memory, said = step(rules, found, self.outbox.kept.memory, self._turn(now_ns))
        told = self._tell(said)
        try:
            self.outbox.remember(memory)
        except OSError as error:
            _log.error("alerts cannot be remembered: %s", error)
        return told

    def _step_shared(self, facts: Facts, now_ns: int) -> tuple[int, Memory]:
        rules = [rule for rule in self._settings.rules if rule.name not in _LOCAL]
        found = find(rules, facts)
        told, memory = 0, Memory()

        def change(kept: bytes) -> bytes | None:
            nonlocal told, memory
            before = memory_of(kept)
            memory, said = step(rules, found, before, self._turn(now_ns))
            told = self._tell(said)
            old = now_ns - self._saved_ns >= _REFRESH_NS and memory.active != before.active
            if not old and essence(memory) == essence(before):
                return None
            self._saved_ns = now_ns
            return msgspec.json.encode(memory)

        self._memory.turn(change)
        return told, memory

    def _turn(self, now_ns: int) -> Turn:
        silences = (*self._settings.silences, *self._silences)
        return Turn(now_ns, self._settings.terms, silences, self._acknowledged)

    def _silenced(self, now_ns: int) -> tuple[Silence, ...]:
        return tuple(
            Silence(until_ns, rule, msgspec.json.decode(labels, type=dict[str, str]), id_, why, by)
            for id_, rule, labels, until_ns, why, by in self._memory.silenced(now_ns)
        )

    def _tell(self, said: tuple[Alert, ...]) -> int:
        try:
            fresh = self.outbox.add(notices(said), tuple(self._settings.sinks))
        except OSError as error:
            _log.error("what is to be told cannot be written down: %s", error)
            fresh = notices(said)
        for notice in fresh:
            for each in notice.alerts:
                _log_alert(each)
        return len(fresh)


def memory_of(kept: bytes) -> Memory:
    """What the store remembers; nothing where that is nothing, or cannot be read any more."""
    if not kept:
        return Memory()
    try:
        return msgspec.json.decode(kept, type=Memory)
    except msgspec.DecodeError as error:
        _log.error("what was told before cannot be read, and is told again: %s", error)
        return Memory()


def _log_alert(alert: Alert) -> None:
    told = {
        "rule": alert.rule,
        "severity": alert.severity,
        "labels": alert.labels,
        "value": alert.value,
        "threshold": alert.threshold,
        "todo": alert.todo,
        "runbook": alert.runbook,
    }
    grave = alert.status == "firing" and alert.severity != "info"
    level = logging.WARNING if grave else logging.INFO
    _log.log(level, "alert %s: %s", alert.status, alert.summary, extra={"fields": told})
