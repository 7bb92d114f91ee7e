"""What the gateways' boards say, in the text form that Prometheus reads.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from tidegate.policy.board import Board, PartState
from tidegate.policy.health import TargetState

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge"]
Labels = dict[str, str]
Value = float | None
"""None is not known, and left out."""

_LEVELS = {"closed": 0, "half_open": 1, "open": 2}
_USABLE = ("usable", "warming")

_OF_TARGETS: tuple[tuple[str, Kind, str, Callable[[TargetState], Value]], ...] = (
    ("breaker_state", "gauge", "A target's breaker: 0 closed, 1 half-open, 2 open.",
     lambda target: _LEVELS[target.state]),
    ("breaker_openings_total", "counter", "How often a target's breaker opened.",
     lambda target: target.openings),
    ("target_outstanding", "gauge", "Attempts at a target that are under way.",
     lambda target: target.outstanding),
    ("target_calls_total", "counter", "Attempts at a target.",
     lambda target: target.calls),
    ("target_failures_total", "counter", "Attempts that failed through the target's fault.",
     lambda target: target.failed),
    ("target_retries_total", "counter", "Attempts that repeated a failed one.",
     lambda target: target.retries),
    ("target_hedges_total", "counter", "Attempts made because another target was slow.",
     lambda target: target.hedges),
    ("target_first_token_p50_seconds", "gauge", "Median time to first token of the last streams.",
     lambda target: target.first_token_p50_s),
    ("target_first_token_p95_seconds", "gauge", "95 % of the last first tokens took at most this.",
     lambda target: target.first_token_p95_s),
)  # fmt: skip

_OF_PARTS: tuple[tuple[str, Kind, str, Callable[[PartState], Value]], ...] = (
    ("part_usable", "gauge", "Whether a provider's account or replica is in use: 1, or 0.",
     lambda part: part.state in _USABLE),
    ("part_outstanding", "gauge", "Attempts at an account or replica that are under way.",
     lambda part: part.outstanding),
    ("part_failures", "gauge", "Failures of an account or replica in a row.",
     lambda part: part.failures),
    ("part_times_out_total", "counter", "How often it was taken out of use.",
     lambda part: part.times_out),
    ("part_latency_seconds", "gauge", "Moving average of the time to its answers' first bytes.",
     lambda part: part.latency_s),
)  # fmt: skip


def metrics(boards: list[Board], *, loaded: int, failing: bool) -> bytes:
    """The page of `GET /metrics`; `loaded` and `failing` tell how the loading of records goes."""
    targets = [
        ({"target": target.name, "worker": board.worker}, target)
        for board in boards
        for target in board.targets
    ]
    parts = [
        (
            {"provider": part.provider, "kind": part.kind, "part": part.name,
             "worker": board.worker},
            part,
        )
        for board in boards
        for part in board.parts
    ]  # fmt: skip
    quotas: list[tuple[Labels, Value]] = [
        ({**on, "allowance": allowance}, left)
        for on, part in parts
        for allowance, left in part.left.items()
    ]
    shared: list[tuple[Labels, Value]] = [
        ({"worker": board.worker}, board.shared.state == "up")
        for board in boards
        if board.shared is not None
    ]
    lines = [
        *_family("records_loaded_total", "counter", "Records loaded into the store.",
                 [({}, loaded)]),
        *_family("records_loading", "gauge", "Whether records can be loaded: 1, or 0.",
                 [({}, not failing)]),
        *(line for name, kind, said, value in _OF_TARGETS
          for line in _family(name, kind, said, [(on, value(each)) for on, each in targets])),
        *(line for name, kind, said, value in _OF_PARTS
          for line in _family(name, kind, said, [(on, value(each)) for on, each in parts])),
        *_family("part_quota_left", "gauge", "What is left of a quota, as the provider says.",
                 quotas),
        *_family("breakers_shared", "gauge", "Whether breakers are being shared: 1, or 0.",
                 shared),
    ]  # fmt: skip
    return "".join(lines).encode()


def _family(
    name: str, kind: Kind, said: str, samples: Iterable[tuple[Labels, Value]]
) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    yield f"# HELP tidegate_{name} {said}\n# TYPE tidegate_{name} {kind}\n"
    for labels, value in known:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        shown = repr(value) if isinstance(value, float) else int(value)
        yield f"tidegate_{name}{f'{{{inside}}}' if inside else ''} {shown}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
