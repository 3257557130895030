"""Verdicts on claims, and the statistics that they rest on, checked against independent computations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from scenarios.plan.scenario import Check
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.verdicts import ALIKE, judge


def arm(label: str, points: Sequence[float], seeds: Sequence[int] | None = None) -> Curves:
    """An arm of three cycles whose accuracy is 60 % plus these points, one per seed, but for the first cycle."""
    labeled = np.array([100, 200, 300])
    accuracy = np.tile(0.6, (len(points), 3))
    accuracy[:, 1:] += np.asarray(points)[:, None] / 100
    return Curves(label, label, tuple(seeds or range(len(points))), labeled, accuracy)


def verdict(check: Check, *arms: Curves) -> str:
    (found,) = judge([check], arms)
    return found.outcome


NONE = arm("random", [0.0] * 6)
UP = [2.0, 2.5, 1.5, 2.2, 1.8, 2.1]
LITTLE = [0.1, -0.1, 0.2, -0.2, 0.05, -0.05]
WIDE = [3.0, -2.0, 4.0, -3.0, 1.0, -0.5]


@pytest.mark.parametrize(
    ("points", "sign", "outcome"),
    [
        (UP, 1, "reproduced"),
        (UP, -1, "contradicted"),
        (UP, 0, "contradicted"),
        (LITTLE, 0, "reproduced"),
        (LITTLE, 1, "undecided"),
        (WIDE, 1, "undecided"),
        (WIDE, 0, "undecided"),
        ([-value for value in UP], -1, "reproduced"),
        ([-value for value in UP], 1, "contradicted"),
        ([0.3, 0.31, 0.29, 0.3, 0.32, 0.28], 0, "reproduced"),  # there is a difference, and it is small
        ([0.0] * 6, 0, "reproduced"),
        ([0.0] * 6, 1, "undecided"),
        ([2.0] * 6, 1, "reproduced"),
    ],
)
@pytest.mark.parametrize("at", [None, "first", "end", 200])
def test_a_check_is_decided_where_it_looks(
    points: list[float], sign: int, outcome: str, at: int | str | None
) -> None:
    assert verdict(Check("a", "random", sign, at), NONE, arm("a", points)) == outcome
    if sign:
        assert verdict(Check("a", "random", sign, "start"), NONE, arm("a", points)) == "undecided"


def test_a_verdict_names_its_figures() -> None:
    (found,) = judge([Check("a", "random", 1, what="A beats Random.")], [NONE, arm("a", UP)])
    low, high = scipy.stats.ttest_1samp(UP, 0).confidence_interval()
    assert str(found) == (
        f"Reproduced: A beats Random. ({np.mean(UP):+.2f} [{low:+.2f}, {high:+.2f}] points, 6 seeds, p < 0.001)"
    )
    assert found.p == pytest.approx(scipy.stats.ttest_1samp(UP, 0).pvalue)
    as_json = found.as_json()
    assert as_json["outcome"] == "reproduced"
    assert as_json["seeds"] == 6
    assert as_json["more_seeds_needed"] is None


def test_what_cannot_be_decided_says_why() -> None:
    other = arm("b", UP, seeds=range(10, 16))
    checks = [Check("a", "random", 1), Check("b", "random", 1), Check("random", "c", 0, 150)]
    same = Curves("c", "c", NONE.seeds, NONE.labeled, NONE.accuracy)
    found = [str(each) for each in judge(checks, [NONE, other, same])]
    assert found == [
        "Undecided, since a has no finished run: a above random in the area under the curve.",
        "Undecided, since it takes two seeds that both arms have finished: b above random in the area under the "
        "curve.",
        "Undecided, since no cycle ends at 150 labels here: random as good as c at 150 labels.",
    ]
    assert judge([], []) == []


@pytest.mark.parametrize("count", [1, 4])
def test_undecided_says_how_many_seeds_would_do(count: int) -> None:
    points = [1.0, -0.5, 1.5, 0.2, -0.3, 0.9]
    checks = [Check("a", "random", 1)] * count
    found = judge(checks, [NONE, arm("a", points)])[0]
    assert found.outcome == "undecided"
    assert found.more_seeds is not None
    effect, level = np.mean(points) / np.std(points, ddof=1), 0.05 / count
    enough = 6 + found.more_seeds
    assert stats.power(effect, enough, level) >= 0.8 > stats.power(effect, enough - 1, level)
    assert f"about {found.more_seeds} more seeds" in str(found)


def test_power_at_a_level_by_simulation() -> None:
    rng, seeds, level = np.random.default_rng(0), 12, 0.05 / 8
    draws = rng.normal(1.0, 1.0, (20_000, seeds))
    rejected = scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < level
    assert rejected.mean() == pytest.approx(stats.power(1.0, seeds, level), abs=0.012)


def test_many_checks_are_held_to_a_stricter_level() -> None:
    points = [1.0, 0.2, 0.9, -0.1, 1.2, 0.6]
    p = scipy.stats.ttest_1samp(points, 0).pvalue
    assert 0.01 < p < 0.05
    once = judge([Check("a", "random", 1)], [NONE, arm("a", points)])
    often = judge([Check("a", "random", 1)] * 5, [NONE, arm("a", points)])
    assert once[0].outcome == "reproduced"
    assert {each.outcome for each in often} == {"undecided"}
    assert often[0].p == pytest.approx(5 * p)


def test_claims_that_are_false_are_seldom_reproduced() -> None:
    """At most 5 % of all claims of eight checks each, none of which holds, have one that is called true or false."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(400):
        arms = [arm(f"a{i}", rng.normal(0, 1, 8).tolist()) for i in range(8)]
        base = arm("random", rng.normal(0, 1, 8).tolist())
        verdicts = judge([Check(f"a{i}", "random", 1) for i in range(8)], [base, *arms])
        wrong += any(each.outcome != "undecided" for each in verdicts)
    assert wrong <= scipy.stats.binom.ppf(0.999, 400, 0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_closed_test(values: list[float]) -> None:
    """The adjusted value is the largest Bonferroni value over all sets that hold a hypothesis."""
    adjusted = stats.holm(values)
    for value, found in zip(values, adjusted, strict=True):
        # Of all sets that hold this one, those worst for it also hold the largest other values.
        others = sorted(values, reverse=True)
        others.remove(value)
        worst = max(min(1.0, (size + 1) * min([value, *others[:size]])) for size in range(len(values)))
        assert found == pytest.approx(worst)
    assert [a for _, a in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=10).filter(lambda v: np.ptp(v) > 0.01))
def test_p_values_are_scipys(values: list[float]) -> None:
    array = np.array(values)
    assert stats.difference_p(array) == pytest.approx(scipy.stats.ttest_1samp(array, 0).pvalue, abs=1e-12)
    sides = [
        scipy.stats.ttest_1samp(array, -ALIKE, alternative="greater").pvalue,
        scipy.stats.ttest_1samp(array, ALIKE, alternative="less").pvalue,
    ]
    assert stats.equivalence_p(array, ALIKE) == pytest.approx(max(sides), abs=1e-12)


def test_a_single_seed_has_no_p_value() -> None:
    assert math.isnan(stats.difference_p(np.ones(1)))
    assert math.isnan(stats.equivalence_p(np.ones(1), 1.0))
