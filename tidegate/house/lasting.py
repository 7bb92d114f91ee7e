"""What outlives every configuration: what a process knows, however often it reloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.conversations.archive import ControlArchive
from tidegate.conversations.recent import Recent
from tidegate.gateway.stepper import Stepper
from tidegate.guard.watch import Watch
from tidegate.house.counting import Counting
from tidegate.ledger.spool import SpoolWriter
from tidegate.net.control import ControlLine
from tidegate.net.dns import Resolver
from tidegate.policy.health import Wards
from tidegate.policy.slots.register import Slots


@dataclass(frozen=True, slots=True)
class Lasting:
    """Made once for each gateway process, and lent to every house."""

    spool: SpoolWriter
    control: ControlLine
    archive: ControlArchive
    sidecars: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ports of the providers that run beside us."""
    wards: Wards = field(default_factory=Wards)
    slots: Slots = field(default_factory=Slots)
    stepper: Stepper = field(default_factory=Stepper)
    recent: Recent = field(default_factory=Recent)
    counting: Counting = field(default_factory=Counting.alone)
    watch: Watch = field(default_factory=lambda: Watch(Path()))
    """Looks at the keys and limits that the control process hands out."""

    @classmethod
    def of(
        cls,
        spool: SpoolWriter,
        directory: Path,
        sidecars: Mapping[str, int],
        counting: Counting | None = None,
    ) -> Lasting:
        """`directory` is the spool's, where the control process leaves its address."""
        control = ControlLine(directory, Resolver())
        return cls(
            spool,
            control,
            ControlArchive(control),
            sidecars,
            counting=counting or Counting.alone(),
            watch=Watch(directory),
        )

    async def close(self) -> None:
        """Write what is left, close every connection."""
        self.spool.close()
        await self.control.close()
