"""The parts of the report that each picture has: its arms, their curves, and everything drawn from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup

from scenarios.plan.scenario import Picture
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.details import Details, Known, balance
from scenarios.report.html.charts import (
    Line,
    Mark,
    Point,
    Row,
    forest,
    heat_map,
    line_chart,
    scatter,
)
from scenarios.report.html.svg import number
from scenarios.report.pictures import FEW_SEEDS, looks, paired_gains
from scenarios.report.summary import ArmSummary, shared_seeds
from scenarios.report.tables import pair

MANY_ARMS = 12  # with more, only some are switched on at first
BEST = 6  # of many arms, how many are on beside references and published ones
MOST_ROWS = 24  # of a matrix; with more arms it shows those that are switched on at first
TARGETS = 25  # accuracies of the curve of saved labels
LABELS = "labeled images"


@dataclass(frozen=True)
class Shown:
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
        """The arms by difference, or by area where there is none, the best one first."""
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
    return _area(arm) - 1e6 if arm.gain is None else arm.gain.mean


def _area(arm: ArmSummary) -> float:
    return arm.mean if math.isnan(arm.area) else arm.area


def _line(mark: Mark, x: np.ndarray, values: np.ndarray) -> Line:
    """Returns the mean of (S, P) values with its band, or with every seed where they are few."""
    mean, extent = values.mean(axis=0), (float(values.min()), float(values.max()))
    if 1 < len(values) < FEW_SEEDS:
        return Line(mark, x, mean, seeds=values, extent=extent)
    if len(values) > 1:
        band = np.array([stats.interval(column) for column in values.T]).T
        return Line(mark, x, mean, band=band, extent=extent)
    return Line(mark, x, mean)


# ---- differences and curves ---------------------------------------------------------------------------------


def differences(shown: Shown) -> Markup | None:
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


def learning_curves(shown: Shown) -> Markup:
    """Returns mean test accuracy by labels."""
    lines = [_line(shown.marks[arm.label], arm.labeled, 100 * arm.accuracy) for arm in shown.curves]
    return line_chart("Learning curves", lines, x_title=LABELS, y_title="test accuracy (%)")


def difference_curves(shown: Shown) -> Markup | None:
    """Returns paired differences by labels; None where nothing is compared."""
    found = paired_gains(shown.curves, shown.picture.against)
    if not found:
        return None
    bases = {each.base.label for each in found}
    to = "own reference" if len(bases) > 1 else bases.pop()
    lines = [_line(shown.marks[each.arm.label], each.labeled, each.points) for each in found]
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


def _means(shown: Shown, arm: Curves) -> tuple[Curves, np.ndarray, np.ndarray] | None:
    """Returns an arm's reference, and both mean curves over the seeds that they share."""
    base = next((each for each in shown.curves if each.label == shown.picture.against.get(arm.label)), None)
    if base is None or min(len(arm.labeled), len(base.labeled)) < 2 or not (seeds := shared_seeds(arm, base)):
        return None
    return base, arm.at(seeds).mean(axis=0), base.at(seeds).mean(axis=0)


def savings(shown: Shown) -> list[Saving]:
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


def saved_curve(shown: Shown) -> Markup | None:
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


# ---- costs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What the queries of an arm's runs cost: means over seeds; NaN where it is not known."""

    label: str
    accuracy: float
    seconds: float
    megabytes: float
    train_seconds: float


def costs(shown: Shown) -> list[Cost]:
    """Returns seconds of all queries and the largest peak memory of a run, in the order of the arms."""
    found = []
    for arm in shown.curves:
        seconds, megabytes, training = (
            shown.detail(arm, name) for name in ("query_seconds", "query_megabytes", "train_seconds")
        )
        found.append(
            Cost(
                arm.label,
                float(100 * arm.accuracy[:, -1].mean()),
                _mean(seconds, np.nansum),
                _mean(megabytes, np.fmax.reduce),
                _mean(training, np.nansum),
            )
        )
    return found


def _mean(values: np.ndarray | None, of_run: object) -> float:
    """Returns the mean over runs of what becomes of the cycles of each, (S, T + 1)."""
    if values is None or np.isnan(values).all(axis=1).any():
        return math.nan
    return float(np.mean([of_run(row) for row in values]))  # type: ignore[operator]  # a ufunc's reduction


