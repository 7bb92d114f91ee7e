"""Which of a provider's servers is asked, and which are left alone for a while.

One replica costs nearly nothing: its requests are counted, and that is all. Of several, those that
fail are ejected (never more than `max_ejected` of them, for no outage of ours is to look like one
of theirs), come back with little weight at first, and when none is fit all are asked: a gateway
that guesses wrong is better than one that refuses.

Time and chance are arguments. The states of time (an ejection that ends, a weight that grows) are
worked out when `pick` passes them, not on every request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Final

from tidegate.errors import (
    DeadlineExceeded,
    UpstreamDenied,
    UpstreamError,
    UpstreamModelGone,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.providers.replicas.balance import BALANCES
from tidegate.providers.replicas.probes import watch
from tidegate.providers.replicas.replica import FAILED_S, Health, Replica, ReplicaState
from tidegate.types import Call

__all__ = ["Health", "Replica", "ReplicaState", "Replicas"]

log = logging.getLogger("tidegate.providers.replicas")

_STEPS: Final = 30
"""In how many steps a weight grows in a slow start."""


class Replicas:
    """The servers of one provider."""

    def __init__(
        self,
        provider: str,
        replicas: Sequence[Replica],
        *,
        balance: str = "weighted",
        health: Health | None = None,
    ) -> None:
        """Make them; `replicas` has at least one, `balance` is a word of `BALANCES`."""
        self.health = health or Health()
        self._provider = provider
        self.all = tuple(replicas)
        self._only = self.all[0] if len(self.all) == 1 else None
        self._choose = BALANCES[balance]
        self._usable = self.all
        self._next_change_s = math.inf
        self._most_out = max(1, int(len(self.all) * self.health.max_ejected))
        self._watching: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to probe, if there is a path to probe and a choice to be made by it."""
        path = self.health.probe
        if path is not None and self._only is None and not self._watching:
            loop = asyncio.get_running_loop()
            self._watching = [
                loop.create_task(watch(self, each, path), name=f"probe of {each.url}")
                for each in self.all
            ]

    async def close(self) -> None:
        """End the probes, close every connection."""
        for task in self._watching:
            task.cancel()
        for ended in await asyncio.gather(*self._watching, return_exceptions=True):
            if isinstance(ended, Exception):  # a bug of ours: nothing is lost but the probes
                log.error("probing ended early", exc_info=ended)
        self._watching.clear()
        for replica in self.all:
            await replica.pool.close()
            if replica.probe_pool is not replica.pool:
                await replica.probe_pool.close()

    def pick(self, call: Call, now_s: float, draw: float, avoid: Replica | None = None) -> Replica:
        """The replica to ask; `draw` in [0, 1) is the chance in it.

        `avoid` is the one that this request has failed at before; it is taken only if there is no
        other.
        """
        if self._only is not None:
            return self._only
        if now_s >= self._next_change_s:
            self._look_around(now_s)
        usable = self._usable
        if avoid is not None:
            usable = tuple(each for each in usable if each is not avoid) or usable
        return usable[0] if len(usable) == 1 else self._choose(usable, call, now_s, draw)

    def spare(self, now_s: float, but: Replica | None = None) -> bool:
        """Whether another one than `but` could take a request at once.

        One that has just failed as well is none, or the failure of all would seem to be each
        one's own.
        """
        return self._only is None and any(
            each is not but and not each.failures and each.usable(now_s) for each in self.all
        )

    def ended(
        self, replica: Replica, error: UpstreamError | None, latency_s: float | None, now_s: float
    ) -> None:
        """A request that `Replica.begin` began has ended at `now_s`, well or with `error`.

        `latency_s` is the time until the head of the answer (or its first content) was in, None if
        it never was. Neither an error nor a latency is a caller that left before: it says nothing.
        """
        replica.outstanding -= 1
        if self._only is not None or (error is None and latency_s is None):
            return
        if error is None or isinstance(error, _ANSWERS):
            replica.failures = 0
            if latency_s is not None:
                replica.observe(latency_s, now_s)
            return
        replica.observe(max(latency_s or 0.0, FAILED_S), now_s)
        if isinstance(error, _NOT_ITS_FAULT):
            return
        replica.failures += 1
        if replica.failures >= self.health.failures and replica.usable(now_s):
            self._eject(replica, now_s)

    def probed(self, replica: Replica, *, good: bool, now_s: float) -> None:
        """Take in what a probe found."""
        if good:
            replica.failures_of_probes = 0
            if replica.down:
                replica.let_in(now_s)
                self._look_around(now_s)
                self._tell(logging.INFO, "a replica answers its probes again", replica)
            return
        replica.failures_of_probes += 1
        if replica.failures_of_probes >= self.health.failures and not replica.down:
            replica.down = True
            self._look_around(now_s)
            self._tell(logging.WARNING, "a replica does not answer its probes", replica)

    def snapshot(self, now_s: float) -> tuple[ReplicaState, ...]:
        """How every replica fares."""
        return tuple(each.state(self.health, now_s) for each in self.all)

    def _eject(self, replica: Replica, now_s: float) -> None:
        out = sum(not each.usable(now_s) for each in self.all)
        if out >= self._most_out:
            return
        replica.eject(self.health, now_s)
        self._look_around(now_s)
        self._tell(logging.WARNING, "a replica fails and is ejected", replica)

    def _look_around(self, now_s: float) -> None:
        """Work out who is usable, with which weight, and when that changes by itself."""
        change_s = math.inf
        for each in self.all:
            each.warm = each.weight_at(self.health, now_s)
            if now_s < each.ejected_until_s:
                change_s = min(change_s, each.ejected_until_s)
            elif each.warming(self.health, now_s):
                change_s = min(change_s, now_s + self.health.slow_start_s / _STEPS)
        self._next_change_s = change_s
        usable = tuple(each for each in self.all if each.usable(now_s))
        if not usable:
            usable = self.all
            for each in usable:
                each.warm = each.weight
        self._usable = usable

    def _tell(self, level: int, message: str, replica: Replica) -> None:
        fields = {
            "provider": self._provider,
            "replica": replica.url,
            "times_ejected": replica.times_ejected,
        }
        log.log(level, message, extra={"fields": fields})


_ANSWERS = (UpstreamRefused, UpstreamDenied, UpstreamModelGone)
"""Errors that a server in good health gives: it did answer."""

_NOT_ITS_FAULT = (UpstreamRateLimited, DeadlineExceeded)
"""Errors that say it is busy, or that the request was: no reason to let it out."""
