"""What the admin API has to know of the configuration file: names taken, aliases, rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tidegate.alerts.objectives import Objective
from tidegate.control.sinks.sending import Standing
from tidegate.guard.access import TeamRecords
from tidegate.limits import Rule


@dataclass(frozen=True, slots=True)
class ConfiguredTarget:
    """A target of an alias; `priced` says whether anybody knows what it costs."""

    name: str
    """`provider/model`."""
    priced: bool
    weight: int = 1


@dataclass(frozen=True, slots=True)
class ConfiguredKey:
    """A key of the file, without its secret."""

    user: str | None = None
    team: str | None = None
    models: tuple[str, ...] | None = None
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredTeam:
    """A team of the file, and what it lets be kept of its requests."""

    organisation: str | None = None
    weight: int = 1
    records: TeamRecords = field(default_factory=TeamRecords)


@dataclass(frozen=True, slots=True)
class Configured:
    """What the file says. Names in it cannot be taken by what the API makes."""

    keys: Mapping[str, ConfiguredKey] = field(default_factory=dict[str, ConfiguredKey])
    users: frozenset[str] = frozenset()
    teams: Mapping[str, ConfiguredTeam] = field(default_factory=dict[str, ConfiguredTeam])
    organisations: frozenset[str] = frozenset()
    aliases: Mapping[str, tuple[ConfiguredTarget, ...]] = field(
        default_factory=dict[str, tuple[ConfiguredTarget, ...]]
    )
    rules: tuple[Rule, ...] = ()
    """Limits that the file sets: those of the same scopes cannot be set through the API."""
    objectives: Mapping[str, Objective] = field(default_factory=dict[str, Objective])
    """What is promised of aliases, where something is."""
    apart: bool = False
    """Whether there are several gateway processes that share nothing, so that none keeps limits."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The configuration that the gateways go by now."""

    version: str
    text: str | None
    """None where a secret stands in it that cannot be hidden."""
    hidden: tuple[str, ...] = ()
    """Settings whose secrets stand in it, and are hidden."""


class FileRefused(Exception):
    """The configuration's file is not to be written, or not with that text."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigurationFile(Protocol):
    """The file that an operator writes, and the supervisor watches."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def in_force(self) -> InForce | None:
        """What was taken over last; None when nothing could be."""
        ...

    def refusal(self) -> FileRefused | None:
        """Why the file cannot be written, if it cannot."""
        ...

    def put(self, text: str) -> None:
        """Let the file say `text`, whole or not at all. Raises: `FileRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """What the admin API is started with."""

    access: Path
    """The file for the gateways."""
    token: Path
    """The file that the first owner's token is left in."""
    boards: Path
    """The directory of the gateways' status boards."""
    configured: Callable[[], Configured] = Configured
    """Asked for each request that needs it, so that a reload is seen."""
    audit_s: int | None = None
    """How long entries of the audit trail are kept; None is for ever."""
    file: ConfigurationFile | None = None
    """The configuration's own file; None where it is not known."""
    exports: Callable[[], Mapping[str, Standing]] = dict[str, Standing]
    """How it goes with exports."""
