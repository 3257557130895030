"""Experiment trackers get what a finished run has measured, through their own library."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alenv.errors import AlenvError, UnknownName
from scenarios.cli import main
from scenarios.play.trackers import flat, tracker

COMPARED = ["compare", "ALDigitsRidge-v0", "--agents", "random", "--seeds", "2", "--set", "budget=20"]


class Library(ModuleType):
    """What both libraries have, writing down what they are given."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__("tracker")
        self.given: list[tuple[str, Any]] = []
        self._broken = broken

    def set_experiment(self, title: str) -> None:
        self.given.append(("experiment", title))

    def start_run(self, run_name: str) -> AbstractContextManager[None]:
        if self._broken:
            raise ConnectionError("no server\nat that address")
        self.given.append(("run", run_name))
        return nullcontext()

    def log_params(self, values: dict[str, Any]) -> None:
        self.given.append(("params", values))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.given.append(("metrics", (step, values)))

    def init(
        self, project: str, name: str, group: str, config: dict[str, Any]
    ) -> AbstractContextManager[Any]:
        self.given += [("experiment", project), ("run", name), ("params", flat(config))]
        return nullcontext(self)

    def log(self, values: dict[str, float], step: int) -> None:
        self.log_metrics(values, step)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_finished_run_is_handed_on_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, name, library)
    command = [*COMPARED, "--out", str(tmp_path), "--tracker", name]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    given = library.given
    assert given[0] == (
        "experiment",
        "ALDigitsRidge-v0 budget=20" if name == "mlflow" else "ALDigitsRidge-v0 budget-20",
    )
    assert [what for what, _ in given].count("run") == 2
    (first, *_) = [values for what, values in given if what == "params"]
    assert first["env_kwargs.budget"] == 20
    assert first["seed"] == 0
    steps = [values for what, values in given if what == "metrics"]
    assert [step for step, _ in steps] == [10, 20, 30] * 2
    text = next(tmp_path.glob("random-seed0*/curve.csv")).read_text().splitlines()[1:]
    assert [values["test_accuracy"] for _, values in steps[:3]] == [
        float(line.split(",")[4]) for line in text
    ]
    assert all("costs/query_seconds" in values for step, values in steps if step > 10)
    with pytest.raises(SystemExit):
        main(command)
    assert [what for what, _ in library.given].count("run") == 2  # finished before


def test_a_tracker_that_fails_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", Library(broken=True))
    with pytest.raises(SystemExit) as ended:
        main([*COMPARED, "--out", str(tmp_path), "--tracker", "mlflow"])
    assert ended.value.code == 0
    assert "random seed 1: mlflow did not take it (no server at that address)." in capsys.readouterr().err
    assert len(list(tmp_path.glob("*/record.json"))) == 2


def test_a_tracker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="tracker"):
        tracker("comet", "x")
    unset = Library()
    monkeypatch.setattr(unset, "set_experiment", lambda title: 1 / 0)
    monkeypatch.setitem(sys.modules, "mlflow", unset)
    with pytest.raises(AlenvError, match=r"^--tracker mlflow cannot be used \(division by zero\); set it up"):
        tracker("mlflow", "x")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(AlenvError, match="pip install wandb"):
        tracker("wandb", "x")
