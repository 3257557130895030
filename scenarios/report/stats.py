"""Statistics over seeds: NumPy arrays in, numbers out. Accuracies may be shares or percent.

Arms of one comparison share seeds, and with a seed the initial set, the weights and the first accuracy, so
differences are taken per seed before anything is averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

MOST_SEEDS = 100_000


class Interval(NamedTuple):
    """A confidence interval; both ends are NaN when there are too few values."""

    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference between two arms: its mean, sd (n - 1), 95 % interval and number of seeds."""

    mean: float
    sd: float
    interval: Interval
    seeds: int


def area(accuracy: np.ndarray) -> np.ndarray:
    """Returns the area under the curve: the mean accuracy after queries 1..T, without cycle 0.

    Args:
        accuracy: (S, T + 1).

    Returns:
        (S,); NaN where there was no query.
    """
    if accuracy.shape[1] < 2:
        return np.full(len(accuracy), math.nan)
    return np.asarray(accuracy[:, 1:].mean(axis=1))


def spread(values: np.ndarray) -> float:
    """Returns the standard deviation, with n - 1, of values (n,); NaN for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Returns a confidence interval of the mean.

    Student's t interval at any number of seeds. Measured at a nominal 95 %: with 20 normal values it covers the mean
    in 95 % of cases, with 20 exponential ones in 92 %; the BCa bootstrap covers it in 93 and 91 %, and no better at 40.

    Args:
        values: (S,), one per seed; for a comparison, the paired differences.
        confidence: Nominal coverage.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return Interval(math.nan, math.nan)
    mean = float(np.mean(values))
    if np.ptp(values) == 0:
        return Interval(mean, mean)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean - half, mean + half)


def paired(values: np.ndarray, reference: np.ndarray) -> Difference:
    """Compares two arms seed by seed.

    Args:
        values: (S,).
        reference: (S,), the reference arm on the same seeds.
    """
    gains = values - reference
    return Difference(float(np.mean(gains)), spread(gains), interval(gains), len(gains))


def over_splits(
    gains: np.ndarray, train: int, test: int, shared: float = 1.0, confidence: float = 0.95
) -> Difference:
    """Returns the mean of differences over random splits of one set of images, with an interval that they may share.

    Splits of one set overlap, so that the plain interval is too narrow: the variance of the mean is not s^2 / n but
    s^2 (1 / n + test / train). Only what two plays of one split have in common can be common to splits that overlap;
    the rest, from initial sets and ties, is new in every play and averages out.

    Args:
        gains: float (n, r), paired differences of r plays on each of n splits.
        train: Images of a split that may teach.
        test: Images of a split that measure.
        shared: Share of the variance that plays of one split have in common; 1 corrects all of it, as published.
        confidence: Nominal coverage.

    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error", section 3.2, the corrected resampled
    t test.
    Differs: ``shared``; with one play a split, as published, there is no telling, and it is 1.
    """
    mean, sd = float(np.mean(gains)), spread(gains.ravel())
    half = float(stats.t.ppf((1 + confidence) / 2, len(gains) - 1)) * _corrected(gains, train, test, shared)
    return Difference(mean, sd, Interval(mean - half, mean + half), len(gains))


def over_splits_p(gains: np.ndarray, train: int, test: int, shared: float = 1.0) -> float:
    """Returns the p value of the two-sided test that goes with ``over_splits``."""
    mean, error = float(np.mean(gains)), _corrected(gains, train, test, shared)
    if not error:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(abs(mean) / error, len(gains) - 1))


def shared_by_plays(gains: Sequence[np.ndarray]) -> float:
    """Returns how much of the variance plays of one split may have in common, in [0, 1]; 1 where it is not known.

    It is the intraclass correlation of a one-way analysis of variance, its sums taken over all comparisons, and one
    standard error more: that of a single comparison, for those of the same splits are not independent.

    Args:
        gains: Paired differences of several comparisons on the same n splits, float (n, r) each.

    Source: Fisher 1925, "Statistical Methods for Research Workers", chapter 7, for the standard error.
    """
    between = within = 0.0
    for each in gains:
        splits, plays = each.shape
        if splits < 2 or plays < 2:
            return 1.0
        between += plays * float(each.mean(1).var(ddof=1))
        within += float(each.var(1, ddof=1).mean())
    if between + within == 0:
        return 1.0
    found = max(0.0, (between - within) / (between + (plays - 1) * within))
    error = (1 - found) * (1 + (plays - 1) * found) * math.sqrt(2 / (plays * (plays - 1) * (splits - 1)))
    return float(min(1.0, found + error))


def _corrected(gains: np.ndarray, train: int, test: int, shared: float) -> float:
    """Returns the standard error of the mean."""
    splits, plays = gains.shape
    variance = shared * (1 / splits + test / train) + (1 - shared) / (splits * plays)
    return spread(gains.ravel()) * math.sqrt(variance)


def difference_p(differences: np.ndarray) -> float:
    """Returns the p value of the two-sided t test that paired differences (n,) have mean zero; NaN for fewer than 2."""
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] else 1.0
    return float(2 * stats.t.sf(abs(_t(differences, 0.0)), len(differences) - 1))


def equivalence_p(differences: np.ndarray, bound: float) -> float:
    """Returns the p value of two one-sided t tests: small where the mean lies within plus or minus a bound.

    NaN for fewer than 2 differences.

    Args:
        differences: Paired differences (n,), in the unit of the bound.
        bound: Above 0.

    Source: Schuirmann 1987.
    """
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return 0.0 if abs(differences[0]) < bound else 1.0
    below = stats.t.cdf(_t(differences, bound), len(differences) - 1)
    above = stats.t.sf(_t(differences, -bound), len(differences) - 1)
    return float(max(below, above))


def _t(differences: np.ndarray, center: float) -> float:
    return float((np.mean(differences) - center) / stats.sem(differences))


def wilson(right: int, total: int) -> Interval:
    """Returns the 95 % interval of a share of which ``right`` of ``total`` were seen.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    found = stats.binomtest(right, total).proportion_ci(0.95, "wilson")
    return Interval(float(found.low), float(found.high))


