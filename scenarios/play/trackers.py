"""Hands finished runs to an experiment tracker, through its own library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from alenv.errors import AlenvError, unknown
from scenarios.play.run_folder import Run

TRACKERS = ("mlflow", "wandb")


class Tracker(Protocol):
    """Takes a finished run."""

    def log(self, run: Run) -> None:
        """Hands on a run's configuration, and of every cycle its accuracy and costs, by labeled images."""


def tracker(name: str, title: str) -> Tracker:
    """Returns a tracker.

    Args:
        name: ``"mlflow"`` or ``"wandb"``; where they send it is theirs to know (``MLFLOW_TRACKING_URI``,
            ``WANDB_MODE``, ...).
        title: Of the comparison: MLflow's experiment, the project of Weights & Biases.

    Raises:
        UnknownName: There is no such tracker.
        AlenvError: Its library is not installed or not set up.
    """
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    try:
        library = importlib.import_module(name)
    except ImportError as problem:
        raise AlenvError(
            f"--tracker {name} needs a package that is not installed ({problem}); run: pip install {name}."
        ) from problem
    try:
        return _Mlflow(library, title) if name == "mlflow" else _Wandb(library, title)
    except Exception as problem:  # what its settings and its server are is not ours
        raise AlenvError(
            f"--tracker {name} cannot be used ({' '.join(str(problem).split())}); set it up, or leave it out."
        ) from problem


class _Mlflow:
    def __init__(self, library: Any, title: str) -> None:
        self._mlflow = library
        library.set_experiment(title)

    def log(self, run: Run) -> None:
        with self._mlflow.start_run(run_name=run.name):
            self._mlflow.log_params(flat(run.configuration))
            for labeled, metrics in rows(run):
                self._mlflow.log_metrics(metrics, step=labeled)


class _Wandb:
    def __init__(self, library: Any, title: str) -> None:
        self._wandb = library
        self._project = "".join(letter if letter.isalnum() or letter in "-_. " else "-" for letter in title)[
            :128
        ]

    def log(self, run: Run) -> None:
        with self._wandb.init(
            project=self._project, name=run.name, group=run.arm.label, config=run.configuration
        ) as logged:
            for labeled, metrics in rows(run):
                logged.log(metrics, step=labeled)


def rows(run: Run) -> list[tuple[int, dict[str, float]]]:
    """Returns labeled images and the numbers of every cycle of a finished run."""
    record = run.folder.record()
    if record is None:
        return []
    found = []
    for row, costs in zip(record.curve, record.costs, strict=True):
        metrics = {"test_accuracy": float(row["accuracy"])}
        if row["reward"] is not None:
            metrics["reward"] = float(row["reward"])
        metrics |= {f"costs/{name}": float(value) for name, value in costs.items() if name != "cycle"}
        found.append((int(row["labeled_count"]), metrics))
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested settings as one level, ``env_kwargs.lr`` for one inside another."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
