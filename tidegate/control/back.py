"""The back of the house as the console sees it: what there is to be looked at, and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.clock import Clock, SystemClock
from tidegate.control.admin.app import Admin
from tidegate.control.loading import Settings
from tidegate.control.measures import Measures
from tidegate.control.metrics import Pass
from tidegate.control.quality import Drifting
from tidegate.store.records import RecordStore


@dataclass(frozen=True, slots=True)
class Back:
    """Everything that pages are made from; used by many threads at once."""

    settings: Settings
    store: RecordStore
    admin: Admin
    """Changes are asked of its API, in the name of whoever is signed in."""
    boards: Path
    """The directory of the gateways' status boards."""
    measures: Measures
    drifting: Drifting
    passing: Callable[[], Pass]
    """How the loading of records goes."""
    failing: Callable[[], str | None]
    """Why records are not loaded; None when they are."""
    sinks: Callable[[], Any]
    """How it goes with each sink of records."""
    clock: Clock = field(default_factory=SystemClock)