def holm(values: Sequence[float]) -> list[float]:
    """Adjusts p values for their number: each is then compared with the level of all together.

    Args:
        values: p values in [0, 1].

    Source: Holm 1979.
    """
    order = np.argsort(values, kind="stable")
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, position in enumerate(order):
        largest = max(largest, (len(values) - rank) * values[position])
        adjusted[position] = min(1.0, largest)
    return adjusted


def interquartile_mean(values: np.ndarray) -> float:
    """Returns the mean of values (n,) without the lowest and the highest quarter.

    Source: Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice". Of n values the
    floor(n / 4) lowest and highest are cut, so that below four nothing is.
    """
    return float(stats.trim_mean(values, 0.25))


def probability_of_improvement(values: np.ndarray, reference: np.ndarray) -> float:
    """Returns the probability that a run of one arm beats a run of another; ties count one half.

    Args:
        values: float (n,), one area or accuracy per run of the arm.
        reference: float (m,), those of the other arm.

    Source: Agarwal et al. 2021; the Mann-Whitney U statistic over the number of pairs.
    Pairing by seed plays no part in it.
    """
    u = stats.mannwhitneyu(values, reference).statistic
    return float(u) / (len(values) * len(reference))


def penalty_matrix(curves: Sequence[np.ndarray], level: float = 0.05) -> np.ndarray:
    """Counts in which share of the cycles one arm significantly beats another.

    Args:
        curves: One (S, T + 1) array per arm, all on the same seeds and label counts.
        level: Two-sided level of the paired t test at each cycle.

    Returns:
        (A, A) in [0, 1]: entry (i, j) is the share of cycles 1..T in which arm i beats arm j. The mean of
        column j is how often arm j is beaten: lower is better.

    Source: Ash et al. 2020 (BADGE), section 4.
    Differs: every cycle counts, not only those of doubling label counts.
    """
    count = len(curves)
    matrix = np.zeros((count, count))
    seeds, cycles = curves[0].shape
    if seeds < 2 or cycles < 2:
        return matrix
    critical = stats.t.ppf(1 - level / 2, seeds - 1)
    for i in range(count):
        for j in range(count):
            gains = (curves[i] - curves[j])[:, 1:]  # (S, T)
            error = gains.std(axis=0, ddof=1) / math.sqrt(seeds)
            # Multiplied out, so that a difference without any spread needs no division by zero.
            beats = (gains.mean(axis=0) > critical * error) & (gains.mean(axis=0) > 0)
            matrix[i, j] = beats.mean()
    return matrix


