"""What an empty Redis is told before it admits money again: balances, and requests that still run.

Balances come from the control process, which computes them from records. An epoch's name tells when
they were asked for, so that whoever settled something around that time knows whether they have it
in them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from msgspec import Struct

from tidegate.admission.redis_line import Line
from tidegate.admission.shared_parts import KEPT_MS, Keys, Parts
from tidegate.admission.shared_scripts import REHOLD, SEED, Script
from tidegate.admission.shared_ticket import Held
from tidegate.admission.shared_untold import unpacked
from tidegate.clock import Clock
from tidegate.limits import Balance, Budget, OpenHold, Period, span_of

AT_ONCE = 250
"""Balances in one step: neither Redis nor this process does anything else meanwhile."""
STEP_S = 2.0
SEEDING_MS = b"10000"
"""How long a gateway that ended while it told Redis keeps the others from it."""
ASK_AGAIN_S = 5.0
log = logging.getLogger("tidegate.admission")
_NS_PER_US, _NS_PER_MS, _NS = 1_000, 1_000_000, 1_000_000_000


class _Brought(Struct):
    balances: list[Balance]
    holds: list[OpenHold]
    as_of_us: int
    names: frozenset[bytes]


class Seeds:
    """Brings balances to Redis when it lacks them; `needs_balances` asks for them."""

    def __init__(
        self,
        parts: Parts,
        needs_balances: Callable[[], None],
        clock: Clock,
        time: Callable[[], float],
        learned: Callable[[bytes, int], None],
    ) -> None:
        self._parts = parts
        self._keys = parts.keys
        self._needs_balances = needs_balances
        self._clock = clock
        self._time = time
        self._learned = learned
        self._dropped = frozenset[bytes]()
        self._asked_us: int | None = None
        self._ask_again_s = 0.0
        self._brought: _Brought | None = None
        self._asked_on: Line | None = None

    def bring(
        self,
        balances: list[Balance],
        holds: list[OpenHold],
        as_of_ns: int | None,
        names: frozenset[bytes],
    ) -> None:
        """Keep what the budgets `names` have spent until Redis is looked after next."""
        as_of_us = self._now_us() if self._asked_us is None else self._asked_us
        if as_of_ns is not None:
            as_of_us = as_of_ns // _NS_PER_US
        self._brought = _Brought(balances, holds, as_of_us, names)

    def drop(self, before: frozenset[bytes]) -> None:
        """Of the budgets that stood `before`, Redis forgets those that stand no longer.

        Nobody counts them any more: if they are set again, what was spent must be brought.
        """
        self._dropped = (self._dropped | before) - self._parts.budgets
        self._brought = None

    async def look(self, line: Line) -> tuple[str | None, frozenset[bytes]]:
        """What Redis knows: its epoch if it has one, and the budgets that it has been told of.

        If it lacks anything that was brought, it is told; else that is asked for.
        Raises: `LineBroken`.
        """
        dropped, self._dropped = self._dropped, frozenset[bytes]()
        if dropped:
            await line.call(b"SREM", self._keys.known, *dropped, timeout_s=STEP_S)
        epoch, known = await self._tell(line, b"", [], [])
        self._parts.learn(known if epoch else frozenset())
        lacks = self._parts.unknown
        if self._asked_on is not line:
            if self._asked_on is not None:  # what was brought may be older than another life of it
                self._asked_us = self._brought = None
            self._asked_on = line
        if not lacks:
            self._asked_us = self._brought = None
        elif self._brought is not None and self._brought.names & lacks:
            brought, self._brought = self._brought, None
            self._asked_us = None
            epoch, known = await self._seed(line, brought)
        elif self._asked_us is None or self._time() >= self._ask_again_s:
            self._asked_us, self._ask_again_s = self._now_us(), self._time() + ASK_AGAIN_S
            self._needs_balances()
        return epoch, known

    async def _seed(self, line: Line, brought: _Brought) -> tuple[str | None, frozenset[bytes]]:
        # One at a time: balances of one moment and holds of another would count a request twice.
        turn = b"SET", self._keys.seeding, b"1", b"NX", b"PX", SEEDING_MS
        if await line.call(*turn, timeout_s=STEP_S) is None:
            return await self._tell(line, b"", [], [])
        try:
            return await self._seed_alone(line, brought)
        finally:
            await line.call(b"DEL", self._keys.seeding, timeout_s=STEP_S)

    async def _seed_alone(
        self, line: Line, brought: _Brought
    ) -> tuple[str | None, frozenset[bytes]]:
        now_ns = self._clock.now_ns()
        for at in range(0, len(brought.balances), AT_ONCE):
            covered = [
                (name, balance)
                for balance in brought.balances[at : at + AT_ONCE]
                if (name := self._parts.cover(balance)) and name in brought.names
            ]
            for _, balance in covered:
                self._learned(_money(self._keys, balance)[0], balance.nanousd)
            await self._tell(line, b"", [], covered)
        before, _ = await self._tell(line, b"", [], [])
        for hold in () if before else brought.holds:  # what Redis knows, it knows the holds of
            command = _held_again(self._keys, hold, now_ns)
            await line.call(*command, timeout_s=STEP_S)
        epoch = b"%d-%b" % (brought.as_of_us, token_hex(8).encode())
        return await self._tell(line, epoch, sorted(brought.names), [])

    async def _tell(
        self, line: Line, epoch: bytes, names: list[bytes], covered: list[tuple[bytes, Balance]]
    ) -> tuple[str | None, frozenset[bytes]]:
        keys = [self._keys.epoch, self._keys.known]
        said = [epoch, b"%d" % len(names), *names]
        for name, balance in covered:
            keys.append(_money(self._keys, balance)[0])
            said += (name, b"%d" % balance.nanousd, _lives(balance, self._clock.now_ns()))
        count = b"%d" % len(keys)
        answer = await line.call(b"EVAL", SEED.text, count, *keys, *said, timeout_s=STEP_S)
        stands, known = unpacked(answer)
        names_known: Any = known
        return str(stands) or None, frozenset(str(n).encode() for n in names_known)

    def _now_us(self) -> int:
        return self._clock.now_ns() // _NS_PER_US


def warn_of_eviction(info: object) -> None:
    """Say so if this Redis may throw away what was spent before its time."""
    told = info.decode(errors="replace") if isinstance(info, bytes) else ""
    facts = dict(line.split(":", 1) for line in told.split("\r\n") if ":" in line)
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory") != "0":
        log.warning(
            "this Redis may forget what was spent: set its maxmemory-policy to noeviction",
            extra={"fields": {"maxmemory_policy": policy}},
        )


def reheld(keys: Keys, held: Held, now_ns: int) -> tuple[Script, bytes]:
    """What holds again, in a Redis that has forgotten it, what `held` holds."""
    until_s = now_ns / _NS + held.ask.expires_s
    named = [keys.hold(held.ask.request_id), keys.index]
    said = [held.ask.request_id.encode(), b"%d" % (until_s * 1000), b"%d" % KEPT_MS]
    for purse in held.purses():
        named += (purse.spent_key, purse.held_key)
        kind, name = purse.scope
        who = name.encode() if kind == "provider" else b""
        said += (b"%d" % held.nanousd, who, b"%d" % purse.lives_ms(now_ns))
    return REHOLD, REHOLD.call(named, said)


def _held_again(keys: Keys, hold: OpenHold, now_ns: int) -> list[bytes]:
    named = [keys.hold(hold.request_id), keys.index]
    said = [hold.request_id.encode(), b"%d" % (hold.until_s * 1000), b"%d" % KEPT_MS]
    for balance in hold.holds:
        named += _money(keys, balance)
        who = balance.name.encode() if balance.kind == "provider" else b""
        said += (b"%d" % balance.nanousd, who, _lives(balance, now_ns))
    return [b"EVAL", REHOLD.text, b"%d" % len(named), *named, *said]


def _money(keys: Keys, balance: Balance) -> tuple[bytes, bytes]:
    scope = (balance.kind, balance.name)
    return keys.money(scope, balance.period, balance.timezone, balance.began_ns)


def _lives(balance: Balance, now_ns: int) -> bytes:
    period: Period = balance.period
    ends_ns = span_of(Budget(0, period, balance.timezone), balance.began_ns).ends_ns
    if ends_ns is None:
        return b"0"
    return b"%d" % (max(0, ends_ns - now_ns) // _NS_PER_MS + KEPT_MS)
