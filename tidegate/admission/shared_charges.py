"""What Redis is told of money once it is spent: of what it holds, and of what it does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tidegate.admission.engine import Spent
from tidegate.admission.shared_asking import NOT_SEEDED
from tidegate.admission.shared_parts import KEPT_MS, Keys, Purse
from tidegate.admission.shared_scripts import CHARGE, SETTLE, settled_words
from tidegate.admission.shared_spare import charge
from tidegate.admission.shared_ticket import Held
from tidegate.admission.shared_untold import Untold
from tidegate.clock import Clock

_NS_PER_US = 1_000
_MARKS_MS = b"%d" % KEPT_MS


class Charges:
    """Tells through `untold`, now or later."""

    def __init__(self, keys: Keys, untold: Untold, clock: Clock) -> None:
        self._keys = keys
        self._untold = untold
        self._clock = clock

    def settle(self, held: Held, purses: Sequence[Purse], spent: Sequence[Spent]) -> None:
        """Charge `purses`, which are those that Redis holds for `held`, and let go of the rest.

        If Redis has forgotten the hold, it is charged all the same, unless the balances that it
        was told since have this in them.
        """
        settled_us = self._clock.now_ns() // _NS_PER_US

        def heard(answer: Any) -> bool:
            if answer[0] == NOT_SEEDED:  # told again at the next look: no sooner, it may take hours
                return not purses
            if answer[0] == 0 and purses and answer[1] != held.epoch:
                self.charge(held, "lost", purses, spent, settled_us=settled_us)
            return True

        self._untold.tell(SETTLE, self._settlement(held, spent), heard)

    def let_go(self, held: Held) -> None:
        """Let go of what Redis may hold, and charge nothing."""
        self._untold.tell(SETTLE, self._settlement(held, ()), lambda _: True)

    def charge(
        self,
        held: Held,
        why: str,
        purses: Iterable[Purse],
        spent: Sequence[Spent],
        *,
        settled_us: int | None = None,
    ) -> None:
        """Charge `purses` with what they have not held; once for each request and `why`."""
        charges = [(purse, paid) for purse in purses if (paid := charge(purse, spent))]
        if not charges:
            return
        if settled_us is None:
            settled_us = self._clock.now_ns() // _NS_PER_US
        keys = [self._keys.mark(f"{held.ask.request_id}:{why}"), self._keys.epoch]
        said = [_MARKS_MS, b"%d" % settled_us]
        for purse, paid in charges:
            keys += (purse.spent_key, purse.held_key)
            said += (b"%d" % paid, b"%d" % purse.lives_ms(held.ask.unix_ns))

        def heard(answer: Any) -> bool:
            if answer[0] == NOT_SEEDED:
                return False
            if why == "spare" and not held.parts and _began_us(answer[1]) >= held.began_us:
                self.let_go(held)  # Redis has been told of it with the balances
            return True

        self._untold.tell(CHARGE, CHARGE.call(keys, said), heard)

    def _settlement(self, held: Held, spent: Sequence[Spent]) -> bytes:
        keys, request_id = self._keys, held.ask.request_id
        return SETTLE.call(
            (keys.hold(request_id), keys.index, keys.epoch), settled_words(request_id, spent)
        )


def _began_us(epoch: str) -> int:
    """When the balances were asked for that it began with."""
    return int(epoch.partition("-")[0])
