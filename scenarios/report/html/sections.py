"""The parts of the report that come from accuracy: differences, curves, saved labels, penalties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.html.charts import Line, Row, forest, heat_map, line_chart
from scenarios.report.html.pictured import LABELS, Pictured, line
from scenarios.report.pictures import paired_gains
from scenarios.report.summary import shared_seeds
from scenarios.report.tables import pair

TARGETS = 25  # accuracies of the curve of saved labels


# ---- differences and curves ---------------------------------------------------------------------------------


def differences(shown: Pictured) -> Markup | None:
    """Returns the forest plot of areas, the best arm first; None where nothing is compared."""
    marks, several = shown.marks, len(set(shown.picture.against.values())) > 1
    rows = [
        Row(
            marks[arm.label],
            pair(arm.label, arm.against or "") if several else arm.label,
            arm.gain.mean,
            arm.gain.interval.low,
            arm.gain.interval.high,
        )
        for arm in shown.ranked
        if arm.gain is not None
    ]
    if not rows:
        return None
    to = "the arm's reference" if several else next(arm.against for arm in shown.arms if arm.gain is not None)
    return forest(
        "Paired differences of the area under the curve, with 95 % intervals",
        rows,
        x_title=f"difference of area to {to} (percentage points)",
    )


def learning_curves(shown: Pictured) -> Markup:
    """Returns mean test accuracy by labels."""
    lines = [line(shown.marks[arm.label], arm.labeled, 100 * arm.accuracy) for arm in shown.curves]
    return line_chart("Learning curves", lines, x_title=LABELS, y_title="test accuracy (%)")


def difference_curves(shown: Pictured) -> Markup | None:
    """Returns paired differences by labels; None where nothing is compared."""
    found = paired_gains(shown.curves, shown.picture.against)
    if not found:
        return None
    bases = {each.base.label for each in found}
    to = "own reference" if len(bases) > 1 else bases.pop()
    lines = [line(shown.marks[each.arm.label], each.labeled, each.points) for each in found]
    y_title = f"difference to {to} (percentage points)"
    return line_chart("Paired difference curves", lines, x_title=LABELS, y_title=y_title, zero=True)


# ---- labels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saving:
    """How many labels an arm needs for the final accuracy of its reference; NaN where it never gets there."""

    label: str
    against: str
    target: float
    needed: float
    spent: float

    @property
    def saved(self) -> float:
        """Labels that the arm saves."""
        return self.spent - self.needed

    @property
    def share(self) -> float:
        """The same in percent of the reference's labels."""
        return 100 * self.saved / self.spent if self.spent else math.nan

    @property
    def efficiency(self) -> float:
        """Labels of the reference over those of the arm."""
        return self.spent / self.needed if self.needed else math.nan


def _means(shown: Pictured, arm: Curves) -> tuple[Curves, np.ndarray, np.ndarray] | None:
    """Returns an arm's reference, and both mean curves over the seeds that they share."""
    base = next((each for each in shown.curves if each.label == shown.picture.against.get(arm.label)), None)
    if base is None or min(len(arm.labeled), len(base.labeled)) < 2 or not (seeds := shared_seeds(arm, base)):
        return None
    return base, arm.at(seeds).mean(axis=0), base.at(seeds).mean(axis=0)


def savings(shown: Pictured) -> list[Saving]:
    """Returns the labels saved at the reference's final accuracy, the most first."""
    found = []
    for arm in shown.curves:
        if (means := _means(shown, arm)) is not None:
            base, own, other = means
            target = float(other[-1])
            needed = stats.labels_needed(arm.labeled, own, target)
            spent = stats.labels_needed(base.labeled, other, target)
            found.append(Saving(arm.label, base.label, 100 * target, needed, spent))
    return sorted(found, key=lambda each: -math.inf if math.isnan(each.saved) else each.saved, reverse=True)


def saved_curve(shown: Pictured) -> Markup | None:
    """Returns the labels that each arm saves, by accuracy, between first and best accuracy of its reference."""
    lines = []
    for arm in shown.curves:
        if (means := _means(shown, arm)) is not None:
            base, own, other = means
            targets = np.linspace(float(other[0]), float(other.max()), TARGETS)
            saved = [
                stats.labels_needed(base.labeled, other, target)
                - stats.labels_needed(arm.labeled, own, target)
                for target in targets.tolist()
            ]
            if np.isfinite(saved).any() and targets[0] < targets[-1]:
                lines.append(Line(shown.marks[arm.label], 100 * targets, np.array(saved)))
    if not lines:
        return None
    return line_chart(
        "Labels saved at equal accuracy",
        lines,
        x_title="test accuracy (%)",
        y_title="labels saved (images)",
        zero=True,
    )


# ---- penalties ----------------------------------------------------------------------------------------------


def penalty_map(shown: Pictured) -> Markup | None:
    """Returns the penalty matrix; None where the arms cannot be compared at every cycle."""
    ranked = [arm.label for arm in shown.curves if not arm.ceiling]  # those of the matrix
    if shown.penalties is None or len(ranked) < 2:
        return None
    places = {label: place for place, label in enumerate(ranked)}
    names = [arm.label for arm in shown.of_matrices if not arm.ceiling]
    rows = [places[name] for name in names]
    return heat_map(
        "Penalty matrix",
        100 * np.array(shown.penalties)[np.ix_(rows, rows)],
        rows=names,
        columns=names,
        x_title="beaten arm (cells: % of the cycles)",
        y_title="arm that beats",
    )
