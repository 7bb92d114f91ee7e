"""One question of admission to Redis: written, waited for, and understood.

Who asks waits until the answer or the time is up. An admission that is answered later than that is
let go of at once: nobody goes on with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

from tidegate.admission.engine import Left
from tidegate.admission.rates import Counter, whole
from tidegate.admission.redis_line import LineBroken, Question
from tidegate.admission.redis_words import Complaint, bulk
from tidegate.admission.refusals import (
    budget_reached,
    concurrency_reached,
    rate_name,
    rate_reached,
    steps_reached,
)
from tidegate.admission.shared_parts import KEPT_MS, Keys, Part
from tidegate.admission.shared_scripts import ADMIT
from tidegate.admission.shared_ticket import Held
from tidegate.admission.shared_untold import unpacked
from tidegate.errors import LimitReached
from tidegate.limits import DAY_S

ADMITTED, REACHED, NOT_SEEDED, NO_HOLD = range(4)
_FIRST_PLACE = 4
_NS_PER_MS = 1_000_000
_ALREADY, _FURTHER = bulk(b"x"), bulk(b"n")
_NOT, _YES, _EMPTY = bulk(b"0"), bulk(b"1"), bulk(b"")


class Asker(Protocol):
    """Who decides what follows from an answer: the engine."""

    def ask(self, question: Question) -> None:
        """Ask in this turn. Raises: `LineBroken`."""
        ...

    def went_well(self) -> None:
        """It answered in time."""
        ...

    def admitted(self, asking: Asking, answer: list[Any]) -> None:
        """Redis holds it."""
        ...

    def unknown(self, asking: Asking, answer: int) -> None:
        """Redis does not know the money, or the hold that was to be extended."""
        ...

    def lost(self, asking: Asking, why: str, *, late: bool = False) -> None:
        """No answer in time, or none that says anything."""
        ...

    def orphaned(self, held: Held) -> None:
        """Redis may hold what nobody goes on with."""
        ...

    def heard(self, parts: Sequence[Part], money: list[Any]) -> None:
        """What the budgets of `parts` have spent and held."""
        ...


class Asking:
    """A question to admit `held`, or to hold more for it."""

    __slots__ = (
        "_asker",
        "already",
        "command",
        "deadline_s",
        "done",
        "extends",
        "further",
        "future",
        "gave_up",
        "held",
        "more_nanousd",
        "more_tokens",
    )  # fmt: skip

    def __init__(
        self,
        asker: Asker,
        held: Held,
        command: bytes,
        already: list[Part],
        further: list[Part],
        *,
        deadline_s: float,
        future: asyncio.Future[Any],
        more: tuple[int, int] | None = None,
    ) -> None:
        self.command = command
        self.deadline_s = deadline_s
        self.done = False
        self.held = held
        self.already = already
        """What the ticket holds, by the limits of now."""
        self.further = further
        self.future = future
        self.extends = more is not None
        self.more_tokens, self.more_nanousd = more or (0, 0)
        self.gave_up = False
        self._asker = asker

    @property
    def parts(self) -> list[Part]:
        """In the order of the command's keys."""
        return [*self.already, *self.further]

    def answered(self, answer: object) -> None:
        """Understand it."""
        if isinstance(answer, Complaint):
            self._complained(answer)
            return
        words: list[Any] = unpacked(answer)
        if not self.gave_up:
            self._asker.went_well()
        verdict = words[0]
        if verdict == ADMITTED:
            self._asker.heard(self.parts, words[4])
            if self.future.done():
                self._asker.orphaned(self.held)
            else:
                self._asker.admitted(self, words)
            return
        if verdict == REACHED:
            self._asker.heard(self.parts, words[2])
            if not self.future.done():
                self.future.set_exception(self._gravest(words[1]))
        elif not self.future.done():
            self._asker.unknown(self, verdict)

    def overdue(self) -> None:
        """Give up waiting."""
        if not self.gave_up:
            self.gave_up = True
            self._asker.lost(self, "it did not answer in time", late=True)

    def broken(self, why: str) -> None:
        """It may have been heard, or not."""
        if not self.already:
            self._asker.orphaned(self.held)
        if not self.gave_up:
            self.gave_up = True
            self._asker.lost(self, why)

    def _complained(self, complaint: Complaint) -> None:
        if self.gave_up:
            return
        if complaint.code == "NOSCRIPT":
            self.command = ADMIT.again(self.command)
            self.done = False
            try:
                self._asker.ask(self)
            except LineBroken as broken:
                self.broken(str(broken))
            return
        self.gave_up = True
        self._asker.lost(self, str(complaint)[:200], late=True)

    def _gravest(self, reached: list[list[Any]]) -> LimitReached:
        """Of several limits the one that is in the way for the longest time."""
        errors = [self._error(*words) for words in reached]
        return max(errors, key=lambda e: math.inf if e.retry_after_s is None else e.retry_after_s)

    def _error(self, place: int, what: str, *words: Any) -> LimitReached:
        part, at = located(self.parts, place)
        again = part in self.already
        tokens = self.more_tokens if again else self.held.tokens_taken + self.more_tokens
        nanousd = self.more_nanousd if again else self.held.nanousd + self.more_nanousd
        if what == "c":
            return concurrency_reached(part.scope, part.limits.concurrency or 0)
        if what == "s":
            return steps_reached(part.scope, part.limits.steps or 0)
        if what == "b":
            purse = part.purses[at]
            ends_s = None
            if purse.ends_ns is not None:
                ends_s = max(0, purse.ends_ns - self.held.ask.unix_ns) / 1e9
            spent, held = words
            return budget_reached(part.scope, purse.budget, spent, held, nanousd, ends_s=ends_s)
        begins_s, previous, current, now_s = words
        rate, count = (part.requests[at], 1) if what == "r" else (part.tokens[at], tokens)
        counter = Counter(rate.limit, rate.window_s, begins_s)
        counter.previous, counter.current = previous, current
        name = rate_name("requests" if what == "r" else "tokens", rate.window_s)
        left = whole(counter.left(now_s))
        wait_s = counter.retry_after_s(count, now_s)
        return rate_reached(part.scope, name, rate.limit, left, count, retry_after_s=wait_s)


