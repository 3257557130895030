"""The parts of the report that come from what runs keep beside accuracy: costs, likelihood, classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from scenarios.play.record import balance
from scenarios.report.html.charts import Point, heat_map, line_chart, scatter
from scenarios.report.html.pictured import LABELS, Pictured, line

# ---- costs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What the queries of an arm's runs cost: means over seeds; NaN where it is not known."""

    label: str
    accuracy: float
    seconds: float
    megabytes: float
    train_seconds: float


def costs(shown: Pictured) -> list[Cost]:
    """Returns seconds of all queries and the most memory that a query takes, in the order of the arms."""
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


def cost_charts(shown: Pictured) -> list[tuple[str, Markup]]:
    """Returns accuracy against seconds and against memory of the queries, as far as they are known, with headings."""
    charts = []
    for name, heading, unit in (
        ("seconds", "Final accuracy against query seconds", "all queries of a run (s)"),
        ("megabytes", "Final accuracy against query memory", "memory that a query takes (MB)"),
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


def nll_curves(shown: Pictured) -> Markup | None:
    """Returns mean negative log-likelihood by labels, of the arms that have kept it."""
    lines = []
    for arm in shown.curves:
        values = shown.detail(arm, "nll")
        if values is not None and np.isfinite(values).all():
            lines.append(line(shown.marks[arm.label], arm.labeled, values))
    if not lines:
        return None
    y_title = "negative log-likelihood (nats per image)"
    return line_chart("Negative log-likelihood on the test set", lines, x_title=LABELS, y_title=y_title)


def balance_curves(shown: Pictured) -> Markup | None:
    """Returns how evenly each query falls into the classes."""
    lines = []
    for arm in shown.curves:
        bought = shown.detail(arm, "bought")
        if bought is not None and bought.shape[2] and len(arm.labeled) > 1:
            values = balance(bought[:, 1:])
            if np.isfinite(values).all():
                lines.append(line(shown.marks[arm.label], arm.labeled[1:], values))
    if not lines:
        return None
    y_title = "class balance of the query (share of the entropy's maximum)"
    return line_chart("Class balance of the queries", lines, x_title=LABELS, y_title=y_title)


def class_maps(shown: Pictured) -> list[tuple[str, Markup]]:
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
