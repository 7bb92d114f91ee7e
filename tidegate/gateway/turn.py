"""A request's turn at a target: what its health and its lane are told of one try, once each."""

from __future__ import annotations

from msgspec import Struct

from tidegate.errors import TidegateError
from tidegate.policy.health import Trial
from tidegate.policy.slots.lane import Slot


class Turn(Struct, gc=False):
    """One try. The first of its endings counts, later ones change nothing."""

    trial: Trial
    slot: Slot

    def answered(self, now_s: float, *, whole: bool) -> None:
        """The first content has come; `whole` when it is all of an answer that is not streamed."""
        self.trial.answered(now_s, whole=whole)
        self.slot.answered(now_s, whole=whole)

    def succeeded(self, now_s: float) -> None:
        """The answer has come to its good end."""
        self.trial.succeeded()
        self.slot.succeeded(now_s)

    def failed(self, error: TidegateError, now_s: float) -> None:
        """It ended in `error`."""
        self.trial.failed(error, now_s)
        self.slot.failed(error, now_s)

    def cancelled(self, now_s: float) -> None:
        """It ended before it said anything of the target: the caller left, or we did."""
        self.trial.cancelled()
        self.slot.cancelled(now_s)

    def outrun(self, now_s: float, *, whole: bool) -> None:
        """Cancelled because another target was faster."""
        self.trial.outrun(now_s, whole=whole)
        self.slot.cancelled(now_s)
