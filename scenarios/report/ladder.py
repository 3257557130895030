"""How far the rungs of a ladder rank strategies alike: rank correlations with intervals over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from scenarios.plan.analyses import Ladder
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.stats import Interval

DRAWS = 2_000


class Correlation(NamedTuple):
    """A rank correlation in [-1, 1], NaN where one side is constant, and its bootstrap interval over seeds."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Agreement:
    """How alike two rungs rank the strategies.

    Attributes:
        rungs: Their names.
        strategies: How many strategies both have finished.
        seeds: How many seeds all of them share.
        spearman: Spearman's rho of the mean areas under the curve.
        kendall: Kendall's tau-b of them.
    """

    rungs: tuple[str, str]
    strategies: int
    seeds: int
    spearman: Correlation
    kendall: Correlation

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values; what does not exist is null."""

        def values(found: Correlation) -> dict[str, Any]:
            numbers = [None if np.isnan(x) else float(x) for x in (found.value, *found.interval)]
            return {"value": numbers[0], "interval": numbers[1:]}

        return {
            "rungs": list(self.rungs),
            "strategies": self.strategies,
            "seeds": self.seeds,
            "spearman": values(self.spearman),
            "kendall": values(self.kendall),
        }


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Spearman's rho of rows of values, ties sharing their mean rank.

    Args:
        first: float (n, A).
        second: float (n, A).

    Returns:
        (n,); NaN where a row is constant.
    """
    ranks = [rankdata(values, axis=1) for values in (first, second)]
    centered = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    return _ratio((centered[0] * centered[1]).sum(axis=1), *((each**2).sum(axis=1) for each in centered))


def kendall(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b of rows of values.

    Args:
        first: float (n, A).
        second: float (n, A).

    Returns:
        (n,); NaN where a row is constant.
    """
    signs = [np.sign(values[:, :, None] - values[:, None, :]) for values in (first, second)]  # (n, A, A)
    return _ratio((signs[0] * signs[1]).sum(axis=(1, 2)), *((each**2).sum(axis=(1, 2)) for each in signs))


def _ratio(product: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the product over the geometric mean of two squares, NaN where that is zero."""
    size = np.sqrt(first * second)
    found: np.ndarray = np.divide(product, size, out=np.full(len(size), np.nan), where=size > 0)
    return found


def correlations(
    first: np.ndarray, second: np.ndarray, draws: int = DRAWS
) -> tuple[Correlation, Correlation]:
    """Returns Spearman's and Kendall's correlation of two rungs' mean areas, with 95 % percentile intervals.

    The bootstrap draws seeds with replacement, the same ones on both rungs, always in the same way.

    Args:
        first: Areas on one rung, float (A, S): strategies by seeds.
        second: Those on the other rung, of the same strategies and seeds.
        draws: Bootstrap draws.
    """
    count = first.shape[1]
    drawn = np.random.default_rng(0).integers(count, size=(draws, count))
    found = []
    for measure in (spearman, kendall):
        value = float(measure(first.mean(axis=1)[None], second.mean(axis=1)[None])[0])
        spread = measure(first[:, drawn].mean(axis=2).T, second[:, drawn].mean(axis=2).T)
        spread = spread[~np.isnan(spread)]
        known = count > 1 and len(spread) > 0 and not np.isnan(value)
        ends = np.quantile(spread, [0.025, 0.975]).tolist() if known else [np.nan, np.nan]
        found.append(Correlation(value, Interval(*ends)))
    return found[0], found[1]


def agreements(curves: Sequence[Curves], asked: Ladder) -> list[Agreement]:
    """Compares every two rungs over the strategies that have finished runs on both, on seeds that all share.

    Args:
        curves: The arms that have finished runs.
        asked: Which arms stand on which rung.
    """
    found = {arm.label: arm for arm in curves}
    result = []
    for one, other in itertools.combinations(asked.rungs, 2):
        pairs = [(found.get(one.arms[each]), found.get(other.arms[each])) for each in one.order]
        held = [(a, b) for a, b in pairs if a is not None and b is not None]
        arms = [arm for pair in held for arm in pair]
        seeds = [seed for seed in arms[0].seeds if all(seed in arm.seeds for arm in arms)] if arms else []
        if len(held) < 2 or not seeds or min(arm.accuracy.shape[1] for arm in arms) < 2:
            continue
        first, second = (
            np.stack([100 * stats.area(pair[side].at(seeds)) for pair in held]) for side in (0, 1)
        )
        result.append(Agreement((one.name, other.name), len(held), len(seeds), *correlations(first, second)))
    return result
