"""What a run has measured so far, and the files that are written from it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alenv.files import npz_bytes

CURVE_COLUMNS = ("cycle", "labeled_count", "correct", "total", "accuracy", "reward")


@dataclass
class Record:
    """The rows of one run.

    Attributes:
        curve: One row per cycle with ``CURVE_COLUMNS``, the reward of cycle 0 None; ``class_counts``, the labels
            of each class so far; and what is known of the test set by class (see ``alenv.evaluation.Evaluation``):
            ``class_correct``, ``class_total``, ``nll``. An earlier version has kept none of these.
        costs: One row per cycle: seconds, memory and what the training came to, never part of what must repeat
            bit for bit.
        initial: Pool indices labeled at cycle 0, int64 (L0,).
        queries: Pool indices bought at cycles 1..T, each int64 (B,), in the order of acquisition.
    """

    curve: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    initial: list[int] = field(default_factory=list)
    queries: list[list[int]] = field(default_factory=list)

    def add(
        self,
        info: Mapping[str, Any],
        correct: int,
        total: int,
        reward: float | None,
        costs: Mapping[str, float],
        tested: Mapping[str, Any] | None = None,
    ) -> None:
        """Appends the row of one cycle.

        Args:
            info: The environment's ``info`` after ``reset`` or ``step``.
            correct: Test images classified correctly.
            total: Test images.
            reward: What ``step`` returned; None after ``reset``.
            costs: Seconds and memory of this cycle, and what its training came to.
            tested: What the test set says by class; None where that is not known.
        """
        self.curve.append(
            {
                "cycle": int(info["cycle"]),
                "labeled_count": int(info["labeled_count"]),
                "correct": int(correct),
                "total": int(total),
                "accuracy": int(correct) / int(total),
                "reward": None if reward is None else float(reward),
                "class_counts": [int(count) for count in info["class_counts"]],
                **(tested or {}),
            }
        )
        self.costs.append({"cycle": int(info["cycle"]), **{k: float(v) for k, v in costs.items()}})

    def texts(self) -> dict[str, str]:
        """Returns the tables of a run: name of the file -> what it holds, ``curve.csv`` last."""
        classes = self.classes_csv()
        found = {} if classes is None else {"classes.csv": classes}
        return {"costs.csv": self.costs_csv(), **found, "curve.csv": self.curve_csv()}

    def curve_csv(self) -> str:
        """Returns the learning curve; floats are the shortest text that reads back exactly."""
        return csv_text(CURVE_COLUMNS, self.curve)

    def classes_csv(self) -> str | None:
        """Returns the recall of each class and the mean negative log-likelihood on the test set, cycle by cycle.

        A cell stays empty where a class has no test image or a cycle says nothing; None where no cycle does.
        """
        classes = max((len(row.get("class_total", ())) for row in self.curve), default=0)
        if not classes:
            return None
        names = [f"recall_{label}" for label in range(classes)]
        rows = []
        for row in self.curve:
            counts = zip(row.get("class_correct", ()), row.get("class_total", ()), strict=True)
            recalls = [right / total if total else None for right, total in counts]
            rows.append({**row, **dict(zip(names, recalls, strict=False))})
        return csv_text(("cycle", "labeled_count", "nll", *names), rows)

    def totals(self) -> dict[str, float | None]:
        """Returns optimizer steps and peak memory of all cycles; None where no cycle says them."""
        steps = [row["optimizer_steps"] for row in self.costs if "optimizer_steps" in row]
        columns = ("peak_memory_megabytes", "query_peak_memory_megabytes")
        peaks = [row[column] for row in self.costs for column in columns if column in row]
        return {
            "optimizer_steps": int(sum(steps)) if steps else None,
            "peak_memory_megabytes": max(peaks, default=None),
        }

    def costs_csv(self) -> str:
        """Returns the costs; a column that a cycle does not have stays empty."""
        columns = list(dict.fromkeys(key for row in self.costs for key in row))
        return csv_text(columns, self.costs)

    def queries_npz(self, rows: np.ndarray) -> bytes:
        """Returns ``initial`` (L0,), ``queries`` (T, B) as pool indices, and both as dataset rows.

        Args:
            rows: Dataset row of every pool index, int64 (N,).
        """
        bought = self.bought()
        return npz_bytes({**bought, **{f"{name}_rows": rows[indices] for name, indices in bought.items()}})

    def bought(self) -> dict[str, np.ndarray]:
        """Returns pool indices: ``initial`` int64 (L0,) and ``queries`` int64 (T, B)."""
        width = len(self.queries[0]) if self.queries else 0
        queries = np.asarray(self.queries, dtype=np.int64).reshape(len(self.queries), width)
        return {"initial": np.asarray(self.initial, dtype=np.int64), "queries": queries}

    def state(self) -> dict[str, Any]:
        """Returns the record as lists and scalars."""
        return {
            "curve": [dict(row) for row in self.curve],
            "costs": [dict(row) for row in self.costs],
            "initial": list(self.initial),
            "queries": [list(query) for query in self.queries],
        }

    def text(self) -> str:
        """Returns the content of ``record.json``."""
        return json.dumps({"sha256": _digest(self.state()), "record": self.state()}) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Record:
        """Reads ``record.json``.

        Raises:
            ValueError: It is damaged.
        """
        found = json.loads(text)
        if not isinstance(found, dict) or _digest(found.get("record")) != found.get("sha256"):
            raise ValueError("something is damaged")
        return cls(**found["record"])


def balance(counts: np.ndarray) -> np.ndarray:
    """Returns how evenly images fall into classes: entropy over its maximum, 1 for even, 0 for one class alone.

    Args:
        counts: (..., C), C at least 1.

    Returns:
        float64 (...); NaN where nothing is counted.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / counts.sum(axis=-1, keepdims=True)
        entropy = -np.where(shares > 0, shares * np.log(shares), 0.0 * shares).sum(axis=-1)
    return np.asarray(entropy / math.log(max(counts.shape[-1], 2)) + 0.0)


def _digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as CSV: floats as the shortest text that reads back exactly, empty where a row says nothing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            "" if (value := row.get(column)) is None else repr(value) if isinstance(value, float) else value
            for column in columns
        )
    return buffer.getvalue()
