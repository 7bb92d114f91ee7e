"""A simulated world for lanes: a clock, requests that arrive, a target of known capacity."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.errors import Overloaded, UpstreamRateLimited
from tidegate.policy.slots.lane import Lane, Slot
from tidegate.policy.slots.line import Waiting


class World:
    """Time that passes only when something happens."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, wait_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + wait_s, next(self._numbers), event))

    def every(self, gap_s: Callable[[], float], event: Callable[[], None], until_s: float) -> None:
        def tick() -> None:
            event()
            wait_s = gap_s()
            if self.now_s + wait_s < until_s:
                self.after(wait_s, tick)

        self.after(gap_s(), tick)

    def run(self) -> None:
        while self._events:
            self.now_s, _, event = heapq.heappop(self._events)
            event()


@dataclass
class Target:
    """`places` requests are worked on at once; the others wait inside it, or are refused.

    A first token takes `first_s` of a place, the rest of the answer `rest_s` more.
    """

    world: World
    places: int
    first_s: float
    rest_s: float
    refuses: bool = False
    draw: random.Random = field(default_factory=lambda: random.Random(4))
    running: int = 0
    most: int = 0
    inside: deque[Callable[[], None]] = field(default_factory=deque[Callable[[], None]])

    @property
    def per_s(self) -> float:
        """What it answers at best."""
        return self.places / (self.first_s + self.rest_s)

    def ask(self, asked: Asked, slot: Slot) -> None:
        if self.refuses and self.running >= self.places:
            self.world.after(0.01, lambda: asked.refused(slot))
            return
        self.most = max(self.most, self.running + len(self.inside) + 1)

        def work() -> None:
            self.running += 1
            spread = self.draw.uniform(0.7, 1.3)
            self.world.after(spread * self.first_s, lambda: slot.answered(self.world.now_s))
            self.world.after(spread * (self.first_s + self.rest_s), end)

        def end() -> None:
            self.running -= 1
            asked.ended(slot)
            if self.inside:
                self.inside.popleft()()

        if self.running < self.places:
            work()
        else:
            self.inside.append(work)


@dataclass
class Asked:
    """One request, and what became of it when."""

    world: World
    lane: Lane
    target: Target
    user: str
    patience_s: float
    owner: str = "team"
    priority: str = "interactive"
    began_s: float = 0.0
    ended_s: float | None = None
    error: str | None = None
    retry_after_s: float | None = None

    def come(self) -> None:
        self.began_s = self.world.now_s
        try:
            taken = self.lane.take(
                self.owner,
                self.user,
                self.began_s,
                priority=self.priority,
                deadline_s=self.began_s + self.patience_s,
            )
        except Overloaded as error:
            self.error, self.retry_after_s = error.message, error.retry_after_s
            return
        if isinstance(taken, Slot):
            self.target.ask(self, taken)
        else:
            self.look(taken)

    def look(self, waiting: Waiting[Slot]) -> None:
        """Look for the turn in steps: a world without an event loop has no futures."""
        if waiting.slot is not None:
            self.target.ask(self, waiting.slot)
        elif waiting.error is not None:
            self.error = waiting.error.message
        else:
            self.world.after(0.02, lambda: self.look(waiting))

    def ended(self, slot: Slot) -> None:
        self.ended_s = self.world.now_s
        slot.succeeded(self.ended_s)

    def refused(self, slot: Slot) -> None:
        self.error = "429"
        slot.failed(UpstreamRateLimited("too many"), self.world.now_s)

    @property
    def good(self) -> bool:
        """Whether it was answered within its patience."""
        return self.ended_s is not None and self.ended_s - self.began_s <= self.patience_s

    @property
    def took_s(self) -> float:
        assert self.ended_s is not None
        return self.ended_s - self.began_s


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
