"""One picture of the comparison: its arms, which of them are drawn at first, and what their runs have kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scenarios.plan.scenario import Picture
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.details import Details, Known
from scenarios.report.html.charts import Line, Mark
from scenarios.report.html.svg import number
from scenarios.report.pictures import FEW_SEEDS, looks
from scenarios.report.summary import ArmSummary

MANY_ARMS = 12  # with more, only some are switched on at first
BEST = 6  # of many arms, how many are on beside references and published ones
MOST_ROWS = 24  # of a matrix; with more arms it shows those that are switched on at first
LABELS = "labeled images"


@dataclass(frozen=True)
class Pictured:
    """One picture of the comparison and all that the report needs of it.

    Attributes:
        picture: What is shown.
        key: Identifies it on the page.
        arms: The numbers of its arms, those that have finished runs.
        curves: The same arms.
        penalties: See ``stats.penalty_matrix``, or None.
        known: What the runs have kept beside accuracy.
        published: Labels of arms that have published numbers.
    """

    picture: Picture
    key: str
    arms: Sequence[ArmSummary]
    curves: Sequence[Curves]
    penalties: Sequence[Sequence[float]] | None
    known: Known
    published: frozenset[str] = frozenset()

    @cached_property
    def marks(self) -> dict[str, Mark]:
        """How each arm is drawn, by its label."""
        style = looks(self.curves)
        return {
            arm.label: Mark(arm.label, f"{self.key}a{place}", style[arm.label])
            for place, arm in enumerate(self.curves)
        }

    @cached_property
    def ranked(self) -> list[ArmSummary]:
        """The arms by difference, or by area where there is none, the best one first; ceilings last."""
        return sorted(self.arms, key=lambda arm: -_rank(arm))

    @cached_property
    def switched_on(self) -> frozenset[str]:
        """Labels of the arms that are switched on at first."""
        if len(self.arms) <= MANY_ARMS:
            return frozenset(arm.label for arm in self.arms)
        best = {arm.label for arm in sorted(self.arms, key=lambda arm: -_area(arm))[:BEST]}
        return frozenset(best | {arm.against for arm in self.arms if arm.against} | self.published)

    @property
    def of_matrices(self) -> list[Curves]:
        """The arms that matrices show, the best one first."""
        found = {arm.label: arm for arm in self.curves}
        chosen = [found[arm.label] for arm in self.ranked]
        return (
            chosen if len(chosen) <= MOST_ROWS else [arm for arm in chosen if arm.label in self.switched_on]
        )

    def detail(self, arm: Curves, name: str) -> np.ndarray | None:
        """Returns what every run of an arm has kept under a name, (S, T + 1, ...); None where one has not."""
        found = [self.known.get((arm.label, seed)) for seed in arm.seeds]
        if any(details is None or len(details.nll) != len(arm.labeled) for details in found):
            return None
        values = [getattr(details, name) for details in found]
        return np.stack(values) if len({each.shape for each in values}) == 1 else None

    def any_detail(self) -> Details | None:
        """Returns what some run of the picture has kept."""
        return next(
            (
                self.known[arm.label, s]
                for arm in self.curves
                for s in arm.seeds
                if (arm.label, s) in self.known
            ),
            None,
        )


def _rank(arm: ArmSummary) -> float:
    if arm.ceiling:
        return -math.inf
    return _area(arm) - 1e6 if arm.gain is None else arm.gain.mean


def _area(arm: ArmSummary) -> float:
    return arm.mean if math.isnan(arm.area) else arm.area


def line(mark: Mark, x: np.ndarray, values: np.ndarray) -> Line:
    """Returns the mean of (S, P) values with its band, or with every seed where they are few."""
    mean, extent = values.mean(axis=0), (float(values.min()), float(values.max()))
    if 1 < len(values) < FEW_SEEDS:
        return Line(mark, x, mean, seeds=values, extent=extent)
    if len(values) > 1:
        band = np.array([stats.interval(column) for column in values.T]).T
        return Line(mark, x, mean, band=band, extent=extent)
    return Line(mark, x, mean)


def said(value: float, digits: int = 2) -> str:
    """Returns a number for a table, a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Returns seconds with three significant digits."""
    return "-" if math.isnan(value) else number(float(f"{value:.3g}"))
