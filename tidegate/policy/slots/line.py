"""The queue before one target: bounded in all, for each user and in time; fair, by priority.

Full, there is still room for who has least of it: a batch request makes way for an interactive
one as long as batch has more than its part, and of one kind the last one of the owner with most
makes way for an owner with less than its share.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

from tidegate.errors import Draining, Overloaded
from tidegate.policy.slots.fair import FairQueue

BATCH: Final = "batch"
STALE: Final = 64
"""How many of those whose time no longer matters are kept before they are looked for."""

LATE = "No turn at this model came in time."
NEVER = "No turn at this model would come in time."
FULL = "Too many requests wait for this model."
ONE = "Too many requests of one user wait for this model."


class QueueSettings(Struct, frozen=True):
    """Who may wait for a turn."""

    length: int = 1000
    per_user: int = 100
    wait_s: float = 10.0
    """The longest wait, whatever the request's deadline."""
    batch_turn: int = 10
    """Of so many turns while both wait, one is a batch request's; so of the places."""


class Place(Protocol):
    """What a request that waits gets in the end."""

    def cancelled(self, now_s: float) -> None:
        """Give it back unused."""
        ...


P = TypeVar("P", bound=Place)


class Waiting(Struct, Generic[P], eq=False):
    """A request in the queue: until it has a `slot`, or an `error`, or has left."""

    line: Line[P]
    owner: str
    user: str
    batch: bool
    by_s: float
    """When it is too late to begin."""
    slot: P | None = None
    error: Overloaded | Draining | None = None
    waits: bool = True
    called: asyncio.Future[None] | None = None

    async def turn(self) -> P:
        """The slot, when its turn comes; whoever is cancelled meanwhile has left.

        Raises: `Overloaded` when it does not come in time, `Draining`.
        """
        loop = asyncio.get_running_loop()
        if self.waits:
            self.called = loop.create_future()
            try:
                await self.called
            except BaseException:
                self.leave(loop.time())
                raise
        if self.slot is None:
            raise self.error or Overloaded(LATE)
        return self.slot

    def leave(self, now_s: float) -> None:
        """Wait no more; a slot that it has got meanwhile is given back."""
        if self.slot is not None:
            self.slot.cancelled(now_s)
        elif self.waits:
            self.waits = False
            self.line.forget(self)

    def end(self, slot: P | None, error: Overloaded | Draining | None) -> None:
        """Its wait is over."""
        self.waits, self.slot, self.error = False, slot, error
        if self.called is not None and not self.called.done():
            self.called.set_result(None)


