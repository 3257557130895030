"""The numbers of one comparison: what the table prints and what ``--json`` gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.report import stats
from scenarios.report.curves import Curves


@dataclass(frozen=True)
class ArmSummary:
    """One arm in percent and percentage points.

    Attributes:
        label: The arm's label.
        seeds: Finished seeds (S).
        labels: Labeled images at the end.
        mean: Final test accuracy, mean over seeds.
        sd: Its standard deviation.
        area: Area under the curve, mean over seeds.
        area_interquartile: Interquartile mean of the area.
        against: The arm that this one is compared with, its reference; None where there is none, or none that
            has finished a run.
        gain: Paired difference of the area to the reference; None without one, and for arms that share no
            seed with it or have other label counts, whose areas mean something else.
        improvement: Probability that a run of this arm has a larger area than one of the reference; or None.
        efficiency: Labels that the reference needs for its own final accuracy over those that this arm
            needs; NaN where this arm never gets there; or None.
        comparable: Whether the arm has the reference's label counts.
        query_seconds: See ``Curves``.
        query_megabytes: See ``Curves``.
        more_seeds: How many more seeds would show the gain with 80 % power; None where no number would.
        ceiling: Whether the agent reads labels before they are bought: its difference is no result of a test, but
            what there is to gain.
    """

    label: str
    seeds: int
    labels: int
    mean: float
    sd: float
    area: float
    area_interquartile: float
    against: str | None
    gain: stats.Difference | None
    improvement: float | None
    efficiency: float | None
    comparable: bool
    query_seconds: float
    query_megabytes: float
    more_seeds: int | None
    ceiling: bool = False

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values; what does not exist is null."""
        gain = self.gain
        return {
            "label": self.label,
            "seeds": self.seeds,
            "labels": self.labels,
            "accuracy_mean": _number(self.mean),
            "accuracy_sd": _number(self.sd),
            "area_mean": _number(self.area),
            "area_interquartile_mean": _number(self.area_interquartile),
            "against": self.against,
            "area_difference": None if gain is None else _number(gain.mean),
            "area_difference_sd": None if gain is None else _number(gain.sd),
            "area_difference_interval": None if gain is None else [_number(end) for end in gain.interval],
            "area_difference_seeds": None if gain is None else gain.seeds,
            "probability_of_improvement": _number(self.improvement),
            "labeling_efficiency": _number(self.efficiency),
            "query_seconds": _number(self.query_seconds),
            "query_megabytes": _number(self.query_megabytes),
            "more_seeds_needed": self.more_seeds,
            "ceiling": self.ceiling,
        }


def summarize(curves: Sequence[Curves], against: Mapping[str, str]) -> list[ArmSummary]:
    """Compares arms with the arms they are subtracted from, in the order given.

    Args:
        curves: The arms.
        against: Label -> label of its reference; an arm that is not in it, or whose reference is not among
            the arms, is compared with none.
    """
    found = {arm.label: arm for arm in curves}
    return [_summary(arm, found.get(against[arm.label]) if arm.label in against else None) for arm in curves]


def ranked(arms: Sequence[ArmSummary]) -> list[ArmSummary]:
    """Sorts arms by their difference, the largest first; those without one, and ceilings, come last as given."""
    return sorted(arms, key=lambda arm: math.inf if arm.gain is None or arm.ceiling else -arm.gain.mean)


def shared_seeds(arm: Curves, base: Curves) -> tuple[int, ...]:
    """Returns the seeds that both arms have finished."""
    return tuple(seed for seed in arm.seeds if seed in base.seeds)


def _summary(arm: Curves, base: Curves | None) -> ArmSummary:
    final = 100 * arm.accuracy[:, -1]
    areas = 100 * stats.area(arm.accuracy)
    seeds = () if base is None else shared_seeds(arm, base)
    gain = improvement = efficiency = more = None
    comparable = base is None or arm.labeled.tolist() == base.labeled.tolist()
    if base is not None and seeds and arm.accuracy.shape[1] > 1:
        if comparable:
            gain, improvement, more = _compared(arm, base, seeds)
        own_curve, base_curve = arm.at(seeds).mean(axis=0), base.at(seeds).mean(axis=0)
        efficiency = stats.labeling_efficiency(
            arm.labeled,
            own_curve,
            random_labeled=base.labeled,
            random_accuracy=base_curve,
            target=float(base_curve[-1]),
        )
    return ArmSummary(
        label=arm.label,
        seeds=len(arm.seeds),
        labels=int(arm.labeled[-1]),
        mean=float(np.mean(final)),
        sd=stats.spread(final),
        area=float(np.mean(areas)),
        area_interquartile=stats.interquartile_mean(areas),
        against=None if base is None else base.label,
        gain=gain,
        improvement=improvement,
        efficiency=efficiency,
        comparable=comparable,
        query_seconds=arm.query_seconds,
        query_megabytes=arm.query_megabytes,
        more_seeds=more,
        ceiling=arm.ceiling,
    )


def _compared(arm: Curves, base: Curves, seeds: Sequence[int]) -> tuple[stats.Difference, float, int | None]:
    """Returns gain, probability of improvement and missing seeds of the area under the curve."""
    own, other = 100 * stats.area(arm.at(seeds)), 100 * stats.area(base.at(seeds))
    gain = stats.paired(own, other)
    needed = stats.seeds_needed(gain.mean, gain.sd)
    more = None if needed is None else max(0, needed - gain.seeds)
    return gain, stats.probability_of_improvement(own, other), more


def _number(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or math.isnan(value) else value
