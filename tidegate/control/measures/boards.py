"""What the gateways' boards say, as measures.

Boards are as of at most a second ago; with several gateway processes each has samples of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tidegate.control.measures.text import Kind, Meaning, Value, family
from tidegate.policy.board import Board, LimitState, LoadState, PartState
from tidegate.policy.health import TargetState
from tidegate.policy.slots.lane import LaneState

_LEVELS: Final = {"closed": 0, "half_open": 1, "open": 2}
_USABLE: Final = ("usable", "warming")
_NANO: Final = 1e9

Sample = tuple[tuple[str, ...], Value]


@dataclass(frozen=True, slots=True)
class Told:
    """A measure, and its samples of one board."""

    meaning: Meaning
    samples: Callable[[Board], Iterable[Sample]]


def _of_target(
    name: str, kind: Kind, unit: str, said: str, value: Callable[[TargetState], Value]
) -> Told:
    meaning = Meaning(f"tidegate_{name}", kind, ("target", "worker"), unit, said)
    return Told(
        meaning,
        lambda board: (((each.name, board.worker), value(each)) for each in board.targets),
    )


def _of_lane(
    name: str, kind: Kind, unit: str, said: str, value: Callable[[LaneState], Value]
) -> Told:
    meaning = Meaning(f"tidegate_{name}", kind, ("target", "worker"), unit, said)
    return Told(
        meaning, lambda board: (((each.name, board.worker), value(each)) for each in board.lanes)
    )


def _of_part(
    name: str, kind: Kind, unit: str, said: str, value: Callable[[PartState], Value]
) -> Told:
    labels = ("provider", "kind", "part", "worker")
    meaning = Meaning(f"tidegate_{name}", kind, labels, unit, said)
    return Told(meaning, lambda board: ((_part(board, each), value(each)) for each in board.parts))


def _of_load(
    name: str, kind: Kind, unit: str, said: str, value: Callable[[LoadState], Value]
) -> Told:
    meaning = Meaning(f"tidegate_{name}", kind, ("worker",), unit, said)
    return Told(
        meaning,
        lambda board: [((board.worker,), None if board.load is None else value(board.load))],
    )


def _part(board: Board, part: PartState) -> tuple[str, ...]:
    return part.provider, part.kind, part.name, board.worker


OF_BOARDS: Final[tuple[Told, ...]] = (
    _of_target("breaker_state", "gauge", "",
               "A target's breaker: 0 closed, 1 half-open, 2 open.",
               lambda target: _LEVELS[target.state]),
    _of_target("breaker_openings_total", "counter", "times",
               "How often a target's breaker opened.", lambda target: target.openings),
    _of_target("target_outstanding", "gauge", "attempts",
               "Attempts at a target that are under way.", lambda target: target.outstanding),
    _of_target("target_calls_total", "counter", "attempts",
               "Attempts at a target.", lambda target: target.calls),
    _of_target("target_failures_total", "counter", "attempts",
               "Attempts that failed through the target's fault.", lambda target: target.failed),
    _of_target("target_retries_total", "counter", "attempts",
               "Attempts that repeated a failed one.", lambda target: target.retries),
    _of_target("target_hedges_total", "counter", "attempts",
               "Attempts made because another target was slow.", lambda target: target.hedges),
    _of_target("target_first_token_p50_seconds", "gauge", "seconds",
               "Median time to first token of the last streams.",
               lambda target: target.first_token_p50_s),
    _of_target("target_first_token_p95_seconds", "gauge", "seconds",
               "95 % of the last first tokens took at most this.",
               lambda target: target.first_token_p95_s),
    _of_lane("queue_depth", "gauge", "requests",
             "Requests that wait for their turn at a target.", lambda lane: lane.waiting),
    _of_lane("concurrency_limit", "gauge", "requests",
             "How many requests may run at a target, as was learned; none without a limit.",
             lambda lane: lane.limit),
    _of_lane("concurrency_running", "gauge", "requests",
             "Requests that have their turn at a target.", lambda lane: lane.running),
    _of_lane("queue_waited_total", "counter", "requests",
             "Requests that had to wait for their turn.", lambda lane: lane.waited),
    _of_lane("queue_refused_total", "counter", "requests",
             "Requests that were told at a target's queue to come later.",
             lambda lane: lane.refused),
    _of_part("part_usable", "gauge", "",
             "Whether a provider's account or replica is in use: 1, or 0.",
             lambda part: part.state in _USABLE),
    _of_part("part_retired", "gauge", "",
             "Whether a provider does not accept an account's credentials: 1, or 0.",
             lambda part: part.state == "retired"),
    _of_part("part_outstanding", "gauge", "attempts",
             "Attempts at an account or replica that are under way.",
             lambda part: part.outstanding),
    _of_part("part_failures", "gauge", "failures",
             "Failures of an account or replica in a row.", lambda part: part.failures),
    _of_part("part_times_out_total", "counter", "times",
             "How often it was taken out of use.", lambda part: part.times_out),
    _of_part("part_latency_seconds", "gauge", "seconds",
             "Moving average of the time to its answers' first bytes.",
             lambda part: part.latency_s),
    Told(
        Meaning("tidegate_part_quota_left", "gauge",
                ("provider", "kind", "part", "worker", "allowance"), "",
                "What is left of a quota, as the provider says."),
        lambda board: (
            ((*_part(board, part), allowance), left)
            for part in board.parts
            for allowance, left in part.left.items()
        ),
    ),
    _of_load("requests_running", "gauge", "requests",
             "Requests that are being answered.", lambda load: load.running),
    _of_load("requests_admitted", "gauge", "requests",
             "Of these, those that limits or budgets count as running.",
             lambda load: load.admitted),
    _of_load("holds_usd", "gauge", "US dollars",
             "What running requests may still cost at most: held of their budgets.",
             lambda load: load.held_nanousd / _NANO),
    _of_load("charges_above_hold_total", "counter", "requests",
             "Requests that cost more than was held for them.", lambda load: load.exceeded),
    _of_load("shed_total", "counter", "requests",
             "Requests refused because the process had too much to do; they leave no record.",
             lambda load: load.shed),
    _of_load("let_in_ratio", "gauge", "",
             "The share of new requests that is let in: 1 unless the process has too much to do.",
             lambda load: load.share),
    _of_load("loop_lag_seconds", "gauge", "seconds",
             "How long whatever is ready waits for the process to come to it.",
             lambda load: load.lag_s),
    _of_load("spool_pending_bytes", "gauge", "bytes",
             "Records that are not in the spool yet, because the disk does not take them.",
             lambda load: load.pending_bytes),
    Told(
        Meaning("tidegate_breakers_shared", "gauge", ("worker",), "",
                "Whether breakers are being shared: 1, or 0."),
        lambda board: [
            ((board.worker,), None if board.shared is None else board.shared.state == "up")
        ],
    ),
    Told(
        Meaning("tidegate_shared_up", "gauge", ("worker",), "",
                "Whether limits are counted in Redis, for all together: 1, or 0 while it is lost."),
        lambda board: [
            ((board.worker,), None if board.counting is None else board.counting.state == "up")
        ],
    ),
)  # fmt: skip

GATEWAYS: Final = Meaning(
    "tidegate_gateway_processes", "gauge", (), "processes",
    "Gateway processes of this machine that live.",
)  # fmt: skip
LIMIT_USED: Final = Meaning(
    "tidegate_limit_used_ratio", "gauge", ("scope_kind", "limit"), "",
    "How much is used of a limit of that kind of scope where most of it is used: 1 is all. Of each "
    "process some 200 limits are looked at, those of the scopes seen first.",
)  # fmt: skip


def of_boards(boards: list[Board]) -> Iterator[str]:
    """The part of the page that boards tell."""
    yield from family(GATEWAYS, [((), len(boards))])
    for told in OF_BOARDS:
        samples = (sample for board in boards for sample in told.samples(board))
        yield from family(told.meaning, samples)
    yield from family(LIMIT_USED, _used(boards).items())


def _used(boards: list[Board]) -> dict[tuple[str, ...], float]:
    most: dict[tuple[str, ...], float] = {}
    for limit in (limit for board in boards for limit in board.limits):
        of = limit.kind, limit.limit
        most[of] = max(most.get(of, 0.0), _used_of(limit))
    return most


def _used_of(limit: LimitState) -> float:
    return 1.0 if limit.most <= 0 else round(1.0 - limit.left / limit.most, 6)
