"""The passes over the spool: one at a time, whoever wants one, and tried again if they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time_ns

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tidegate.alerts.objectives import Objective
from tidegate.alerts.settings import AlertSettings
from tidegate.control import reckoning
from tidegate.control.admin.configured import ConfigurationFile, Configured
from tidegate.control.admin.publish import rule_of
from tidegate.control.loader import Loader
from tidegate.control.measures import Measures
from tidegate.control.metrics import Pass
from tidegate.control.sinks import settings as sink_settings
from tidegate.limits import Rule
from tidegate.store.database import Database
from tidegate.store.records import RecordStore
from tidegate.store.spools import SpoolStore
from tidegate.store.tables.admin import rules
from tidegate.telemetry.explanation.shape import Explanation
from tidegate.telemetry.record import Record

_SAYS_S = 60.0
"""How often a control process says that it is there."""

_log = logging.getLogger("tidegate.control")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the control process needs of the configuration."""

    store: str
    """URL of the database."""
    spool: Path
    """Directory of the segments."""
    configured: Callable[[], Configured] = Configured
    """What the admin API has to know of the configuration."""
    terms: reckoning.Terms = field(default_factory=reckoning.Terms)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    sinks: sink_settings.Sinks = field(default_factory=dict[str, sink_settings.Settings])
    host: str = "127.0.0.1"
    """Where the process listens."""
    address: str | None = None
    """Where people reach the console from elsewhere."""
    gateways: int | None = None
    """How many gateway processes there are to be; None where nobody says."""
    shared: str | None = None
    """URL of the Redis in which gateways count together; None where each counts for itself."""
    file: ConfigurationFile | None = None
    """The configuration's own file, whose versions are kept."""
    explained: Callable[[Record, Database], Explanation] | None = None
    """Why the request of a record went as it did; None where the configuration is not known."""


@dataclass(slots=True)
class State:
    """How the loading goes; `GET /healthz` shows it."""

    loaded: int = 0
    """Records loaded since the process began."""
    failing: str | None = None
    """Why the last pass over the spool failed; None when it did not."""


class Loading:
    """What loads, and what reckons with what was loaded."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._configured = settings.configured
        self.store = RecordStore(settings.store)
        self.measures = Measures(expected=self._expected)
        self._loader = Loader(
            settings.spool, self.store, measures=self.measures, objectives=self.objectives
        )
        self._passed_s = monotonic()
        self._spools = SpoolStore(self.store.database) if settings.shared else None
        self._answered: tuple[int, float] | None = None
        self.reckoning = reckoning.Reckoning(
            self.store,
            load=self.once,
            spool=lambda: self._loader.spool,
            rules=self.rules,
            terms=settings.terms,
            elsewhere=self._spools,
            lost=self.measures.lose,
            judged=self.measures.judge,
        )
        self._state = state
        self._turn = asyncio.Lock()
        self.created = asyncio.Event()
        """Set when the store is there."""
        self.owned = asyncio.Event()
        """Set when the spool has been ours."""

    @property
    def spool(self) -> str:
        """What the spool is called in the store; empty until it is ours."""
        return self._loader.spool

    async def once(self) -> bool:
        """Load what is in the spool now; whether that could be done."""
        async with self._turn:
            began_s = monotonic()
            try:
                if not self.created.is_set():
                    await asyncio.to_thread(self.store.create)
                    self.created.set()
                new = await asyncio.to_thread(self._load)
            except (OSError, SQLAlchemyError) as error:
                _note_failure(self._state, str(error))
                return False
            _note_pass(self._state, new)
            if new is not None:
                self._passed_s = began_s
                self.owned.set()
            return new is not None

    def _load(self) -> int | None:
        asked = self._spools.asked() if self._spools else 0
        new = self._loader.load()
        if self._spools is not None and new is not None:
            told, at_s = self._answered or (-1, 0.0)
            if asked != told or monotonic() >= at_s + _SAYS_S:
                self._spools.answer(self._loader.spool, asked, time_ns())
                self._answered = asked, monotonic()
        return new

    def passing(self) -> Pass:
        """How it goes, for the measures."""
        lag_s = round(monotonic() - self._passed_s, 3)
        state = self._state
        return Pass(state.loaded, state.failing is not None, lag_s, self._loader.waiting())

    async def keep(self) -> None:
        """Settle what was lost, delete what nobody needs any more."""
        try:
            await self.reckoning.keep()
        except SQLAlchemyError as error:
            _log.error("losses are not settled, nor old rows deleted: %s", error)

    def objectives(self) -> Mapping[str, Objective]:
        """What is promised of aliases now."""
        return self._configured().objectives

    def _expected(self) -> Mapping[str, Objective | None]:
        configured = self._configured()
        return {alias: configured.objectives.get(alias) for alias in configured.aliases}

    def rules(self) -> list[Rule]:
        """Limits that stand now. Raises: `SQLAlchemyError`."""
        ours = self._configured().rules
        taken = {(rule.kind, rule.name) for rule in ours}
        with self.store.database.reading() as connection:
            others = [rule_of(row) for row in connection.execute(select(rules))]
        return [*ours, *(rule for rule in others if (rule.kind, rule.name) not in taken)]

    def close(self) -> None:
        """Let go of the spool and the store."""
        self._loader.close()
        self.store.close()


def _note_failure(state: State, why: str) -> None:
    if state.failing is None:
        _log.error("records stay in the spool, to be loaded later: %s", why)
    state.failing = why


def _note_pass(state: State, new: int | None) -> None:
    if new is None:
        _note_failure(state, "another control process is loading this spool")
        return
    if state.failing is not None:
        _log.warning("records are loaded again")
    state.failing = None
    state.loaded += new
