"""What of a process's work is told on the status board: its load, its limits, its way to Redis."""

from __future__ import annotations

from typing import Final

from tidegate.admission.embedded import Embedded
from tidegate.house.counting import Counting
from tidegate.house.lasting import Lasting
from tidegate.policy.board import LimitState, LoadState, SharedState
from tidegate.policy.saturation import Gate

MOST_LIMITS: Final = 200
"""More would make the board long, and take the loop's time to gather."""
_STEP_S: Final = 0.005
"""Of the lag: a finer one would change the board every second."""


def load_state(lasting: Lasting, running: int, gate: Gate | None) -> LoadState:
    """How much there is to do; of `running` requests some are counted by limits."""
    counting = lasting.counting
    here = _here(counting)
    engines = [*here] if counting.shared is None else [counting.shared]
    share, lag_s, shed = 1.0, 0.0, 0
    if gate is not None:
        share, lag_s, shed = gate.load.share, gate.load.lag_s, gate.refused
    return LoadState(
        running=running,
        admitted=sum(each.running for each in engines),
        held_nanousd=sum(each.held_nanousd for each in engines),
        exceeded=sum(each.exceeded for each in here),
        shed=shed,
        share=round(share, 3),
        lag_s=round(round(lag_s / _STEP_S) * _STEP_S, 3),
        pending_bytes=lasting.spool.pending_bytes,
    )


def limit_states(counting: Counting, unix_ns: int) -> tuple[LimitState, ...]:
    """What is left of the limits that are counted in this process: some, of the scopes seen first.

    Leases that should be over are ended by looking.
    """
    return tuple(
        LimitState(each.kind, each.name, each.limit, each.most, each.left, each.held)
        for engine in _here(counting)
        for each in engine.snapshot(unix_ns, MOST_LIMITS)
    )


def counting_state(counting: Counting) -> SharedState | None:
    """How counting in Redis goes; None where nothing is counted there."""
    if counting.shared is None:
        return None
    link = counting.shared.state()
    return SharedState(link.state, link.since_s, link.reason)


def _here(counting: Counting) -> list[Embedded]:
    return [each for each in (counting.engine, counting.spare) if isinstance(each, Embedded)]
