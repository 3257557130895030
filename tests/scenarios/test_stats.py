"""Every statistic against an independent computation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from scenarios.report import stats


def test_area_is_the_mean_after_the_first_query() -> None:
    accuracy = np.array([[0.9, 0.1, 0.2, 0.3], [0.0, 0.5, 0.5, 0.8]])
    assert stats.area(accuracy) == pytest.approx([0.2, 0.6])
    assert np.isnan(stats.area(np.array([[0.5]]))).all()


def test_t_interval_equals_a_one_sample_t_test() -> None:
    gains = np.array([1.2, -0.3, 0.8, 2.0, 0.1])
    expected = scipy_stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert stats.interval(gains) == pytest.approx((expected.low, expected.high))
    # by hand: mean 0.76, sd 0.907, t(4) = 2.776
    half = 2.7764451 * np.sqrt(np.sum((gains - 0.76) ** 2) / 4) / np.sqrt(5)
    assert stats.interval(gains) == pytest.approx((0.76 - half, 0.76 + half))


@pytest.mark.parametrize("seeds", [5, 20, 40])
def test_a_95_percent_interval_covers_the_mean_in_95_percent_of_cases(seeds: int) -> None:
    """A BCa bootstrap covers it in 82, 92.6 and 93.5 % of normal samples of these sizes."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, seeds))
    ends = np.array([stats.interval(values) for values in draws])
    assert ((ends[:, 0] < 3.0) & (ends[:, 1] > 3.0)).mean() == pytest.approx(0.95, abs=0.009)


def test_intervals_that_do_not_exist() -> None:
    assert all(math.isnan(end) for end in stats.interval(np.array([1.0])))
    assert stats.interval(np.full(5, 2.0)) == (2.0, 2.0)
    assert stats.interval(np.full(50, 2.0)) == (2.0, 2.0)


def test_paired_difference_removes_what_seeds_share() -> None:
    shared = np.array([0.0, 10.0, 20.0, 30.0])
    found = stats.paired(shared + np.array([1, 2, 1, 2]), shared)
    assert found.mean == 1.5
    assert found.sd == pytest.approx(math.sqrt(1 / 3))
    assert found.seeds == 4
    assert 0 < found.interval.low < 1.5 < found.interval.high < 3


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 20])
def test_interquartile_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    cut = count // 4
    kept = sorted(values)[cut : count - cut]
    assert stats.interquartile_mean(values) == pytest.approx(sum(kept) / len(kept))


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8)
)
@settings(max_examples=50)
def test_probability_of_improvement_counts_pairs(mine: list[int], theirs: list[int]) -> None:
    wins = sum((x > y) + 0.5 * (x == y) for x, y in itertools.product(mine, theirs))
    found = stats.probability_of_improvement(np.array(mine, float), np.array(theirs, float))
    assert found == pytest.approx(wins / (len(mine) * len(theirs)))


def test_penalty_matrix_equals_a_t_test_per_cycle() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, (5, 9))
    curves = [shared + rng.normal(m, 0.6, (5, 9)) for m in (0.0, 0.8, 2.0)]
    expected = np.zeros((3, 3))
    for i, j in itertools.permutations(range(3), 2):
        for cycle in range(1, 9):
            test = scipy_stats.ttest_rel(curves[i][:, cycle], curves[j][:, cycle])
            expected[i, j] += (test.pvalue < 0.05 and test.statistic > 0) / 8
    found = stats.penalty_matrix(curves)
    assert found == pytest.approx(expected)
    assert found[2, 0] > 0.8  # the test would be empty if nobody won
    assert 0 < found[1, 0] < 1


def test_penalty_matrix_without_spread() -> None:
    flat = np.full((3, 4), 0.5)
    assert stats.penalty_matrix([flat, flat + 0.1]).tolist() == [[0, 0], [1, 0]]
    assert not stats.penalty_matrix([flat, flat]).any()
    assert not stats.penalty_matrix([flat[:1], flat[:1] + 1]).any()


def test_labels_needed_interpolates() -> None:
    labeled = np.array([100, 200, 300, 400])
    curve = np.array([0.5, 0.6, 0.55, 0.8])
    assert stats.labels_needed(labeled, curve, 0.55) == pytest.approx(150)
    assert stats.labels_needed(labeled, curve, 0.6) == pytest.approx(200)
    assert stats.labels_needed(labeled, curve, 0.7) == pytest.approx(360)
    assert stats.labels_needed(labeled, curve, 0.2) == 100
    assert math.isnan(stats.labels_needed(labeled, curve, 0.81))


def test_labeling_efficiency_above_one_is_good() -> None:
    labeled = np.array([100, 200, 300])
    good, random = np.array([0.5, 0.8, 0.9]), np.array([0.5, 0.6, 0.8])
    same = {"random_labeled": labeled, "random_accuracy": random}
    assert stats.labeling_efficiency(labeled, good, **same, target=0.8) == pytest.approx(1.5)
    assert stats.labeling_efficiency(labeled, random, **same, target=0.8) == pytest.approx(1.0)
    assert math.isnan(stats.labeling_efficiency(labeled, good, **same, target=0.85))


@pytest.mark.parametrize(("mean", "sd"), [(2.0, 2.0), (1.3, 2.2), (-1.0, 0.7)])
def test_seeds_needed_gives_the_power_by_simulation(mean: float, sd: float) -> None:
    needed = stats.seeds_needed(mean, sd)
    assert needed is not None
    draws = np.random.default_rng(0).normal(mean, sd, (20_000, needed))
    power = (scipy_stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert 0.785 < power < 0.9
    assert stats.power(mean / sd, needed) == pytest.approx(power, abs=0.012)
    assert stats.power(mean / sd, needed - 1) < 0.8


def test_seeds_needed_at_the_edges() -> None:
    assert stats.seeds_needed(0.0, 1.0) is None
    assert stats.seeds_needed(math.nan, 1.0) is None
    assert stats.seeds_needed(1.0, math.nan) is None
    assert stats.seeds_needed(1.0, 0.0) == 2
    assert stats.seeds_needed(1e-9, 1.0) is None
    assert stats.seeds_needed(0.5, 1.0) == 34  # the textbook value for d = 0.5, paired, two-sided


def test_wilson_by_hand() -> None:
    assert stats.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert stats.wilson(0, 5)[0] == 0
    assert stats.wilson(5, 5)[1] == 1