def labels_needed(labeled: np.ndarray, accuracy: np.ndarray, target: float) -> float:
    """Returns the fewest labels at which a mean curve reaches an accuracy, linear between the cycles.

    Args:
        labeled: (T + 1,), ascending.
        accuracy: (T + 1,), the mean curve.
        target: Accuracy to reach.

    Returns:
        A number of labels, the first one where the curve starts above the target; NaN where it never gets
        there.
    """
    reached = np.flatnonzero(accuracy >= target)
    if not len(reached):
        return math.nan
    at = int(reached[0])
    if at == 0:
        return float(labeled[0])
    share = (target - accuracy[at - 1]) / (accuracy[at] - accuracy[at - 1])
    return float(labeled[at - 1] + share * (labeled[at] - labeled[at - 1]))


def labeling_efficiency(
    labeled: np.ndarray,
    accuracy: np.ndarray,
    *,
    random_labeled: np.ndarray,
    random_accuracy: np.ndarray,
    target: float,
) -> float:
    """Returns the labels that Random needs for an accuracy over those that an arm needs; above 1 is good.

    NaN where either never gets there. Interpolation is linear on the mean curves.

    Args:
        labeled: int (T + 1,), labels of the arm at each cycle.
        accuracy: float (T + 1,) in [0, 1], its mean accuracy there.
        random_labeled: int (T + 1,), the same of Random.
        random_accuracy: float (T + 1,).
        target: The accuracy to reach.

    Source: the paper, section A.12 (which does not say how it interpolates).
    """
    own = labels_needed(labeled, accuracy, target)
    return labels_needed(random_labeled, random_accuracy, target) / own if own else math.nan


def power(effect: float, seeds: int, level: float = 0.05) -> float:
    """Returns the power of the two-sided paired t test.

    Args:
        effect: Mean of the paired differences over their sd.
        seeds: Number of pairs, at least 2.
        level: Two-sided level.
    """
    critical = stats.t.ppf(1 - level / 2, seeds - 1)
    shift = abs(effect) * math.sqrt(seeds)
    return float(stats.nct.sf(critical, seeds - 1, shift) + stats.nct.cdf(-critical, seeds - 1, shift))


def seeds_needed(mean: float, sd: float, wanted: float = 0.8, level: float = 0.05) -> int | None:
    """Returns how many paired seeds would show a difference of this size with 80 % power.

    Args:
        mean: Mean of the paired differences.
        sd: Their standard deviation.
        wanted: Power.
        level: Two-sided level of the test.

    Returns:
        At least 2; None where the difference is zero or unknown, or ``MOST_SEEDS`` would not do.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or mean == 0:
        return None
    if sd == 0:
        return 2
    effect = mean / sd
    low, high = 1, 2
    while power(effect, high, level) < wanted:
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return None
    while high - low > 1:  # power grows with the number of seeds
        middle = (low + high) // 2
        low, high = (middle, high) if power(effect, middle, level) < wanted else (low, middle)
    return high
