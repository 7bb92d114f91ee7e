"""The lanes of all targets, for as long as the process lives: reloads change only settings."""

from __future__ import annotations

import asyncio

from tidegate.policy.slots.lane import Lane, LaneSettings, LaneState

LIMIT = 1000
"""Most lanes that are remembered."""
EVERY_S = 0.05


class Slots:
    """The lane of every target, by name. Beyond `limit` one that is idle is forgotten."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._lanes: dict[str, Lane] = {}
        self._limit = limit

    def of(self, name: str, settings: LaneSettings) -> Lane:
        """The lane of the target `name` (`Target.name`), from now on under `settings`.

        Of two aliases that set a target differently, the last one that asks decides.
        """
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= self._limit:
                self._forget()
            self._lanes[name] = lane = Lane(name, settings)
        elif lane.settings is not settings:
            lane.settings = settings
        return lane

    def get(self, name: str) -> Lane | None:
        """The lane of the target `name`, if there is one."""
        return self._lanes.get(name)

    def sweep(self, now_s: float, lag_s: float = 0.0) -> None:
        """Look after those who wait. One that waits for its time learns of it by this.

        `lag_s` is how late the event loop is: no target's fault.
        """
        for lane in self._lanes.values():
            lane.lag_s = max(lane.lag_s, lag_s)
            if not lane.open:
                lane.sweep(now_s)

    async def run(self, every_s: float = EVERY_S) -> None:
        """Sweep until cancelled, then refuse everybody who still waits."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                due_s = loop.time() + every_s
                await asyncio.sleep(every_s)
                now_s = loop.time()
                self.sweep(now_s, max(0.0, now_s - due_s))
        finally:
            self.drain()

    def drain(self) -> None:
        """Refuse everybody who waits, with `Draining`."""
        for lane in self._lanes.values():
            lane.line.drain()

    def snapshot(self) -> tuple[LaneState, ...]:
        """Every lane as the status board shows it, by name."""
        return tuple(self._lanes[name].snapshot() for name in sorted(self._lanes))

    def _forget(self) -> None:
        """Make room: a lane in use is only let go when all are; its slots come back to it still."""
        idle = (name for name, lane in self._lanes.items() if not lane.running + lane.line.count)
        del self._lanes[next(idle, next(iter(self._lanes)))]