class Line(Generic[P]):
    """Who waits. `drain_per_s` is how fast turns come: by it waits are foretold."""

    __slots__ = ("_batch", "_batch_turns", "_due", "_interactive", "_joined", "refused", "settings")

    def __init__(self, settings: QueueSettings) -> None:
        self.settings = settings
        self.refused = 0
        """Requests that were ever told to come later."""
        self._interactive: FairQueue[Waiting[P]] = FairQueue()
        self._batch: FairQueue[Waiting[P]] = FairQueue()
        self._batch_turns = 0
        self._due: list[tuple[float, int, Waiting[P]]] = []
        self._joined = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return self._interactive.count + self._batch.count

    @property
    def joined(self) -> int:
        """How many ever waited."""
        return self._joined

    def join(
        self, waiting: Waiting[P], weight: int, now_s: float, usual_s: float, drain_per_s: float
    ) -> None:
        """Let `waiting` wait; its `by_s` is the end of its time, and becomes that of its wait.

        Raises: `Overloaded` when there is no place for it, or its turn would not come in time.
        """
        settings = self.settings
        owner, user, batch = waiting.owner, waiting.user, waiting.batch
        queue = self._batch if batch else self._interactive
        of_owner, of_user, _ = queue.waiting(owner, user)
        wait_s = self.wait_s(owner, user, batch=batch, weight=weight, drain_per_s=drain_per_s)
        if of_user >= settings.per_user:
            raise self._overloaded(ONE, wait_s)
        waiting.by_s = min(now_s + settings.wait_s, waiting.by_s - usual_s)
        if now_s + wait_s > waiting.by_s:
            raise self._overloaded(NEVER, wait_s)
        if self.count >= settings.length:
            last = self._last(of_owner, weight, batch=batch)
            if last is None:
                raise self._overloaded(FULL, wait_s)
            self._queue(last).leave(last.owner, last.user, last)
            last.end(None, self._overloaded(FULL, wait_s))
        queue.join(owner, user, weight, waiting)
        self._joined += 1
        if len(self._due) > 2 * self.count + STALE:
            self._due = [entry for entry in self._due if entry[2].waits]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (waiting.by_s, self._joined, waiting))

    def next(self) -> Waiting[P]:
        """Whose turn it is: interactive ones first, but for one turn in `batch_turn`.

        Raises: `IndexError` when nobody waits.
        """
        if self._batch.count and self._interactive.count:
            self._batch_turns += 1
            if self._batch_turns < self.settings.batch_turn:
                return self._interactive.next()
            self._batch_turns = 0
            return self._batch.next()
        return (self._interactive if self._interactive.count else self._batch).next()

    def forget(self, waiting: Waiting[P]) -> None:
        """It waits no more."""
        self._queue(waiting).leave(waiting.owner, waiting.user, waiting)

    def expire(self, now_s: float, drain_per_s: float) -> None:
        """Refuse those whose time is up; costs nothing while nobody waits."""
        due = self._due
        while due and (due[0][0] <= now_s or not due[0][2].waits):
            waiting = heapq.heappop(due)[2]
            if waiting.waits:
                self.forget(waiting)
                self.refuse(waiting, drain_per_s)

    def refuse(self, waiting: Waiting[P], drain_per_s: float) -> None:
        """Tell one that waits no more that it was too late."""
        wait_s = self.wait_s(
            waiting.owner, waiting.user, batch=waiting.batch, weight=1, drain_per_s=drain_per_s
        )
        waiting.end(None, self._overloaded(LATE, wait_s))

    def drain(self) -> None:
        """Refuse everybody: the gateway stops."""
        while self.count:
            self.next().end(None, Draining("The gateway is stopping; ask again."))
        self._due.clear()

    def wait_s(
        self, owner: str, user: str, *, batch: bool, weight: int, drain_per_s: float
    ) -> float:
        """How long one more would wait, if those who wait now are all; 0.0 if nobody can tell."""
        if not drain_per_s:
            return 0.0
        settings, queue = self.settings, self._batch if batch else self._interactive
        of_owner, of_user, users = queue.waiting(owner, user)
        users += not of_user
        weights = queue.weights + (0 if of_owner else weight)
        turns = min((of_user + 1) * users * weights / weight, queue.count + 1.0)
        if batch:
            turns += min(turns * (settings.batch_turn - 1), self._interactive.count)
        else:
            turns += min(turns / settings.batch_turn, self._batch.count)
        return turns / drain_per_s

    def _last(self, of_owner: int, weight: int, *, batch: bool) -> Waiting[P] | None:
        """Who makes way in a full queue; None when nobody has more of it than the one who comes."""
        part = self.settings.length / self.settings.batch_turn
        if batch and self._batch.count < part:
            return self._interactive.youngest_of_most()
        if not batch and self._batch.count > part:
            return self._batch.youngest_of_most()
        queue = self._batch if batch else self._interactive
        weights = queue.weights + (0 if of_owner else weight)
        if (of_owner + 1) * weights <= queue.count * weight:
            return queue.youngest_of_most()
        return None

    def _queue(self, waiting: Waiting[P]) -> FairQueue[Waiting[P]]:
        return self._batch if waiting.batch else self._interactive

    def _overloaded(self, message: str, wait_s: float) -> Overloaded:
        self.refused += 1
        return Overloaded(message, retry_after_s=wait_s or self.settings.wait_s)
