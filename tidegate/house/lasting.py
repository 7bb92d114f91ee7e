"""What outlives every configuration: what a process knows, however often it reloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.conversations.archive import ControlArchive
from tidegate.conversations.recent import Recent
from tidegate.ledger.spool import SpoolWriter
from tidegate.net.dns import Resolver
from tidegate.policy.health import Wards


@dataclass(frozen=True, slots=True)
class Lasting:
    """Made once for each gateway process, and lent to every house."""

    spool: SpoolWriter
    archive: ControlArchive
    sidecars: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ports of the providers that run beside us."""
    wards: Wards = field(default_factory=Wards)
    recent: Recent = field(default_factory=Recent)

    @classmethod
    def of(cls, spool: SpoolWriter, directory: Path, sidecars: Mapping[str, int]) -> Lasting:
        """`directory` is the spool's, where the control process leaves its address."""
        return cls(spool, ControlArchive(directory, Resolver()), sidecars)

    async def close(self) -> None:
        """Write what is left, close every connection."""
        self.spool.close()
        await self.archive.close()
