"""What has drifted is told, what has not is not: few answers, small differences, many looks."""

import random
from collections import Counter

import pytest

from tidegate.quality.bins import bin_of
from tidegate.quality.drift import Shift, Span, Sums, drifted, shifts
from tidegate.quality.texts import grams

SAME = Sums(answers=1_000, good=990, repaired=5, malformed=5, truncated=20, refused=10)


def signals(span: Span) -> dict[str, bool]:
    found = shifts(span)
    return {each.signal: told for each, told in zip(found, drifted(found), strict=True)}


def lengths(draw: random.Random, count: int, middle: float) -> dict[int, int]:
    return dict(Counter(bin_of(draw.lognormvariate(middle, 0.8)) for _ in range(count)))


def test_what_has_stayed_the_same_has_not_drifted() -> None:
    told = signals(Span(SAME, SAME))
    assert told == {
        "format_compliance": False, "refusal_rate": False, "truncation_rate": False,
    }  # fmt: skip


def test_each_share_that_jumps_has_drifted_alone() -> None:
    broken = Sums(answers=200, good=170, repaired=10, malformed=20, truncated=4, refused=2)
    assert signals(Span(broken, SAME)) == {
        "format_compliance": True, "refusal_rate": False, "truncation_rate": False,
    }  # fmt: skip
    refusing = Sums(answers=200, good=198, malformed=2, truncated=4, refused=20)
    assert signals(Span(refusing, SAME)) == {
        "format_compliance": False, "refusal_rate": True, "truncation_rate": False,
    }  # fmt: skip


def test_few_answers_are_not_compared_at_all() -> None:
    few = Sums(answers=49, good=0, malformed=49, refused=49)
    assert shifts(Span(few, SAME)) == []
    assert shifts(Span(SAME, Sums(answers=99, good=99))) == []


def test_difference_that_is_certain_but_small_is_not_told() -> None:
    now = Sums(answers=1_000_000, refused=12_000)
    then = Sums(answers=7_000_000, refused=70_000)
    [shift] = [each for each in shifts(Span(now, then)) if each.signal == "refusal_rate"]
    assert shift.chance is not None
    assert shift.chance < 1e-12
    assert shift.effect < 1.0
    assert not signals(Span(now, then))["refusal_rate"]


def test_feedback_needs_fewer_voices() -> None:
    now, then = Sums(liked=8, disliked=22), Sums(liked=80, disliked=20)
    assert signals(Span(now, then)) == {"feedback": True}


def test_lengths_and_languages_that_move_have_drifted() -> None:
    draw = random.Random(1)
    then = Sums(answers=2_000, lengths=lengths(draw, 2_000, 5.5), languages={3: 480, 4: 20})
    now = Sums(answers=200, lengths=lengths(draw, 200, 4.5), languages={3: 60, 4: 40})
    found = {each.signal: each for each in shifts(Span(now, then))}
    assert found["output_length"].then == pytest.approx(245, rel=0.1)
    assert found["output_length"].now == pytest.approx(90, rel=0.15)
    assert found["language"].then == pytest.approx(0.96)
    assert found["language"].now == pytest.approx(0.6)
    told = signals(Span(now, then))
    assert told["output_length"]
    assert told["language"]


WEATHER = ["rain", "sun", "cloud", "wind", "storm", "warm", "cold", "morning", "north", "coast"]
CODE = ["def", "return", "self", "import", "class", "lambda", "yield", "async", "await", "None"]


def texts(draw: random.Random, words: list[str], count: int = 60) -> dict[int, int]:
    found: Counter[int] = Counter()
    for _ in range(count):
        found.update(grams(" ".join(draw.choice(words) for _ in range(80))))
    return dict(found)


def wording(draw: random.Random, now: dict[int, int]) -> Shift:
    before = tuple(texts(draw, WEATHER) for _ in range(7))
    sums = Sums(sampled=60), Sums(sampled=420)
    [shift] = [
        each for each in shifts(Span(*sums, now, before)) if each.signal == "similarity"
    ]  # fmt: skip
    return shift


def test_answers_about_something_else_are_unlike_the_usual_ones() -> None:
    draw = random.Random(2)
    assert drifted([wording(draw, texts(draw, CODE))]) == [True]
    assert drifted([wording(draw, texts(draw, WEATHER + CODE))]) == [True]


def test_answers_as_usual_are_hardly_ever_unlike() -> None:
    draw = random.Random(3)
    alarms = sum(drifted([wording(draw, texts(draw, WEATHER))])[0] for _ in range(50))
    assert alarms == 0


def test_many_looks_at_what_never_changes_raise_next_to_no_alarm() -> None:
    draw = random.Random(4)

    def some(answers: int) -> Sums:
        def hits(share: float) -> int:
            return sum(draw.random() < share for _ in range(answers))

        bad = hits(0.03)
        return Sums(
            answers=answers, good=answers - bad, malformed=bad, truncated=hits(0.02),
            refused=hits(0.01), liked=answers // 4 - (down := hits(0.05)), disliked=down,
            lengths=lengths(draw, answers, 5.0), languages={3: answers - bad, 4: bad},
        )  # fmt: skip

    looks, alarms, compared = 60, 0, 0
    for _ in range(looks):
        found = [each for _ in range(5) for each in shifts(Span(some(80), some(400)))]
        compared += len(found)
        alarms += sum(drifted(found))
    assert compared == looks * 5 * 6
    assert alarms <= 1
