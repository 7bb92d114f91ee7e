"""Counters and histograms that are added to in bulk, and written quickly.

What is the same in every reading of a sample, its name and labels, is made up once.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from tidegate.control.measures.bounds import OTHER
from tidegate.control.measures.text import Meaning, labelled

Labels = tuple[str, ...]
_NANO = 10**9


class Counter:
    """Sums of whole numbers by labels; of `nano` ones, billionths of what is shown."""

    def __init__(self, meaning: Meaning, most: int, *, nano: bool = False) -> None:
        self.meaning = meaning
        self.overflows = 0
        self._most = most
        self._nano = nano
        self._others = (OTHER,) * len(meaning.labels)
        self._sums: dict[Labels, int] = {}
        self._heads: dict[Labels, str] = {}

    def add(self, labels: Labels, amount: int) -> None:
        """Count `amount` more; labels beyond the bound are all `other`."""
        there = self._sums.get(labels)
        if there is None:
            if len(self._sums) >= self._most and labels != self._others:
                self.overflows += 1
                self.add(self._others, amount)
                return
            inside = labelled(self.meaning.labels, labels)
            self._heads[labels] = f"{self.meaning.name}{f'{{{inside}}}' if inside else ''} "
            there = 0
        self._sums[labels] = there + amount

    def value(self, *labels: str) -> int:
        """The sum so far."""
        return self._sums.get(labels, 0)

    def __len__(self) -> int:
        return len(self._sums)

    def lines(self) -> Iterator[str]:
        """Head and samples; nothing at all when nothing was counted."""
        if self._sums:
            yield self.meaning.head()
        for labels, total in self._sums.items():
            yield f"{self._heads[labels]}{_nano(total) if self._nano else total}\n"


class _Shape:
    """What is counted under one set of labels; `below[i]` are values up to the bound `i`."""

    __slots__ = ("below", "count", "fresh", "heads", "total")

    def __init__(self, heads: tuple[str, ...], bounds: int) -> None:
        self.heads = heads
        self.fresh: list[float] = []
        self.below = [0] * bounds
        self.count = 0
        self.total = 0.0


class Histogram:
    """Values by labels, counted up to each of `bounds`.

    Values come in `scale`-ths of the unit that is shown: milliseconds of seconds with 1000.
    """

    def __init__(
        self, meaning: Meaning, bounds: Sequence[float], most: int, *, scale: float = 1.0
    ) -> None:
        self.meaning = meaning
        self.overflows = 0
        self._most = most
        self._scale = scale
        self._shown = bounds
        self._bounds = [bound * scale for bound in bounds]
        self._others = (OTHER,) * len(meaning.labels)
        self._shapes: dict[Labels, _Shape] = {}
        self._touched: dict[Labels, _Shape] = {}

    def add(self, labels: Labels, values: list[float] | list[int]) -> None:
        """Take `values`, to be counted by the next `fold`."""
        if values:
            shape = self._shapes.get(labels) or self._new(labels)
            shape.fresh += values
            self._touched[labels] = shape

    def fold(self) -> None:
        """Count what was taken."""
        for shape in self._touched.values():
            values, below = shape.fresh, shape.below
            total = sum(values)
            if not math.isfinite(total):
                values = [value for value in values if math.isfinite(value)]
                total = sum(values)
            values.sort()
            for place, bound in enumerate(self._bounds):
                below[place] += bisect_right(values, bound)
            shape.count += len(values)
            shape.total += total
            shape.fresh = []
        self._touched.clear()

    def counts(self, *labels: str) -> tuple[int, float]:
        """How many values so far, and their sum."""
        shape = self._shapes.get(labels)
        return (0, 0.0) if shape is None else (shape.count, shape.total / self._scale)

    def __len__(self) -> int:
        return len(self._shapes) * (len(self._bounds) + 3)

    def lines(self) -> Iterator[str]:
        """Head and samples of what was folded; nothing at all when nothing was."""
        if self._shapes:
            yield self.meaning.head()
        for shape in self._shapes.values():
            for head, below in zip(shape.heads, shape.below, strict=False):
                yield f"{head}{below}\n"
            every, total, count = shape.heads[-3:]
            yield f"{every}{shape.count}\n"
            yield f"{total}{shape.total / self._scale!r}\n"
            yield f"{count}{shape.count}\n"

    def _new(self, labels: Labels) -> _Shape:
        if len(self._shapes) >= self._most and labels != self._others:
            self.overflows += 1
            return self._shapes.get(self._others) or self._new(self._others)
        name, inside = self.meaning.name, labelled(self.meaning.labels, labels)
        before = f"{inside}," if inside else ""
        heads = [f'{name}_bucket{{{before}le="{float(bound)!r}"}} ' for bound in self._shown]
        heads.append(f'{name}_bucket{{{before}le="+Inf"}} ')
        heads += [f"{name}_{what}{f'{{{inside}}}' if inside else ''} " for what in ("sum", "count")]
        shape = self._shapes[labels] = _Shape(tuple(heads), len(self._bounds))
        return shape


def _nano(amount: int) -> str:
    """Exactly, with as many digits as there are."""
    whole, rest = divmod(amount, _NANO)
    return f"{whole}.{rest:09d}" if rest else str(whole)