def cost_charts(shown: Shown) -> list[tuple[str, Markup]]:
    """Returns accuracy against seconds and against memory of the queries, as far as they are known, with headings."""
    charts = []
    for name, heading, unit in (
        ("seconds", "Final accuracy against query seconds", "all queries of a run (s)"),
        ("megabytes", "Final accuracy against query memory", "peak memory of a query (MB)"),
    ):
        found = [
            Point(
                shown.marks[cost.label],
                getattr(cost, name),
                cost.accuracy,
                named=cost.label in shown.switched_on,
            )
            for cost in costs(shown)
            if math.isfinite(getattr(cost, name))
        ]
        if found:
            charts.append((heading, scatter(heading, found, x_title=unit, y_title="final test accuracy (%)")))
    return charts


# ---- classes ------------------------------------------------------------------------------------------------


def nll_curves(shown: Shown) -> Markup | None:
    """Returns mean negative log-likelihood by labels, of the arms that have kept it."""
    lines = []
    for arm in shown.curves:
        values = shown.detail(arm, "nll")
        if values is not None and np.isfinite(values).all():
            lines.append(_line(shown.marks[arm.label], arm.labeled, values))
    if not lines:
        return None
    y_title = "negative log-likelihood (nats per image)"
    return line_chart("Negative log-likelihood on the test set", lines, x_title=LABELS, y_title=y_title)


def balance_curves(shown: Shown) -> Markup | None:
    """Returns how evenly each query falls into the classes."""
    lines = []
    for arm in shown.curves:
        bought = shown.detail(arm, "bought")
        if bought is not None and bought.shape[2] and len(arm.labeled) > 1:
            values = balance(bought[:, 1:])
            if np.isfinite(values).all():
                lines.append(_line(shown.marks[arm.label], arm.labeled[1:], values))
    if not lines:
        return None
    y_title = "class balance of the query (share of the entropy's maximum)"
    return line_chart("Class balance of the queries", lines, x_title=LABELS, y_title=y_title)


def class_maps(shown: Shown) -> list[tuple[str, Markup]]:
    """Returns recall of each class at the end, and labels bought of each class, with their headings."""
    details = shown.any_detail()
    if details is None:
        return []
    names = details.meta.get("images", {}).get("class_names", [])
    maps = []
    for name, heading, unit in (
        ("recall", "Recall of each class at the end", "class (cells: recall in %)"),
        ("bought", "Labels bought of each class", "class (cells: labels, mean over seeds)"),
    ):
        rows = {}
        for arm in shown.of_matrices:
            values = shown.detail(arm, name)
            if values is not None and values.shape[2]:
                rows[arm.label] = (
                    100 * values[:, -1].mean(0) if name == "recall" else values[:, 1:].sum(1).mean(0)
                )
        sizes = {len(row) for row in rows.values()}
        if len(sizes) == 1 and any(np.isfinite(row).any() for row in rows.values()):
            size = sizes.pop()
            columns = list(names) if len(names) == size else [str(label) for label in range(size)]
            chart = heat_map(
                heading,
                np.stack(list(rows.values())),
                rows=list(rows),
                columns=columns,
                x_title=unit,
                y_title="arm",
            )
            maps.append((heading, chart))
    return maps


def penalty_map(shown: Shown) -> Markup | None:
    """Returns the penalty matrix; None where the arms cannot be compared at every cycle."""
    if shown.penalties is None or len(shown.curves) < 2:
        return None
    places = {arm.label: place for place, arm in enumerate(shown.curves)}
    names = [arm.label for arm in shown.of_matrices]
    rows = [places[name] for name in names]
    return heat_map(
        "Penalty matrix",
        100 * np.array(shown.penalties)[np.ix_(rows, rows)],
        rows=names,
        columns=names,
        x_title="beaten arm (cells: % of the cycles)",
        y_title="arm that beats",
    )


def said(value: float, digits: int = 2) -> str:
    """Returns a number for a table, a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Returns seconds with three significant digits."""
    return "-" if math.isnan(value) else number(float(f"{value:.3g}"))
