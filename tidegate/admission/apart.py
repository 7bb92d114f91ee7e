"""The engine of one process of several that share nothing: it lets nothing through that is limited.

Such processes, be they workers or gateways beside one spool, can keep no limit together, and each
for itself would let through as much as all are to have. The configuration refuses limits there;
those that the admin API sets, or that a reload brings to processes that run already, come all the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Ticket
from tidegate.admission.held import Held
from tidegate.errors import LimitsUnavailable
from tidegate.limits import Rule, Scope

RETRY_S = 60.0


class Apart(Embedded):
    """Refuses what any limit covers, as nobody counts it."""

    def replace(self, rules: Iterable[Rule]) -> None:
        """Refuse what `rules` cover from now on: no balances are needed for that."""
        super().replace(rules)
        self.restore(())

    def admit(self, ask: Ask) -> Held:
        """Let through what is not limited. Raises: `LimitsUnavailable`."""
        self._refuse_limited(ask.scopes)
        return super().admit(ask)

    def extend(self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int) -> None:
        """As `admit`. Raises: `LimitsUnavailable`."""
        self._refuse_limited(scopes)
        super().extend(ticket, scopes, tokens, nanousd)

    def _refuse_limited(self, scopes: Iterable[Scope]) -> None:
        if self.limited(scopes):
            raise LimitsUnavailable(
                "A limit covers this request, and several gateway processes cannot keep limits"
                " together without Redis: the operator sets `shared`, or has one worker, and"
                " restarts.",
                retry_after_s=RETRY_S,
            )
