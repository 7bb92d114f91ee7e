"""Which signals of an answer's quality have moved: a window against the time before it.

A signal has drifted when there are enough answers on both sides, the difference is beyond chance
for as many comparisons as were made, and it is large enough to matter. What each test is, and where
it comes from: `comparing.py`; what each signal means: `docs/explanation/quality.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, get_args

from msgspec import Struct

from tidegate.quality.bins import Bins, percentile
from tidegate.quality.comparing import (
    added,
    chi_squared,
    cohens_h,
    discoveries,
    jensen_shannon,
    kolmogorov_smirnov,
    proportions,
    robust_z,
    total_variation,
)

Signal = Literal[
    "format_compliance", "refusal_rate", "truncation_rate", "refusal_wording", "feedback",
    "output_length", "language", "similarity",
]  # fmt: skip
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)

BEFORE: Final = 7
"""How many times as long as the window the time before it is."""
ENOUGH, ENOUGH_BEFORE, ENOUGH_JUDGED = 50, 100, 20
FALSE: Final = 0.01
"""Share of false ones among what is told to have drifted, at most."""
LEAST_H: Final = 0.2
"""Of shares: from 1 % to 4 %, from 10 % to 17 %, from 50 % to 60 %."""
LEAST_DISTANCE: Final = 0.15
"""Of lengths: so much of all answers lies on the other side of some length."""
LEAST_VARIATION: Final = 0.1
"""Of languages: so much of all answers is in another one."""
LEAST_DIVERGENCE: Final = 0.01
"""Of wordings, in bits."""
LEAST_BLOCKS: Final = 4
"""Parts of the time before that must have texts, for their own differences to be known."""
FAR: Final = 6.0
"""Deviations above them; outliers are usually taken to begin at 3.5, of many more values."""
_SPREAD: Final = 0.0005


class Sums(Struct, frozen=True):
    """What was counted of some answers."""

    answers: int = 0
    good: int = 0
    repaired: int = 0
    malformed: int = 0
    unchecked: int = 0
    truncated: int = 0
    refused: int = 0
    sampled: int = 0
    worded: int = 0
    """Of the sampled ones: how many open as refusals do."""
    liked: int = 0
    disliked: int = 0
    lengths: Bins = {}
    """Output tokens."""
    languages: Bins = {}

    @property
    def checked(self) -> int:
        """Answers that were looked at for the form that was asked for."""
        return self.good + self.repaired + self.malformed

    @property
    def judged(self) -> int:
        """Feedback that says whether."""
        return self.liked + self.disliked


class Span(Struct, frozen=True):
    """A window and the time before it; `wording` is the bins of the window's texts."""

    lately: Sums
    before: Sums
    wording: Bins = {}
    wordings_before: tuple[Bins, ...] = ()
    """The same of each part of the time before."""


class Shift(Struct, frozen=True):
    """A signal on both sides: a share, a median number of tokens, or a distance from the usual."""

    signal: Signal
    now: float
    then: float
    answers: int
    answers_before: int
    effect: float
    """How large the difference is, as a multiple of what begins to matter."""
    chance: float | None
    """How likely at least such a difference is if nothing has changed; None where no test says."""


_RATES: Final[Mapping[Signal, tuple[str, str, int]]] = {
    "format_compliance": ("good", "checked", ENOUGH),
    "refusal_rate": ("refused", "answers", ENOUGH),
    "truncation_rate": ("truncated", "answers", ENOUGH),
    "refusal_wording": ("worded", "sampled", ENOUGH),
    "feedback": ("liked", "judged", ENOUGH_JUDGED),
}


def shifts(span: Span) -> list[Shift]:
    """Every signal that both sides tell enough of, whether it has moved or not."""
    return [*_rates(span), *_length(span), *_language(span), *_similarity(span)]


def drifted(all_shifts: Sequence[Shift]) -> list[bool]:
    """Which of everything that was compared in one look has drifted."""
    chances = [each.chance for each in all_shifts if each.chance is not None]
    believed = iter(discoveries(chances, FALSE))
    return [
        (True if each.chance is None else next(believed)) and each.effect >= 1.0
        for each in all_shifts
    ]


def _rates(span: Span) -> Iterator[Shift]:
    for signal, (hits, of, enough) in _RATES.items():
        n, m = getattr(span.lately, of), getattr(span.before, of)
        if n < enough or m < (enough if enough < ENOUGH else ENOUGH_BEFORE):
            continue
        x, y = getattr(span.lately, hits), getattr(span.before, hits)
        effect = cohens_h(x / n, y / m) / LEAST_H
        yield Shift(signal, x / n, y / m, n, m, effect, proportions(x, n, y, m))


def _length(span: Span) -> Iterator[Shift]:
    now, then = span.lately.lengths, span.before.lengths
    if _enough(now, then):
        distance, chance = kolmogorov_smirnov(now, then)
        medians = percentile(now, 0.5) or 0.0, percentile(then, 0.5) or 0.0
        yield Shift("output_length", *medians, _size(now), _size(then),
                    distance / LEAST_DISTANCE, chance)  # fmt: skip


def _language(span: Span) -> Iterator[Shift]:
    now, then = span.lately.languages, span.before.languages
    if _enough(now, then):
        most = max(then, key=lambda place: then[place])
        shares = now.get(most, 0) / _size(now), then[most] / _size(then)
        effect = total_variation(now, then) / LEAST_VARIATION
        yield Shift("language", *shares, _size(now), _size(then), effect, chi_squared(now, then))


def _similarity(span: Span) -> Iterator[Shift]:
    """How far the window's wording is from the usual, against how far its own parts are."""
    n, m = span.lately.sampled, span.before.sampled
    parts = [part for part in span.wordings_before if any(part.values())]
    if n < ENOUGH or m < ENOUGH_BEFORE or len(parts) < LEAST_BLOCKS:
        return
    usual = [
        jensen_shannon(part, added(parts[:place] + parts[place + 1 :]))
        for place, part in enumerate(parts)
    ]
    now = jensen_shannon(span.wording, added(parts))
    effect = min(now / LEAST_DIVERGENCE, robust_z(now, usual, _SPREAD) / FAR)
    yield Shift("similarity", now, sum(usual) / len(usual), n, m, max(0.0, effect), None)


def _enough(now: Bins, then: Bins) -> bool:
    return _size(now) >= ENOUGH and _size(then) >= ENOUGH_BEFORE


def _size(bins: Bins) -> int:
    return sum(bins.values())


def total(many: Iterable[Sums]) -> Sums:
    """All of them together."""
    every = list(many)
    fields = [name for name in Sums.__struct_fields__ if name not in ("lengths", "languages")]
    return Sums(
        **{name: sum(getattr(each, name) for each in every) for name in fields},
        lengths=added(each.lengths for each in every),
        languages=added(each.languages for each in every),
    )
