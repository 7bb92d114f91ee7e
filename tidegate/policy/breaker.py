"""A breaker for one target: closed while it answers, open while it rests, half-open to find out.

    closed ──── failures in a row, a share of failures, or a 429 with its time ────▶ open
      ▲                                                                               │ time is up
      └──── as many probes as configured answered ──── half-open ◀────────────────────┘
                                                         │ a probe failed: open, twice as long

What holds:

- A later verdict never shortens an earlier one: while open, its end only moves away.
- What an attempt says counts for the state it began in. Each opening starts a new epoch, and a
  ticket of an older one neither closes the breaker nor counts as a failure.
- Half-open, at most `probes` attempts are under way; a slot whose outcome never comes is free
  again after `max_cooldown_s`.
- Everything is O(1), and nothing here reads a clock: `now_s` is monotonic, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from tidegate.policy.window import Window

State = Literal["closed", "open", "half_open"]


class BreakerSettings(Struct, frozen=True):
    """When a target is left alone, and for how long."""

    failures: int = 5
    """Failures in a row that open it; also answers in a row that were cut after their begin."""
    share: float = 0.5
    """Share of failures within the window that opens it."""
    window_s: float = 30.0
    min_requests: int = 20
    """Requests in the window below which the share says nothing."""
    cooldown_s: float = 10.0
    """How long it stays open; twice as long each time it fails again before it has recovered."""
    max_cooldown_s: float = 300.0
    """How long it stays open at most, whatever the target or another gateway says."""
    probes: int = 1
    """Attempts at a time while half-open, and how many must answer before it closes."""


class Change(Struct, frozen=True):
    """A breaker went from `old` to `new`; both are `open` when its end has only moved away."""

    target: str
    old: State
    new: State
    reason: str
    now_s: float
    until_s: float
    """When it will let a probe through, if it is open."""
    heard: bool = False
    """Whether another gateway said so."""


class Breaker:
    """The breaker of the target `name`; `on_change` is told of every change of state."""

    __slots__ = (
        "_cooldown_s",
        "_epoch",
        "_good",
        "_on_change",
        "_probed_s",
        "_probing",
        "_settings",
        "_state",
        "_unheard_until_s",
        "_window",
        "cuts",
        "failures",
        "heard",
        "name",
        "openings",
        "reason",
        "since_s",
        "until_s",
    )

    def __init__(
        self, name: str, settings: BreakerSettings, on_change: Callable[[Change], None]
    ) -> None:
        self.name = name
        self.failures = 0
        """Failures in a row, up to now."""
        self.cuts = 0
        """Answers in a row that were cut after their begin, up to now."""
        self.openings = 0
        self.reason = ""
        """Why it is in its state."""
        self.since_s = -math.inf
        """When it got into its state; before all time if it never left the first one."""
        self.until_s = -math.inf
        """Until when it is open."""
        self.heard = False
        """Whether it is open only because another gateway said so."""
        self._on_change = on_change
        self._settings = settings
        self._window = Window(settings.window_s)
        self._state: State = "closed"
        self._epoch = 1
        self._cooldown_s = 0.0
        self._unheard_until_s = -math.inf
        self._probing = 0
        self._probed_s = 0.0
        self._good = 0

    @property
    def settings(self) -> BreakerSettings:
        """The settings in force; new ones leave the state as it is."""
        return self._settings

    @settings.setter
    def settings(self, settings: BreakerSettings) -> None:
        if settings.window_s != self._settings.window_s:
            self._window = Window(settings.window_s)
        self._settings = settings

    def state(self, now_s: float) -> State:
        """The state at `now_s`."""
        if self._state == "open" and now_s >= self.until_s:
            return "half_open"
        return self._state

    def retry_in_s(self, now_s: float) -> float:
        """Seconds until a probe may be made; 0.0 when it is not open."""
        return max(0.0, self.until_s - now_s) if self._state == "open" else 0.0

    def admits(self, now_s: float) -> bool:
        """Whether an attempt that begins now would be let through."""
        if self._state == "closed":
            return True
        return now_s >= self.until_s and (self._state == "open" or self._has_slot(now_s))

    def admit(self, now_s: float, *, anyway: bool = False) -> int:
        """Let an attempt through: the ticket that its outcome is told with; 0 if it may not begin.

        `anyway` lets it through even so, for when there is nobody better to ask; such an attempt
        takes no probe's slot.
        """
        if self._state == "closed":
            return self._epoch
        if now_s < self.until_s:
            return -self._epoch if anyway else 0
        if self._state == "open":
            self._probing = self._good = 0
            self._change("half_open", "its time to rest is over", now_s, old="open")
        elif not self._has_slot(now_s):
            return -self._epoch if anyway else 0
        self._probing = min(self._probing, self._settings.probes - 1) + 1
        self._probed_s = now_s
        return self._epoch

    def succeeded(self, ticket: int, now_s: float) -> None:
        """The attempt has answered: its first content has come."""
        if self._state == "closed":
            if ticket == self._epoch:
                self.failures = 0
                window = self._window
                if now_s >= window.ends_s:
                    window.turn(now_s)
                window.calls += 1
        elif abs(ticket) == self._epoch:
            self._free(ticket)
            self._good += 1
            if self._state == "half_open":
                recovered = self._good >= self._settings.probes
            else:  # let through anyway: what we see for ourselves outweighs hearsay only
                recovered = self.heard
            if recovered:
                self._close(now_s)

    def finished(self, ticket: int) -> None:
        """The attempt, which had answered, has come to its good end."""
        if ticket == self._epoch:
            self.cuts = 0

    def failed(
        self, ticket: int, now_s: float, *, rest_s: float | None = None, answered: bool = False
    ) -> None:
        """The attempt has failed, `answered` after its first content.

        `rest_s` is how long the target asked to be left alone (a 429's `Retry-After`): that opens
        the breaker at once, whenever the attempt began.
        """
        if rest_s is not None and rest_s > 0:
            until_s = now_s + min(rest_s, self._settings.max_cooldown_s)
            self._open(f"it asks for {rest_s:.3g} s of rest", now_s, until_s=until_s)
        elif abs(ticket) != self._epoch:
            return
        elif self._state == "half_open":
            self._open("a probe failed", now_s)
        elif self._state == "closed":
            self._count(now_s, answered=answered)

    def cancelled(self, ticket: int) -> None:
        """The attempt ended before it said anything of the target: its slot is free again."""
        if self._state == "half_open" and abs(ticket) == self._epoch:
            self._free(ticket)

    def adopt(self, until_s: float, reason: str, now_s: float) -> None:
        """Another gateway's breaker of this target is open until `until_s`: open as well.

        Not while probes are under way, and for `max_cooldown_s` not again once this gateway's own
        probes have contradicted the others: one gateway that has lost its network would otherwise
        take the target from all of them.
        """
        until_s = min(until_s, now_s + self._settings.max_cooldown_s)
        if until_s <= now_s or now_s < self._unheard_until_s or self._state == "half_open":
            return
        self._open(reason, now_s, until_s=until_s, heard=True)

    def _count(self, now_s: float, *, answered: bool) -> None:
        """Count a failure, and open if it was one too many."""
        settings, window = self._settings, self._window
        if now_s >= window.ends_s:
            window.turn(now_s)
        window.bad += 1
        if answered:  # which has been counted as a call then
            self.cuts += 1
        else:
            self.failures += 1
            window.calls += 1
        calls, bad = window.all_calls, window.all_bad
        if self.failures >= settings.failures:
            reason = f"{self.failures} failures in a row"
        elif self.cuts >= settings.failures:
            reason = f"{self.cuts} answers in a row were cut"
        elif calls >= settings.min_requests and bad >= settings.share * calls:
            reason = f"{bad} of {calls} requests failed in {settings.window_s:g} s"
        else:
            return
        self._open(reason, now_s)

    def _open(
        self, reason: str, now_s: float, *, until_s: float | None = None, heard: bool = False
    ) -> None:
        """Open until `until_s`, or for the cooldown, which doubles until the target recovers."""
        settings, old = self._settings, self.state(now_s)
        if old == "closed" and now_s - self.since_s >= settings.window_s:
            self._cooldown_s = 0.0
        if until_s is None:
            doubled_s = max(settings.cooldown_s, 2.0 * self._cooldown_s)
            self._cooldown_s = min(settings.max_cooldown_s, doubled_s)
            until_s = now_s + self._cooldown_s
        if old != "open":
            self._epoch += 1
            self.openings += 1
            self.heard = heard
        elif until_s <= self.until_s:
            return
        self.heard = self.heard and heard
        self.until_s = until_s
        self._change("open", reason, now_s, old=old, heard=heard)

    def _close(self, now_s: float) -> None:
        if self.heard:
            self._unheard_until_s = now_s + self._settings.max_cooldown_s
        old, self.heard, self.until_s = self.state(now_s), False, -math.inf
        self.failures = self.cuts = 0
        self._window = Window(self._settings.window_s)
        self._change("closed", "it answers again", now_s, old=old)

    def _has_slot(self, now_s: float) -> bool:
        lost = now_s - self._probed_s >= self._settings.max_cooldown_s
        return lost or self._probing < self._settings.probes

    def _free(self, ticket: int) -> None:
        if ticket > 0 and self._probing > 0:
            self._probing -= 1

    def _change(
        self, new: State, reason: str, now_s: float, *, old: State, heard: bool = False
    ) -> None:
        self._state, self.reason = new, reason
        if new != old:
            self.since_s = now_s
        self._on_change(Change(self.name, old, new, reason, now_s, self.until_s, heard))
