"""The engine of admission for many processes: everything is counted in Redis, in one step each.

One script looks at all limits of a request and takes afterwards, so a refusal has consumed nothing
and settled plus held never exceeds a budget, whoever else asks. A request waits for at most one
answer, and for no longer than `timeout_s`; while Redis is down (`shared_link`) it does not wait.

What holds:

- A hold outlives whoever made it. It is let go of by being settled, once; if that never happens,
  the control process finds it past its time (`shared_reaper`).
- A Redis that has forgotten everything admits no money until balances have been brought
  (`restore`). Requests that run then are held again by whoever runs them, and what was settled
  meanwhile is charged unless those balances have it in them already.
- What could not be told is told later, in order, and twice does no harm (`shared_untold`).
- Redis that is lost means `LimitsUnavailable` for whatever has a limit, or with a `spare` this
  process's own share of it (`shared_spare`).

Not covered: Redis Cluster; a failover that loses what its replica had not got yet; a Redis that is
allowed to evict keys before they expire (`maxmemory-policy` must be `noeviction`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct, structs

from tidegate.admission.engine import Ask, Awaited, Engine, Spent, Ticket
from tidegate.admission.redis_address import Address
from tidegate.admission.redis_line import Line, LineBroken, Question
from tidegate.admission.refusals import SOON_S, unknown_spending
from tidegate.admission.shared_asking import NOT_SEEDED, Asking, left, written
from tidegate.admission.shared_charges import Charges
from tidegate.admission.shared_link import Link, LinkState
from tidegate.admission.shared_parts import Keys, Part, Parts, Purse
from tidegate.admission.shared_scripts import ALL
from tidegate.admission.shared_seeds import STEP_S, Seeds, reheld, warn_of_eviction
from tidegate.admission.shared_spare import Spare, charge
from tidegate.admission.shared_ticket import Held
from tidegate.admission.shared_untold import Untold
from tidegate.clock import Clock, SystemClock
from tidegate.errors import LimitReached, LimitsUnavailable
from tidegate.limits import Balance, Budget, Limits, OpenHold, Rule, Scope

MOST_HEARD = 50_000
_NONE = Limits()


class SharedSettings(Struct, frozen=True):
    """How admission goes with Redis and without it."""

    timeout_s: float = 0.05
    """How long a request waits for Redis at most."""
    on_loss: Literal["fail_closed", "fail_open"] = "fail_closed"
    share: float = 0.1
    """What this process may use of each limit while Redis is lost: 0.1 for one of ten."""
    prefix: str = "tidegate"


class Shared:
    """Admission through the Redis at `url`, by `rules`; `run` must run beside.

    `spare` counts here while Redis is lost; it goes by `shared_spare.shares` of the rules, which
    whoever made it keeps so. `needs_balances` is called when Redis does not know what was spent;
    `restore` answers it. `monotonic` takes the place of Redis's own clock.

    Raises: `ValueError` when `url` is none.
    """

    def __init__(
        self,
        url: str,
        rules: Iterable[Rule],
        *,
        settings: SharedSettings | None = None,
        spare: Engine | None = None,
        needs_balances: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or SharedSettings()
        self.keys = Keys(self.settings.prefix)
        self.parts = Parts(rules, self.keys)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._rules = 0
        self._heard: dict[bytes, tuple[int, int]] = {}
        self._open: dict[str, Held] = {}
        self._epoch: object = None
        self._inspected: Line | None = None
        self._spare: Spare | None = None
        if spare is not None and self.settings.on_loss == "fail_open":
            self._spare = Spare(spare, self.settings.share, self._heard)
        scripts = [script.text for script in ALL]
        self.link = Link(
            Address.of(url), scripts, self.keys.probe, self._look_after,
            timeout_s=self.settings.timeout_s, draw=draw, on_loss=self._lost_link,
        )  # fmt: skip
        self.untold = Untold(self.link, self._loop.time, self.settings.timeout_s)
        self._charges = Charges(self.keys, self.untold, self._clock)
        self._seeds = Seeds(
            self.parts, needs_balances, self._clock, self._loop.time, learned=self._learned_spent
        )

    async def run(self) -> None:
        """Keep the way to Redis until cancelled."""
        await self.link.run()

    async def finish(self, patience_s: float = 1.0) -> bool:
        """Tell what is still to be told, as far as Redis takes it in time; false if it did not.

        Before a process ends, and before `run` is cancelled: what is left then is found by the
        control process only after its time.
        """
        self.untold.tell_all()
        return await self.link.is_heard(patience_s) and not len(self.untold)

    def state(self) -> LinkState:
        """How it goes, for the status board."""
        return self.link.state()

    @property
    def awaited(self) -> Awaited:
        """The budgets that stand and of which Redis does not know what was spent."""
        return frozenset(self.parts.unknown)

    @property
    def incomplete(self) -> bool:
        """Whether there are any."""
        return bool(self.parts.unknown)

    @property
    def running(self) -> int:
        """Requests of this process that hold money in Redis."""
        return len(self._open)

    @property
    def held_nanousd(self) -> int:
        """What these may still cost at most."""
        return sum(held.held_nanousd for held in self._open.values())

    def replace(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on; what has been counted stays."""
        self._rules += 1
        before = self.parts.budgets
        self.parts.replace(rules)
        self._seeds.drop(before)
        self.link.wake()

    def restore(
        self,
        balances: Iterable[Balance],
        *,
        awaited: Awaited | None = None,
        holds: Iterable[OpenHold] = (),
        as_of_ns: int | None = None,
    ) -> None:
        """Bring what was spent, to be told to Redis as far as it does not know.

        A budget that was not `awaited` when they were asked for waits on; None is all that is now.
        `holds` are requests that were running as of then and have not been settled. Everything
        that was recorded until `as_of_ns` must be in `balances`; by default that is when they
        were asked for.
        """
        names = self.parts.unknown if awaited is None else self.parts.unknown & awaited
        self._seeds.bring(list(balances), list(holds), as_of_ns, names)
        self.link.wake()

    def limited(self, scopes: Iterable[Scope]) -> bool:
        """Whether any limit at all stands on one of `scopes`."""
        return any(self.parts.limits(scope) != _NONE for scope in scopes)

    def paid(self, scopes: Iterable[Scope]) -> bool:
        """Whether a budget stands on one of `scopes`."""
        return any(self.parts.limits(scope).budgets for scope in scopes)

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None:
        """A budget that names a downgrade and of which, as last heard, the soft share is spent."""
        for part in self.parts.of(tuple(scopes), unix_ns):
            for purse in part.purses.values():
                budget, heard = purse.budget, self._heard.get(purse.spent_key)
                if budget.downgrade is None or heard is None or not part.known:
                    continue
                if heard[0] >= budget.soft * budget.nanousd:
                    return budget
        return None

    def admit(self, ask: Ask) -> asyncio.Future[Held]:
        """Hold everything of `ask`, or nothing.

        Raises: `LimitReached` and its kinds, `LimitsUnavailable`.
        """
        future: asyncio.Future[Held] = self._loop.create_future()
        parts = self.parts.of(ask.scopes, ask.unix_ns)
        held = Held(ask, [], ask.tokens, ask.nanousd, self._rules)
        if not parts:
            future.set_result(held)
            return future
        now_s = self._monotonic() if self._monotonic else None
        command = written(self.keys, held, [], parts, now_s=now_s)
        self._ask(held, [], command, parts, future)
        return future

    def extend(
        self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int
    ) -> asyncio.Future[None]:
        """Hold `tokens` and `nanousd` more on what `ticket` holds, and all of it on `scopes`.

        Those of `scopes` that it holds already are passed over.
        Raises: as `admit`; then the ticket is as it was.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        held, more = _ours(ticket), (tokens, nanousd)
        has = {part.scope for part in (*held.parts, *held.spare_parts)}
        scopes = [scope for scope in scopes if scope not in has]
        further = self.parts.of(scopes, held.ask.unix_ns)
        if held.settled or not (has or further):
            future.set_result(None)
        elif held.spare is not None:
            self._extend_here(held, further, more, future)
        else:
            now_s = self._monotonic() if self._monotonic else None
            already = self._of_now(held)
            command = written(self.keys, held, already, further, now_s=now_s, more=more)
            self._ask(held, already, command, further, future, more=more)
        return future

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None:
        """Charge what was spent and let go of the rest; a second time changes nothing."""
        held = _ours(ticket)
        if held.settled:
            return
        held.settled = True
        self._open.pop(held.ask.request_id, None)
        if held.spare is not None and self._spare is not None:
            self._spare.settle(held.spare, spent)
            self._charges.charge(held, "spare", held.spare_purses(), spent)
            self._note_spent(held.spare_purses(), spent, 0)
        if held.parts:
            purses = held.purses()
            self._charges.settle(held, purses, spent)
            self._note_spent(purses, spent, held.nanousd)
        if held.rules != self._rules:
            self._charge_new(held, spent)

    # What Redis answers: called by `Asking`.

    def ask(self, question: Question) -> None:
        """Ask in this turn. Raises: `LineBroken`."""
        self.link.ask(question)

    def went_well(self) -> None:
        """It answered in time."""
        self.link.went_well()

    def admitted(self, asking: Asking, answer: list[Any]) -> None:
        """Redis holds it: complete the ticket and hand it over."""
        held, (_, epoch, requests, tokens, _) = asking.held, answer
        first = not held.parts
        if first:
            held.requests = left(asking.parts, requests, _requests)
            held.tokens = left(asking.parts, tokens, _tokens)
        self._hold(held, asking, epoch)
        asking.future.set_result(None if asking.extends else held)

    def unknown(self, asking: Asking, answer: int) -> None:
        """Redis has forgotten money, or the hold itself."""
        if answer == NOT_SEEDED:
            self._learn(None, frozenset())
        self.link.wake()
        paying = next(part for part in asking.parts if part.purses or answer != NOT_SEEDED)
        asking.future.set_exception(unknown_spending(paying.scope))

    def lost(self, asking: Asking, why: str, *, late: bool = False) -> None:
        """Go on without Redis, or not at all."""
        if late:
            self.link.failed(why)
        if asking.future.done():
            return
        if asking.extends:  # it may be held in Redis by now, so it must not be held here too
            asking.future.set_exception(_unavailable())
        else:
            self._without(asking.held, asking.further, asking.future, None)

    def orphaned(self, held: Held) -> None:
        """Let go of what Redis may hold for nobody."""
        if not held.parts:
            self._charges.let_go(held)

    def heard(self, parts: Sequence[Part], money: list[Any]) -> None:
        """Remember what budgets have spent and held, for when Redis is lost and for `soft`."""
        if not money:
            return
        heard, at = self._heard, 0
        for part in parts:
            for purse in part.purses.values():
                if len(heard) >= MOST_HEARD and purse.spent_key not in heard:
                    del heard[next(iter(heard))]
                heard[purse.spent_key] = money[at], money[at + 1]
                at += 2

    def _ask(
        self,
        held: Held,
        already: list[Part],
        command: bytes,
        parts: list[Part],
        future: asyncio.Future[Any],
        *,
        more: tuple[int, int] | None = None,
    ) -> None:
        for part in parts:
            if not part.known:
                self.link.wake()
                if self.link.is_up or self._spare is None:
                    future.set_exception(unknown_spending(part.scope))
                    return
        deadline_s = self._loop.time() + self.settings.timeout_s
        try:
            self.link.ask(
                Asking(
                    self, held, command, already, parts,
                    deadline_s=deadline_s, future=future, more=more,
                )
            )  # fmt: skip
        except LineBroken:
            self._without(held, parts, future, more)

    def _of_now(self, held: Held) -> list[Part]:
        """The parts that `held` holds, with the limits of now."""
        if held.rules == self._rules:
            return held.parts
        scopes = [part.scope for part in held.parts]
        now = {part.scope: part for part in self.parts.of(scopes, held.ask.unix_ns)}
        return [now.get(part.scope, part) for part in held.parts]

    def _hold(self, held: Held, asking: Asking, epoch: object) -> None:
        held.epoch = epoch
        held.parts = asking.parts
        held.tokens_taken += asking.more_tokens
        held.nanousd += asking.more_nanousd
        if any(part.purses for part in held.parts):
            held.held_nanousd = held.nanousd
            self._open[held.ask.request_id] = held
            if epoch != self._epoch:
                self.link.wake()

    def _without(
        self,
        held: Held,
        parts: list[Part],
        future: asyncio.Future[Any],
        more: tuple[int, int] | None,
    ) -> None:
        """Admit on this process's share, if it has one."""
        paid = any(part.purses for part in parts)
        if self._spare is None or (paid and self.untold.is_filling):
            future.set_exception(_unavailable())
        elif more is not None:
            self._extend_here(held, parts, more, future)
        else:
            try:
                held.spare = self._spare.admit(held.ask, parts)
            except (LimitReached, LimitsUnavailable) as error:
                future.set_exception(error)
                return
            held.spare_parts = parts
            held.requests, held.tokens = held.spare.ticket.requests, held.spare.ticket.tokens
            if any(part.purses for part in parts):
                held.held_nanousd = held.nanousd
            future.set_result(held)

    def _extend_here(
        self, held: Held, further: list[Part], more: tuple[int, int], future: asyncio.Future[Any]
    ) -> None:
        """Hold more on this process's share; what Redis holds stays as it is."""
        spare = self._spare
        if spare is None:
            raise RuntimeError("a ticket is held by a spare engine that is gone")
        tokens, nanousd = more
        all_tokens, all_nanousd = held.tokens_taken + tokens, held.nanousd + nanousd
        try:
            if held.spare is None:
                scopes = tuple(part.scope for part in further)
                ask = structs.replace(
                    held.ask, scopes=scopes, tokens=all_tokens, nanousd=all_nanousd
                )
                held.spare = spare.admit(ask, further, held.purses(), nanousd)
            else:
                spare.extend(held.spare, further, tokens=tokens, nanousd=(nanousd, all_nanousd))
        except (LimitReached, LimitsUnavailable) as error:
            future.set_exception(error)
            return
        held.spare_parts = [*held.spare_parts, *further]
        held.tokens_taken, held.nanousd = all_tokens, all_nanousd
        if any(part.purses for part in (*held.parts, *held.spare_parts)):
            held.held_nanousd = all_nanousd
        future.set_result(None)

    def _charge_new(self, held: Held, spent: Sequence[Spent]) -> None:
        """Charge budgets that came to stand while the request ran."""
        before = {purse.spent_key for purse in (*held.purses(), *held.spare_purses())}
        scopes = dict.fromkeys(
            (*held.ask.scopes, *(part.scope for part in (*held.parts, *held.spare_parts)))
        )
        now = self.parts.of(tuple(scopes), held.ask.unix_ns)
        purses = [p for part in now for p in part.purses.values() if p.spent_key not in before]
        self._charges.charge(held, "new", purses, spent)

    # What is done beside requests: called by `Link`.

    def _lost_link(self) -> None:
        if self._spare is not None:
            self._spare.begin()

    async def _look_after(self, line: Line) -> None:
        """Learn what Redis knows, tell it what it does not. Raises: `LineBroken`, `NotRedis`."""
        if line is not self._inspected:
            self._inspected = line
            warn_of_eviction(await line.call(b"INFO", b"memory", timeout_s=STEP_S))
        epoch, known = await self._seeds.look(line)
        self._learn(epoch, known)
        if epoch is None and self.parts.budgets:
            return
        # Without an epoch no money is counted, and what is held must not be: it would be settled
        # beside balances that have it in them.
        for held in self._open.values() if epoch is not None else ():
            if held.epoch != epoch:
                held.epoch = epoch
                self.untold.tell(*reheld(self.keys, held, self._clock.now_ns()), lambda _: True)
        self.untold.tell_all()

    def _note_spent(self, purses: Iterable[Purse], spent: Sequence[Spent], held: int) -> None:
        """Go on from what was heard: Redis may be lost before it is heard again."""
        for purse in purses:
            heard = self._heard.get(purse.spent_key)
            if heard is not None:
                left_held = max(0, heard[1] - held)
                self._heard[purse.spent_key] = heard[0] + charge(purse, spent), left_held

    def _learned_spent(self, key: bytes, nanousd: int) -> None:
        """As Redis is told: what it knows is never lowered."""
        heard = self._heard.get(key)
        if heard is not None:
            self._heard[key] = max(heard[0], nanousd), heard[1]
        elif len(self._heard) < MOST_HEARD:
            self._heard[key] = nanousd, 0

    def _learn(self, epoch: object, known: frozenset[bytes]) -> None:
        self._epoch = epoch
        self.parts.learn(known if epoch is not None else frozenset())


def _unavailable() -> LimitsUnavailable:
    return LimitsUnavailable("Limits cannot be looked at now.", retry_after_s=SOON_S)


def _requests(part: Part) -> dict[int, Any]:
    return part.requests


def _tokens(part: Part) -> dict[int, Any]:
    return part.tokens


def _ours(ticket: Ticket) -> Held:
    if not isinstance(ticket, Held):
        raise TypeError(f"{type(ticket).__name__} was not made by this engine")
    return ticket
