"""A request that was admitted through Redis, or on this process's share while Redis was lost."""

from __future__ import annotations

from msgspec import Struct

from tidegate.admission.engine import Ask, Left
from tidegate.admission.shared_parts import Part, Purse
from tidegate.admission.shared_spare import Admitted


class Held(Struct, eq=False):
    """What an admitted request holds. Each of its budgets holds `nanousd`."""

    ask: Ask
    parts: list[Part]
    """What it holds in Redis."""
    tokens_taken: int
    nanousd: int
    rules: int
    """Which ones it was admitted by."""
    epoch: object = None
    """Which life of Redis holds it."""
    requests: Left | None = None
    tokens: Left | None = None
    held_nanousd: int = 0
    spare: Admitted | None = None
    spare_parts: list[Part] = []
    """What it holds here."""
    settled: bool = False

    @property
    def began_us(self) -> int:
        """When the request began."""
        return self.ask.unix_ns // 1_000

    def purses(self) -> list[Purse]:
        """The budgets that pay it in Redis."""
        return [purse for part in self.parts for purse in part.purses.values()]

    def spare_purses(self) -> list[Purse]:
        """The budgets that are charged in Redis without having held anything there."""
        return [purse for part in self.spare_parts for purse in part.purses.values()]
