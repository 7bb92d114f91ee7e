"""What alerting has seen in its last look, as measures: objectives, alerts, disks, sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tidegate.alerts.facts import Facts
from tidegate.alerts.machine import Memory
from tidegate.alerts.rules import DEFAULTS
from tidegate.control.measures.text import Meaning, family

SLO_OBJECTIVE: Final = Meaning(
    "tidegate_slo_objective_ratio", "gauge", ("alias", "slo"), "",
    "The share of an alias's requests that has to be good: its objective.",
)  # fmt: skip
SLO_LEFT: Final = Meaning(
    "tidegate_slo_error_budget_left_ratio", "gauge", ("alias", "slo"), "",
    "What is left of the error budget in the objective's window: 1 is all of it, below 0 it is "
    "overdrawn.",
)  # fmt: skip
FIRING: Final = Meaning(
    "tidegate_alerts_firing", "gauge", ("rule", "severity"), "alerts", "Alerts that fire."
)
OWED: Final = Meaning(
    "tidegate_alerts_undelivered", "gauge", ("sink",), "messages",
    "Messages about alerts that somebody has not got yet.",
)  # fmt: skip
RETIRES: Final = Meaning(
    "tidegate_model_retires_timestamp_seconds", "gauge", ("model",), "seconds",
    "When a model that is in use goes, as the configuration says: Unix time.",
)  # fmt: skip
STORE_UP: Final = Meaning(
    "tidegate_store_up", "gauge", (), "", "Whether the store answers: 1, or 0."
)
DISK_FREE: Final = Meaning(
    "tidegate_disk_free_ratio", "gauge", ("disk",), "",
    "What is free of the disks that the spool and the store are kept on.",
)  # fmt: skip
RESTARTS: Final = Meaning(
    "tidegate_gateway_restarts_total", "counter", ("worker",), "times",
    "How often a gateway process was seen to be replaced by a new one.",
)  # fmt: skip
WANTED: Final = Meaning(
    "tidegate_gateway_processes_wanted", "gauge", (), "processes",
    "Gateway processes that there should be on this machine.",
)  # fmt: skip
SINKS_STUCK: Final = Meaning(
    "tidegate_sink_stuck", "gauge", ("sink",), "",
    "Sinks of records that did not take them when they were told last: 1.",
)  # fmt: skip
DRIFT: Final = Meaning(
    "tidegate_quality_drift", "gauge", ("alias", "signal"), "",
    "Signals of quality that have drifted: how far, as a multiple of what begins to matter. Looked "
    "at every five minutes, a day against the week before.",
)  # fmt: skip
ALL: Final = (
    SLO_OBJECTIVE, SLO_LEFT, FIRING, OWED, RETIRES, STORE_UP, DISK_FREE, RESTARTS, WANTED,
    SINKS_STUCK, DRIFT,
)  # fmt: skip
_SECOND_NS: Final = 10**9

Firing = Counter[tuple[str, str]]
"""By rule and severity."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One look."""

    facts: Facts = field(default_factory=Facts)
    nearby: Facts = field(default_factory=Facts)
    retirements: Mapping[str, int] = field(default_factory=dict[str, int])
    restarts: Mapping[str, int] = field(default_factory=dict[str, int])
    firing: Firing = field(default_factory=Firing)
    owed: Mapping[str, int] = field(default_factory=dict[str, int])

    def lines(self) -> Iterator[str]:
        """The part of the page that it tells."""
        burns = self.facts.burns or {}
        yield from family(SLO_OBJECTIVE, [(of, each.objective) for of, each in burns.items()])
        yield from family(SLO_LEFT, [(of, each.left) for of, each in burns.items()])
        yield from family(FIRING, sorted(self.firing.items()))
        yield from family(OWED, [((sink,), count) for sink, count in self.owed.items()])
        used = self.facts.retiring or {}
        goes = [((name,), self.retirements[name] // _SECOND_NS) for name in used]
        yield from family(RETIRES, goes)
        drifts: dict[tuple[str, ...], float] = {}
        for each in self.facts.drifted or ():
            at = each.alias, each.signal
            drifts[at] = max(each.effect, drifts.get(at, 0.0))
        yield from family(DRIFT, drifts.items())
        near = self.nearby
        yield from family(STORE_UP, [((), None if near.store is None else not near.store)])
        free = [
            ((each.of,), each.free_bytes / max(1, each.size_bytes)) for each in near.disks or ()
        ]
        yield from family(DISK_FREE, free)
        yield from family(RESTARTS, [((each,), times) for each, times in self.restarts.items()])
        wanted = None if near.gateways is None else near.gateways.wanted
        yield from family(WANTED, [((), wanted)])
        yield from family(SINKS_STUCK, [((each.name,), 1) for each in near.sinks or ()])


def firing_of(memory: Memory) -> Firing:
    """What fires, by rule and severity."""
    return Counter(
        (each.rule, each.finding.severity or DEFAULTS[each.rule].severity)
        for each in memory.active.values()
        if each.fired_ns is not None and each.rule in DEFAULTS
    )
