"""How many requests a target gets at once: learned from its first tokens and its refusals.

A gradient on latency for what slows down, a multiplicative decrease for what refuses:

    crowded   good ← gradient · beside              gradient = 1 - (median - best) / held
              limit ← 0.9 · good, then good         for one window; the first time 0.5 · good
    refused   limit ← backoff · max(used, limit/4)  a 429, a timeout, 503 or 529
    neither   limit ← limit + √limit · calm/16      only while at least half of it is used

Crowded is a `median` above `tolerance · best + slack`, where no more of the slack counts than lets
answers take a twentieth longer: where they take half a second, 0.1 s is much. Of one window,
`median` is that of the first tokens and `best` the lowest one so far; `beside` is how many ran when
those streams began, for that is what made them slow: by now there may be more. `held` is how long a
whole answer takes: the share of it that is spent waiting is, by Little's law, the share of the
requests that wait inside the target, and are too many. The gradient is 1/2 at least; `calm` counts
increases since a decrease, up to 16, so that the limit stays long near what was good. That it first
goes below it drains what waits inside, and shows how quick first tokens can be: a `best` that was
seen in a crowd would keep the crowd.

First tokens of streams are the only latency looked at. What a whole answer takes depends on its
length first of all, and says little of how crowded its model is.

What happens on one round trip changes the limit once: what began before the last decrease is not
counted any more. And a decrease has to help. If half as many requests at a time are as slow as
before, it is not they who crowd the target (longer prompts, other tenants, a slower model): their
median becomes the new `best`, and the limit what it was. So `best` cannot drift up in an overload
of our own, and a target that became slower is not starved.

Nor is one kept that came of refusals which had nothing to do with the number. While no more run
than the least, whatever comes of them gives back what refusals have taken: refused, it is not they
who are too many; answered, they are the probes of a target that is back after it was down
altogether, and would meet its whole load with room for a few, who wait beside a free fallback.

Sources: Envoy, "Adaptive Concurrency", gradient controller (`limit = gradient · limit + headroom`,
`headroom = √limit`, a percentile per window); its measuring of the best time by way of starving the
target now and then is replaced by the test of each decrease. Netflix, concurrency-limits:
`Gradient2Limit` (tolerance, lower bound of 1/2, no change while unused) and `AIMDLimit`. Cardwell
and others, "BBR: Congestion-Based Congestion Control" (2016): drain what was too much, and so see
the best time. Jacobson and Karels, "Congestion Avoidance and Control" (1988): one decrease per
round trip.
"""

from __future__ import annotations

import math

from msgspec import Struct

LOWEST_GRADIENT = 0.5
CALMED = 0.6
"""The share of the requests at which a decrease is judged, a little more than the half."""
HELPED = 0.8
"""The share of the median below which it has helped."""
QUARTER = 4
DRAINED_FIRST, DRAINED = 0.5, 0.9
"""Of what is good, how little a decrease goes down to for one window, so that `best` is seen."""
CAREFUL = 16
"""The first increases after a decrease are a sixteenth, two sixteenths and so on of the whole."""


class LimitSettings(Struct, frozen=True):
    """Bounds of the limit, for one process; `least = most` is a fixed one."""

    least: int = 4
    most: int = 1000
    first: int | None = None
    """Where it begins; None is `most`, so that a target that bears it is never held back."""
    tolerance: float = 1.5
    slack_s: float = 0.1
    """How much slower than best first tokens may be, by a factor and by a time."""
    waiting: float = 0.05
    """And never by more than this share of how long an answer takes when nothing waits."""
    window_s: float = 1.0
    samples: int = 20
    """How much must be seen before the limit moves; less where the limit itself is lower."""
    backoff: float = 0.9


class Limit(Struct, frozen=True):
    """The state: the limit, and what it was learned from."""

    limit: float
    best_s: float | None = None
    """The lowest median of first tokens; None before the first window."""
    since_s: float = -math.inf
    """When it was last decreased: what began earlier says nothing of it."""
    cut: Cut | None = None
    """The decrease whose effect is waited for."""
    calm: int = 0
    """Increases since it was `good` again."""
    good: float = 0.0
    """Where nothing waited inside the target any more, when it was last found crowded."""
    before: float = 0.0
    """What it was before refusals lowered it; 0 when it has grown by itself since."""


