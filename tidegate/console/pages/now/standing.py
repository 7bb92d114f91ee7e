"""How targets, accounts and gateways are doing, from the boards of all gateways together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from tidegate.policy.board import Board, PartState
from tidegate.policy.health import TargetState
from tidegate.policy.slots.lane import LaneState

Tone = Literal["good", "warn", "bad", ""]
_GRAVE: Final = ("closed", "half_open", "open")
_TONES: Final[dict[str, Tone]] = {"closed": "good", "half_open": "warn", "open": "bad"}
_WORDS: Final = {"closed": "well", "half_open": "probed", "open": "resting"}
_PARTS: Final[dict[str, Tone]] = {"usable": "good", "warming": "warn", "resting": "warn"}


class Target(Struct, frozen=True):
    """A target, as all gateways together see it."""

    name: str
    tone: Tone
    words: str
    where: str
    """How many gateways say so, if not all."""
    reason: str
    retry_in_s: float | None
    calls: int
    failed: int
    outstanding: int
    first_p50_s: float | None
    first_p95_s: float | None
    waiting: int
    limit: int | None
    """How many it bears at a time, as was learned."""

    @property
    def failed_share(self) -> float | None:
        """Of all attempts since the gateways began."""
        return self.failed / self.calls if self.calls else None


class Part(Struct, frozen=True):
    """An account or a replica, as the gateway that thinks least of it sees it."""

    provider: str
    kind: str
    name: str
    state: str
    tone: Tone
    outstanding: int
    left: dict[str, float]
    """The least that is left of each allowance."""


class Gateway(Struct, frozen=True):
    """A gateway process."""

    worker: str
    pid: int
    running: int
    waiting: int
    lag_s: float
    share: float
    shed: int
    pending_bytes: int
    redis: str
    """How it goes with Redis; empty where none is shared."""


def targets_of(boards: Sequence[Board], now_ns: int) -> list[Target]:
    """Every target, those that are not well first."""
    seen: dict[str, list[tuple[TargetState, float]]] = {}
    lanes: dict[str, list[LaneState]] = {}
    for board in boards:
        for each in board.targets:
            seen.setdefault(each.name, []).append((each, board.now_s(now_ns)))
        for lane in board.lanes:
            lanes.setdefault(lane.name, []).append(lane)
    found = [_target(states, lanes.get(name, [])) for name, states in seen.items()]
    order = ("bad", "warn", "good", "")
    return sorted(found, key=lambda each: (order.index(each.tone), each.name))


def _target(seen: list[tuple[TargetState, float]], lanes: list[LaneState]) -> Target:
    worst, at_s = max(seen, key=lambda each: _GRAVE.index(each[0].state))
    states = [each for each, _ in seen]
    same = sum(each.state == worst.state for each in states)
    limits = [lane.limit for lane in lanes if lane.limit is not None]
    return Target(
        name=worst.name,
        tone=_TONES[worst.state],
        words=_WORDS[worst.state],
        where="" if same == len(states) else f"in {same} of {len(states)} gateways",
        reason=worst.reason if worst.state != "closed" else "",
        retry_in_s=worst.retry_in_s(at_s) if worst.state == "open" else None,
        calls=sum(each.calls for each in states),
        failed=sum(each.failed for each in states),
        outstanding=sum(each.outstanding for each in states),
        first_p50_s=_most(each.first_token_p50_s for each in states),
        first_p95_s=_most(each.first_token_p95_s for each in states),
        waiting=sum(lane.waiting for lane in lanes),
        limit=sum(limits) if limits else None,
    )


def parts_of(boards: Sequence[Board]) -> list[Part]:
    """Every account and replica, by provider."""
    seen: dict[tuple[str, str, str], list[PartState]] = {}
    for board in boards:
        for part in board.parts:
            seen.setdefault((part.provider, part.kind, part.name), []).append(part)
    return [_part(states) for _, states in sorted(seen.items())]


def _part(states: list[PartState]) -> Part:
    worst = min(states, key=lambda each: ("usable", "warming").count(each.state))
    left: dict[str, float] = {}
    for each in states:
        for name, amount in each.left.items():
            left[name] = min(amount, left.get(name, amount))
    return Part(
        worst.provider, worst.kind, worst.name, worst.state, _PARTS.get(worst.state, "bad"),
        sum(each.outstanding or 0 for each in states), left,
    )  # fmt: skip


def gateways_of(boards: Sequence[Board]) -> list[Gateway]:
    """Every gateway process of this machine."""
    return [_gateway(board) for board in boards]


def _gateway(board: Board) -> Gateway:
    load, shared = board.load, board.counting or board.shared
    return Gateway(
        board.worker,
        board.pid,
        load.running if load else 0,
        sum(lane.waiting for lane in board.lanes),
        load.lag_s if load else 0.0,
        load.share if load else 1.0,
        load.shed if load else 0,
        load.pending_bytes if load else 0,
        shared.state if shared else "",
    )


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
