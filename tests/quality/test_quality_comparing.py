"""The tests' figures against published or hand-computed ones, and what they say of chance."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.quality.comparing import (
    chi_squared,
    chi_squared_above,
    cohens_h,
    discoveries,
    jensen_shannon,
    kolmogorov,
    kolmogorov_smirnov,
    proportions,
    robust_z,
    total_variation,
)

COUNTS = st.dictionaries(st.integers(0, 20), st.integers(0, 500), max_size=12)


def test_two_proportions_as_by_hand() -> None:
    # 45 of 100 against 60 of 100: pooled 0.525, z = 0.15 / sqrt(0.525 * 0.475 * 0.02) = 2.1240
    assert proportions(45, 100, 60, 100) == pytest.approx(0.03367, abs=2e-5)
    assert proportions(60, 100, 45, 100) == proportions(45, 100, 60, 100)
    assert proportions(30, 100, 30, 100) == 1.0
    assert proportions(0, 0, 3, 10) == 1.0


def test_small_counts_are_compared_exactly() -> None:
    # Fisher's lady tasting tea: 3 of 4 right has a tail of 17/70, 4 of 4 one of 1/70.
    assert proportions(3, 4, 1, 4) == pytest.approx(2 * 17 / 70)
    assert proportions(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert proportions(0, 100, 0, 1000) == pytest.approx(1.0)
    # 5 of 50 against 0 of 500: the tail is C(50,5)/C(550,5).
    assert proportions(5, 50, 0, 500) == pytest.approx(2 * math.comb(50, 5) / math.comb(550, 5))


def test_effect_sizes_as_in_cohens_table() -> None:
    # Table 6.2.2: phi(0.50) = 1.571, phi(0.60) = 1.772, phi(0.05) = 0.451, phi(0.01) = 0.200
    assert cohens_h(0.60, 0.50) == pytest.approx(1.772 - 1.571, abs=1e-3)
    assert cohens_h(0.05, 0.01) == pytest.approx(0.451 - 0.200, abs=1e-3)


@pytest.mark.parametrize(("x", "above"), [(1.22, 0.10), (1.36, 0.05), (1.63, 0.01), (1.95, 0.001)])
def test_kolmogorovs_limit_has_its_published_critical_values(x: float, above: float) -> None:
    assert kolmogorov(x) == pytest.approx(above, rel=0.03)


def test_distance_of_two_samples_as_by_hand() -> None:
    # Cumulative 0.1, 0.6, 1.0 against 0.5, 0.8, 1.0.
    distance, chance = kolmogorov_smirnov({1: 10, 2: 50, 3: 40}, {1: 50, 2: 30, 3: 20})
    assert distance == pytest.approx(0.4)
    root = math.sqrt(50)
    assert chance == pytest.approx(kolmogorov((root + 0.12 + 0.11 / root) * 0.4))
    assert kolmogorov_smirnov({1: 5}, {}) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("statistic", "freedom", "above"),
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (5.991, 2, 0.05), (7.815, 3, 0.05), (11.070, 5, 0.05),
     (18.307, 10, 0.05), (29.588, 10, 0.001)],
)  # fmt: skip
def test_chi_squared_has_its_published_critical_values(
    statistic: float, freedom: int, above: float
) -> None:
    # NIST/SEMATECH e-Handbook, 1.3.6.7.4
    assert chi_squared_above(statistic, freedom) == pytest.approx(above, rel=2e-3)


def test_homogeneity_as_by_hand() -> None:
    # [[30, 70], [50, 50]]: expected 40, 60; 4 * ... = 100/40 * 2 + 100/60 * 2 = 8.3333
    assert chi_squared({1: 30, 2: 70}, {1: 50, 2: 50}) == pytest.approx(0.003892, rel=1e-3)
    # Kinds too rare to tell apart are one.
    assert chi_squared({1: 99, 2: 1}, {1: 99, 3: 1}) == pytest.approx(1.0)
    assert chi_squared({1: 100}, {1: 50}) == 1.0


def test_divergences_as_by_hand() -> None:
    assert total_variation({1: 90, 2: 10}, {1: 50, 3: 50}) == pytest.approx(0.5)
    assert jensen_shannon({1: 5}, {2: 9}) == pytest.approx(1.0)
    assert jensen_shannon({1: 5, 2: 5}, {1: 50, 2: 50}) == 0.0
    # p = (1, 0), q = (1/2, 1/2): H(3/4, 1/4) - 1/2 = 0.3113
    assert jensen_shannon({1: 4}, {1: 2, 2: 2}) == pytest.approx(0.31128, abs=1e-5)


@given(COUNTS, COUNTS)
def test_divergences_are_symmetric_and_bounded(one: dict[int, int], other: dict[int, int]) -> None:
    for measure in (total_variation, jensen_shannon):
        assert 0.0 <= measure(one, other) <= 1.0 + 1e-9
        assert measure(one, other) == pytest.approx(measure(other, one), abs=1e-12)
        assert measure(one, one) == pytest.approx(0.0, abs=1e-12)


@given(COUNTS, COUNTS)
def test_chances_are_chances_whatever_is_compared(
    one: dict[int, int], other: dict[int, int]
) -> None:
    for chance in (chi_squared(one, other), kolmogorov_smirnov(one, other)[1]):
        assert 0.0 <= chance <= 1.0
    n, m = sum(one.values()), sum(other.values())
    hits, hits_before = max(one.values(), default=0), max(other.values(), default=0)
    assert 0.0 <= proportions(hits, n, hits_before, m) <= 1.0


def test_robust_z_does_not_care_about_one_outlier() -> None:
    usual = [1.0, 2.0, 3.0, 4.0, 100.0]
    assert robust_z(3.0 + 1.4826, usual, 0.0001) == pytest.approx(1.0)


def test_discoveries_as_in_the_published_example() -> None:
    # Benjamini and Hochberg (1995), section 3: at 0.05 the first four of fifteen.
    chances = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
               0.4262, 0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    assert discoveries(chances, 0.05) == [True] * 4 + [False] * 11
    assert discoveries([], 0.05) == []


def test_shares_that_are_the_same_are_told_apart_as_seldom_as_promised() -> None:
    draw = random.Random(11)
    for share in (0.01, 0.1, 0.5):
        alarms = 0
        for _ in range(1_000):
            now = sum(draw.random() < share for _ in range(100))
            then = sum(draw.random() < share for _ in range(300))
            alarms += proportions(now, 100, then, 300) < 0.05
        assert alarms <= 70


def test_lengths_that_are_alike_are_told_apart_as_seldom_as_promised() -> None:
    draw = random.Random(12)
    alarms = 0
    for _ in range(500):
        now, then = dict[int, int](), dict[int, int]()
        for bins, count in ((now, 100), (then, 300)):
            for _ in range(count):
                number = round(draw.gauss(16, 3))
                bins[number] = bins.get(number, 0) + 1
        alarms += kolmogorov_smirnov(now, then)[1] < 0.05
    assert alarms <= 25