class Cut(Struct, frozen=True):
    """How it was before a decrease."""

    beside: float
    median_s: float
    limit: float


class Seen(Struct, frozen=True):
    """What one window showed, of attempts that began since the last decrease."""

    used: int
    """The most at once."""
    median_s: float | None = None
    """Of the first tokens of streams; None where there were too few."""
    beside: float = 0.0
    """How many there were when these streams began, itself included: their median too."""
    held_s: float = 0.0
    """How long an answer takes to its end, on average."""
    lag_s: float = 0.0
    """How late our own event loop was, at worst; so late it may have seen first tokens."""


def first_limit(settings: LimitSettings) -> Limit:
    """Where a target begins."""
    first = settings.most if settings.first is None else settings.first
    return Limit(float(_within(settings, first)))


def enough(settings: LimitSettings, limit: float) -> int:
    """How much must be seen before `after_window` is asked."""
    return max(2, min(settings.samples, int(limit)))


def after_window(settings: LimitSettings, state: Limit, seen: Seen, now_s: float) -> Limit:
    """The state after a window without a refusal."""
    limit, median_s, beside = state.limit, seen.median_s, seen.beside
    if median_s is None:
        return _grown(settings, state, seen.used)
    best_s = median_s if state.best_s is None else min(state.best_s, median_s)
    if median_s - seen.lag_s <= _allowed_s(settings, best_s, median_s, seen.held_s):
        calm = Limit(limit, best_s, state.since_s, calm=state.calm, good=state.good)
        return _grown(settings, calm, seen.used)
    if beside <= settings.least:  # as little as ever: it is not they who crowd it
        return Limit(limit, median_s, state.since_s)
    cut = state.cut
    if cut is not None and beside <= CALMED * cut.beside:
        if median_s > HELPED * cut.median_s:
            return Limit(_within(settings, cut.limit), median_s, state.since_s)
        cut = None
    if cut is None:
        cut = Cut(beside, median_s, limit)
    gradient = max(LOWEST_GRADIENT, 1.0 - (median_s - best_s) / max(seen.held_s, median_s))
    good = _within(settings, gradient * min(limit, beside))
    drained = (DRAINED if state.good else DRAINED_FIRST) * good
    return Limit(_within(settings, drained), best_s, now_s, cut, good=good)


def after_refusal(
    settings: LimitSettings, state: Limit, began_s: float, used: int, now_s: float
) -> Limit:
    """The state after a refusal of an attempt that began at `began_s`, beside `used` in all.

    The first ones of a target that is little used cost little: alone they say nothing of how many
    at once are too many.
    """
    if began_s < state.since_s:
        return state
    if used <= settings.least:
        return given_back(state)
    base = min(state.limit, max(used, state.limit / QUARTER))
    lower = _within(settings, settings.backoff * base)
    good, before = min(lower, state.good), state.before or state.limit
    return Limit(lower, state.best_s, now_s, state.cut, good=good, before=before)


def given_back(state: Limit) -> Limit:
    """The state without what refusals took from it."""
    return Limit(state.before, state.best_s, state.since_s) if state.before else state


def _allowed_s(settings: LimitSettings, best_s: float, median_s: float, held_s: float) -> float:
    """How long a first token may take: what answers wait inside the target adds to each of them."""
    alone_s = max(held_s, median_s) - (median_s - best_s)
    usual_s = settings.tolerance * best_s
    return max(usual_s, min(usual_s + settings.slack_s, best_s + settings.waiting * alone_s))


def _grown(settings: LimitSettings, state: Limit, used: int) -> Limit:
    if used < state.limit / 2:
        return state
    limit, step = state.limit, math.sqrt(state.limit)
    if limit < state.good:
        return Limit(state.good, state.best_s, state.since_s, state.cut, good=state.good)
    calm = min(CAREFUL, state.calm + 1)
    higher = _within(settings, limit + step * calm / CAREFUL)
    return Limit(higher, state.best_s, state.since_s, state.cut, calm, state.good)


def _within(settings: LimitSettings, limit: float) -> float:
    return min(float(settings.most), max(float(settings.least), limit))
