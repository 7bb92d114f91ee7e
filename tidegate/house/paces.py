"""From what a provider's headers say is left of our quota to how fast its targets are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tidegate.policy.slots.lane import Lane
from tidegate.policy.slots.pace import Allowance, pace_of
from tidegate.providers.quota import Window
from tidegate.types import Choice

Hear = Callable[[Choice, tuple[Window, ...], float], None]


def hearing(lane: Callable[[Choice], Lane]) -> Hear:
    """Takes what a provider tells of its quota to the lane of the target that was asked."""

    def hear(choice: Choice, quota: tuple[Window, ...], now_s: float) -> None:
        its_lane = lane(choice)
        its_lane.heard(pace_of(_allowances(quota, its_lane.mean_tokens)), now_s)

    return hear


def _allowances(quota: Iterable[Window], mean_tokens: float) -> Iterator[Allowance]:
    for window in quota:
        if window.reset_s is not None:
            each = max(mean_tokens, 1.0) if "token" in window.kind else 1.0
            yield Allowance(window.remaining, window.reset_s, window.limit, each)
