"""Reads the curves that runs have left behind, arm by arm, paired by seed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alenv.errors import AlenvError, CorruptRun, StorageError
from alenv.files import write_text
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

    def at(self, seeds: Sequence[int]) -> np.ndarray:
        """Returns the accuracy rows of some seeds, (len(seeds), T + 1)."""
        return self.accuracy[[self.seeds.index(seed) for seed in seeds]]


def gather(runs: Sequence[Run], failed: dict[str, str]) -> list[Curves]:
    """Reads all finished runs, in the order in which their arms first appear; unfinished ones are left out.

    Args:
        runs: Where to look.
        failed: Run name -> one sentence; takes the runs that cannot be read, so that the others are shown.
    """
    finished: dict[str, list[tuple[Run, np.ndarray]]] = {}
    for run in runs:
        try:
            if run.folder.finished(run.configuration):
                finished.setdefault(run.arm.label, []).append((run, _read(run)))
        except AlenvError as error:
            failed[run.name] = str(error)
    return [_stacked(sorted(rows, key=lambda row: row[0].seed)) for rows in finished.values()]


def _read(run: Run) -> np.ndarray:
    """Returns labeled count and accuracy of every cycle, float64 (T + 1, 2).

    A damaged file is written again from what the run has kept, where it can be written.
    """
    folder = run.folder
    file, cycles = folder.path / "curve.csv", folder.cycles()
    rows = _parsed(_text(file), cycles)
    if rows is None and (record := folder.record()) is not None:
        rows = _parsed(record.curve_csv(), cycles)
        with suppress(StorageError):  # nothing is lost: the next report reads the record again
            write_text(file, record.curve_csv())
    if rows is None:
        raise CorruptRun(f"{file} cannot be read; delete its folder and repeat the command.")
    return rows


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


def _stacked(played: list[tuple[Run, np.ndarray]]) -> Curves:
    """Puts the finished runs of an arm together, in the order of their seeds."""
    values = np.stack([curve for _, curve in played])  # (S, T + 1, 2)
    costs = [row for run, _ in played for row in query_costs(run)]
    seconds, megabytes = (
        [row[column] for row in costs if column in row]
        for column in ("query_seconds", "query_extra_memory_megabytes")
    )
    return Curves(
        label=played[0][0].arm.label,
        agent=played[0][0].arm.agent,
        seeds=tuple(run.seed for run, _ in played),
        labeled=values[0, :, 0].astype(np.int64),
        accuracy=values[:, :, 1],
        query_seconds=float(np.mean(seconds)) if seconds else math.nan,
        query_megabytes=max(megabytes, default=math.nan),
    )


def query_costs(run: Run) -> list[dict[str, float]]:
    """Returns ``costs.csv`` of a run, a row per query; empty where it cannot be read."""
    try:
        rows = csv.DictReader(io.StringIO(_text(run.folder.path / "costs.csv")))
        return [{key: float(value) for key, value in row.items() if value} for row in rows][1:]
    except (TypeError, ValueError):
        return []


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
