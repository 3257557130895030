"""Reads the curves that runs have left behind, arm by arm, paired by seed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agents import index
from alenv.errors import AlenvError, CorruptRun
from scenarios.play.run_folder import Run


@dataclass(frozen=True)
class Curves:
    """The finished runs of one arm.

    Attributes:
        label: The arm's label.
        agent: The agent's spelling; arms of one agent share a color.
        seeds: The finished seeds, ascending; S of them.
        labeled: Labeled images at each cycle, int64 (T + 1,).
        accuracy: Test accuracy in [0, 1], float64 (S, T + 1).
        query_seconds: Seconds that a query takes, inference included, mean over queries and seeds; NaN where no
            run says it.
        query_megabytes: The most memory that a query takes beyond what was held before it; NaN likewise.
    """

    label: str
    agent: str
    seeds: tuple[int, ...]
    labeled: np.ndarray
    accuracy: np.ndarray
    query_seconds: float = math.nan
    query_megabytes: float = math.nan

    @property
    def ceiling(self) -> bool:
        """Whether the agent reads labels before they are bought."""
        return index.shown(self.agent) != self.agent

    def at(self, seeds: Sequence[int]) -> np.ndarray:
        """Returns the accuracy rows of some seeds, (len(seeds), T + 1)."""
        return self.accuracy[[self.seeds.index(seed) for seed in seeds]]


def gather(runs: Sequence[Run], failed: dict[str, str]) -> list[Curves]:
    """Reads all finished runs, in the order in which their arms first appear; unfinished ones are left out.

    Args:
        runs: Where to look.
        failed: Run name -> one sentence; takes the runs that cannot be read, so that the others are shown.
    """
    finished: dict[str, list[_Played]] = {}
    for run in runs:
        try:
            if run.folder.finished(run.configuration):
                finished.setdefault(run.arm.label, []).append(_read(run))
        except AlenvError as error:
            failed[run.name] = str(error)
    return [_stacked(sorted(rows, key=lambda row: row.run.seed)) for rows in finished.values()]


class _Played(NamedTuple):
    """A finished run; labeled count and accuracy of every cycle, float64 (T + 1, 2); and costs, a row per query."""

    run: Run
    curve: np.ndarray
    costs: list[dict[str, float]]


def _read(run: Run) -> _Played:
    """Reads a run's record, or its curve alone where that cannot be read."""
    file, record = run.folder.path / "curve.csv", run.folder.record()
    curve = _parsed(_text(file) if record is None else record.curve_csv(), run.folder.cycles())
    if curve is None:
        raise CorruptRun(f"{file} cannot be read; delete its folder and repeat the command.")
    return _Played(run, curve, [] if record is None else record.costs[1:])


def _text(path: Path) -> str:
    """Returns what a file holds; nothing where that cannot be read as text."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _parsed(text: str, cycles: int) -> np.ndarray | None:
    """Returns labeled count and accuracy of every cycle, or None where the text is damaged."""
    try:
        table = [
            [float(row["labeled_count"]), float(row["accuracy"]), int(row["correct"]) / int(row["total"])]
            for row in csv.DictReader(io.StringIO(text))
        ]
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None
    rows = np.array(table)
    if not text.endswith("\n") or rows.shape != (cycles + 1, 3) or (rows[:, 1] != rows[:, 2]).any():
        return None
    return rows[:, :2]


def _stacked(played: list[_Played]) -> Curves:
    """Puts the finished runs of an arm together, in the order of their seeds."""
    values = np.stack([each.curve for each in played])  # (S, T + 1, 2)
    costs = [row for each in played for row in each.costs]
    seconds, megabytes = (
        [row[column] for row in costs if column in row]
        for column in ("query_seconds", "query_extra_memory_megabytes")
    )
    return Curves(
        label=played[0].run.arm.label,
        agent=played[0].run.arm.agent,
        seeds=tuple(each.run.seed for each in played),
        labeled=values[0, :, 0].astype(np.int64),
        accuracy=values[:, :, 1],
        query_seconds=float(np.mean(seconds)) if seconds else math.nan,
        query_megabytes=max(megabytes, default=math.nan),
    )


def long_csv(curves: Sequence[Curves]) -> str:
    """Returns all curves in long form: one row per arm, seed and cycle."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("label", "agent", "seed", "cycle", "labeled_count", "accuracy"))
    for arm in curves:
        for seed, row in zip(arm.seeds, arm.accuracy, strict=True):
            for cycle, (labeled, accuracy) in enumerate(zip(arm.labeled, row, strict=True)):
                writer.writerow((arm.label, arm.agent, seed, cycle, int(labeled), repr(float(accuracy))))
    return buffer.getvalue()