def located(parts: Sequence[Part], place: int) -> tuple[Part, int]:
    """The part that the key at `place` is of, and which one of its keys it is."""
    at = place - _FIRST_PLACE
    for part in parts:
        if at < part.key_count:
            return part, at
        at -= part.key_count
    raise ValueError(f"no limit has its key at {place}")


def left(parts: Sequence[Part], told: Any, rates: Callable[[Part], dict[int, Any]]) -> Left | None:
    """What Redis tells of the tightest limit of a kind."""
    if not told:
        return None
    place, remaining, reset_s = told
    part, at = located(parts, place)
    return Left(rates(part)[at].limit, whole(remaining), float(reset_s))


def written(
    keys: Keys,
    held: Held,
    already: Sequence[Part],
    further: Sequence[Part],
    *,
    now_s: float | None,
    more: tuple[int, int] = (0, 0),
) -> bytes:
    """The command that admits `held` on the parts `further`.

    If it has been admitted on `already`, it wants `more` tokens and nano-dollars there, and all of
    it on `further`.
    """
    ask = held.ask
    said = [bulk(keys.hold(ask.request_id)), keys.common]
    key_count, argument_count = 3, 11
    for part in already:
        said.append(part.keys)
        key_count += part.key_count
    for part in further:
        said.append(part.keys)
        key_count += part.key_count
    more_tokens, more_nanousd = more
    lasts, forgotten = _lasting(ask.expires_s)
    said += (
        bulk(ask.request_id.encode()),
        _YES if already else _NOT,
        bulk(b"%d" % more_tokens) if more_tokens else _NOT,
        bulk(b"%d" % more_nanousd) if more_nanousd else _NOT,
        bulk(b"%d" % (held.tokens_taken + more_tokens)),
        bulk(b"%d" % (held.nanousd + more_nanousd)),
        lasts,
        bulk(b"%d" % (ask.unix_ns // _NS_PER_MS)),
        _EMPTY if now_s is None else bulk(b"%r" % now_s),
        forgotten,
    )
    if already:
        said.append(_ALREADY)
        for part in already:
            said.append(part.arguments)
            argument_count += part.argument_count
        said.append(_FURTHER)
        argument_count += 2
    for part in further:
        said.append(part.arguments)
        argument_count += part.argument_count
    return ADMIT.written(key_count, key_count + argument_count, said)


@lru_cache(maxsize=256)  # as many as aliases have time limits
def _lasting(expires_s: float) -> tuple[bytes, bytes]:
    """How long a hold lasts and is kept; how long at most what is counted of it stands."""
    lasts_ms = int(expires_s * 1000)
    lasts = bulk(b"%r" % expires_s) + bulk(b"%d" % (lasts_ms + KEPT_MS))
    return lasts, bulk(b"%d" % (lasts_ms + DAY_S * 1000))
