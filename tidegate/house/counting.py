"""Where limits are counted: in this process, or in Redis for all processes together."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time_ns

from tidegate.admission.apart import Apart
from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Awaited, Engine
from tidegate.admission.shared import Shared, SharedSettings
from tidegate.admission.shared_spare import shares
from tidegate.config.model import Config
from tidegate.ledger.segment import lock
from tidegate.limits import Owed, Rule

SEAT_FILE = "counting.lock"
"""Whoever holds it counts alone for the spool that it lies beside."""

_log = logging.getLogger("tidegate.house")


@dataclass(slots=True)
class _Need:
    """Whether Redis has been found not to know what was spent."""

    stands: bool = False

    def note(self) -> None:
        """It has."""
        self.stands = True


@dataclass(frozen=True, slots=True)
class Counting:
    """The engine of one process, and what it counts by while Redis is lost."""

    engine: Engine
    shared: Shared | None = None
    spare: Embedded | None = None
    _need: _Need = field(default_factory=_Need)
    _seat: int | None = None
    """The open file by whose lock nobody else counts here; it is let go with the process."""

    @classmethod
    def of(cls, config: Config, processes: int | None = None) -> Counting:
        """As the configuration says at the start: a reload does not change it.

        `processes` is how many gateways there are if they were started by an older configuration.
        """
        settings = config.shared
        if settings is None and (processes or config.server.workers) > 1:
            return cls(Apart((), monotonic=monotonic))
        if settings is None:
            seat = _take_seat(config.spool.directory)
            if seat is None:
                _log.error("another gateway counts beside this spool: without `shared`, one may")
                return cls(Apart((), monotonic=monotonic))
            return cls(Embedded((), monotonic=monotonic), _seat=seat)
        spare, need = Embedded((), monotonic=monotonic), _Need()
        shared = Shared(
            settings.url.reveal(),
            (),
            settings=SharedSettings(
                timeout_s=settings.timeout, on_loss=settings.on_loss, share=settings.share
            ),
            spare=spare,
            needs_balances=need.note,
        )
        return cls(shared, shared, spare, need)

    @classmethod
    def alone(cls) -> Counting:
        """In this process only."""
        return cls(Embedded((), monotonic=monotonic))

    def go_by(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on; what has been counted stays."""
        rules = tuple(rules)
        self.engine.replace(rules)
        if rules and isinstance(self.engine, Apart):
            _log.error(
                "several gateway processes keep no limits without `shared`: what limits cover is"
                " refused"
            )
        if self.shared is not None and self.spare is not None:
            self.spare.replace(shares(rules, self.shared.settings.share))

    @property
    def waits(self) -> bool:
        """Whether what was spent has to be told."""
        return bool(self.engine.awaited) if self.shared is None else self._need.stands

    async def begin_with(self, owed: Owed, awaited: Awaited) -> None:
        """Go on from what was spent, and from what was held just now: in steps, for there is much.

        `awaited` is what the engine awaited when this was asked for: rules may have changed since.
        """
        if isinstance(self.engine, Embedded):
            await _in_steps(self.engine.restoring(owed.balances, awaited=awaited))
        if self.shared is None:
            return
        self._need.stands = False
        # All that was held then is told too, so nothing that ended before now is missing in it.
        self.shared.restore(owed.balances, awaited=awaited, holds=owed.holds, as_of_ns=time_ns())

    async def run(self) -> None:
        """Keep what is shared until cancelled."""
        if self.shared is not None:
            await self.shared.run()

    async def finish(self) -> None:
        """Tell what is still to be told, before `run` is cancelled."""
        if self.shared is not None:
            await self.shared.finish()


async def _in_steps(steps: Iterable[None]) -> None:
    """Go through `steps`; requests go on between them.

    What is made lasts: to look through it for garbage would hold up requests for longer than it.
    """
    gc.disable()
    try:
        for _ in steps:
            await asyncio.sleep(0)
        gc.freeze()
    finally:
        gc.enable()


def _take_seat(directory: Path) -> int | None:
    """The lock of the one that counts, held until the process ends; None if another has it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory / SEAT_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _log.error("the spool's directory cannot be used: %s", error)
        return None
    if lock(fd):
        return fd
    os.close(fd)
    return None
