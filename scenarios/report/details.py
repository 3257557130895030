"""What runs have kept beside their accuracy: likelihood, classes, costs, and which images were bought."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alenv.errors import AlenvError
from scenarios.play.record import balance
from scenarios.play.run_folder import Run
from scenarios.report.curves import Curves

COLUMNS = (
    *("label", "agent", "seed", "cycle", "labeled_count", "accuracy", "nll", "worst_class_recall"),
    *("query_class_balance", "labeled_class_balance", "query_seconds", "query_megabytes", "train_seconds"),
)


@dataclass(frozen=True)
class Details:
    """What one run says of each of its cycles; NaN where it says nothing.

    Attributes:
        nll: Mean negative log-likelihood on the test set in nats, float64 (T + 1,).
        recall: Recall of each class on the test set in [0, 1], float64 (T + 1, C); C is 0 where none was kept.
        bought: Labels of each class in the initial set and in each query, float64 (T + 1, C).
        query_seconds: Seconds that the agent took for each query, float64 (T + 1,).
        query_megabytes: Memory that choosing took beyond what was held before, at its peak, float64 (T + 1,).
        train_seconds: Seconds of each training, float64 (T + 1,).
        meta: Content of ``meta.json``.
    """

    nll: np.ndarray
    recall: np.ndarray
    bought: np.ndarray
    query_seconds: np.ndarray
    query_megabytes: np.ndarray
    train_seconds: np.ndarray
    meta: Mapping[str, Any]


Known = Mapping[tuple[str, int], Details]  # by label and seed


def gather_details(runs: Sequence[Run], curves: Sequence[Curves]) -> dict[tuple[str, int], Details]:
    """Reads what finished runs have kept; one whose record cannot be read is left out.

    Args:
        runs: Where to look.
        curves: The finished runs.
    """
    finished = {(arm.label, seed) for arm in curves for seed in arm.seeds}
    found = {}
    for run in runs:
        key = (run.arm.label, run.seed)
        if key in finished:
            try:
                meta, record = run.folder.meta(), run.folder.record()
            except AlenvError:
                continue
            if meta is not None and record is not None:
                found[key] = _details(meta, record.curve, record.costs)
    return found


def _details(
    meta: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]
) -> Details:
    counts = _table([row.get("class_counts") for row in rows])
    right, total = (_table([row.get(name) for row in rows]) for name in ("class_correct", "class_total"))
    return Details(
        nll=_column(rows, "nll"),
        recall=np.divide(right, total, out=np.full(right.shape, math.nan), where=total > 0),
        bought=np.diff(counts, axis=0, prepend=np.zeros((1, counts.shape[1]))),
        query_seconds=_column(costs, "query_seconds"),
        query_megabytes=_column(costs, "query_extra_memory_megabytes"),
        train_seconds=_column(costs, "train_seconds"),
        meta=meta,
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [row.get(name) for row in rows]
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _table(rows: Sequence[Sequence[int] | None]) -> np.ndarray:
    """Returns float64 (T + 1, C), NaN in the rows that are not known."""
    classes = max((len(row) for row in rows if row is not None), default=0)
    return np.array([row if row is not None else [math.nan] * classes for row in rows], dtype=np.float64)


def results_csv(curves: Sequence[Curves], known: Known) -> str:
    """Returns all that finished runs say in long form: one row per arm, seed and cycle; unknown cells are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm in curves:
        for seed, row in zip(arm.seeds, arm.accuracy, strict=True):
            more = _numbers(known.get((arm.label, seed)), len(row))
            for cycle, (labeled, accuracy) in enumerate(zip(arm.labeled, row, strict=True)):
                cells = [repr(float(accuracy)), *(_cell(values[cycle]) for values in more)]
                writer.writerow([arm.label, arm.agent, seed, cycle, int(labeled), *cells])
    return buffer.getvalue()


def _numbers(details: Details | None, cycles: int) -> list[np.ndarray]:
    """Returns the columns of ``results_csv`` behind the accuracy, each (T + 1,)."""
    unknown = np.full(cycles, math.nan)
    if details is None:
        return [unknown] * 7
    classes, known = details.bought.shape[1], details.recall.shape[1]
    return [
        details.nll,
        np.fmin.reduce(details.recall, axis=1) if known else unknown,
        balance(details.bought) if classes else unknown,
        balance(details.bought.cumsum(axis=0)) if classes else unknown,
        details.query_seconds,
        details.query_megabytes,
        details.train_seconds,
    ]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))
