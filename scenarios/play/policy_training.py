"""Trains a policy in a folder: stopped at any moment, the same command goes on from the last round."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from agents.policies.training import SELECTION_SEEDS, LearningTask, Trainer, find_trainer
from alenv.errors import CorruptRun, MissingHead, RunConflict, unknown
from alenv.files import publish_folder, uninterrupted, write_bytes, write_text, writing
from scenarios.play import evaluation
from scenarios.play.changes import difference
from scenarios.play.checkpoint import load_archive
from scenarios.play.meta import code_digest, versions
from scenarios.play.record import csv_text
from scenarios.play.run_folder import ADVICE, RunFolder

BEST, LAST, STATE = "best", "last", "state.pt"
Row = dict[str, float]


@dataclass(frozen=True)
class PolicyTraining:
    """What is trained, where, and into which folder.

    Attributes:
        agent: A trainer's name.
        tasks: The environments to learn in, each with a validation split.
        steps: In the trainer's unit.
        seed: Decides the training.
        out: Its folder.
        options: Of the trainer.
        episodes: Played after every round in each environment, to select the best policy.
    """

    agent: str
    tasks: tuple[LearningTask, ...]
    steps: int
    seed: int
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 32

    def configuration(self) -> dict[str, Any]:
        """Returns what identifies the training, as JSON values."""
        return {
            "agent": self.agent,
            "tasks": [{"env_id": task.env_id, "settings": dict(task.settings)} for task in self.tasks],
            "steps": self.steps,
            "seed": self.seed,
            "options": dict(self.options),
            "episodes": self.episodes,
        }

    def trainer(self) -> Trainer:
        """Makes the trainer.

        Raises:
            UnknownName: There is no such trainer, or it has no such option.
        """
        kind = find_trainer(self.agent)
        allowed = kind.option_names()
        for name in self.options:
            if name not in allowed:
                raise unknown(f"option of the training of {self.agent}", name, allowed)
        return kind(self.tasks, self.seed, **self.options)


def train_in_folder(training: PolicyTraining, listener: Callable[[Row], None]) -> list[Row]:
    """Trains to the end, from wherever the folder stands, and returns a row per round.

    Args:
        training: What to train.
        listener: Hears of every round that ends.

    Raises:
        RunConflict: The folder belongs to another training, or another process works on it.
        CorruptRun: What a killed process left cannot be read.
        StorageError: The folder cannot be written.
    """
    trainer, folder = training.trainer(), training.out
    with RunFolder(folder).locked():
        _begin(training)
        rows = _restored(trainer, folder)
        with _board(folder, rows) as board:
            while trainer.steps < training.steps:
                numbers = trainer.advance(training.steps)
                row = {
                    "round": trainer.round,
                    "steps": trainer.steps,
                    **numbers,
                    **_selected(training, trainer),
                }
                rows.append(row)
                _save(training, trainer, rows)
                _show(board, row)
                listener(row)
    return rows


def _begin(training: PolicyTraining) -> None:
    """Writes ``meta.json``, or compares it with what is asked for."""
    path, wanted = training.out / "meta.json", {"training": training.configuration(), "versions": versions()}
    if not path.exists():
        meta = {**wanted, "code": {"sha256": code_digest()}}
        write_text(path, json.dumps(meta, indent=2) + "\n", ADVICE)
        return
    try:
        found = json.loads(path.read_text())
        before = {name: found[name] for name in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptRun(f"{path} cannot be read; delete its folder to train anew.") from error
    for name, value in wanted.items():
        if (change := difference(before[name], json.loads(json.dumps(value)), name)) is not None:
            raise RunConflict(
                f"The training in {training.out} was {change}; choose another folder with --out, or delete this one."
            )


def _restored(trainer: Trainer, folder: Path) -> list[Row]:
    path = folder / STATE
    if not path.exists():
        return []
    saved = load_archive(path)
    if saved is None:
        raise CorruptRun(f"{path} cannot be read; delete its folder to train anew.")
    trainer.set_state(saved["trainer"])
    return list(saved["rows"])


def _selected(training: PolicyTraining, trainer: Trainer) -> Row:
    """Plays the policy on the seeds for selection; the score is a mean of validation areas, in percent."""
    seeds = range(SELECTION_SEEDS, SELECTION_SEEDS + training.episodes)
    trial = training.out / ".trial"
    shutil.rmtree(trial, ignore_errors=True)
    trainer.save(trial, {})
    found: Row = {}
    try:
        scores = []
        for task in training.tasks:
            played = evaluation.play(f"policy={trial}", task.env_id, task.settings, seeds)
            if played.validation is None:
                raise MissingHead(
                    f"{task.env_id} was given, which has no validation split to select by; add validation=n."
                )
            scores.append(100 * float(played.validation.mean()))
            if played.area is not None:
                found[f"test/{task.title}"] = 100 * float(played.area.mean())
            found[f"validation/{task.title}"] = scores[-1]
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return {"score": sum(scores) / len(scores), **found}


def _save(training: PolicyTraining, trainer: Trainer, rows: list[Row]) -> None:
    """Writes the last policy, the best one if it is that, and then what the next round needs."""
    folder = training.out
    made = {"training": training.configuration(), "versions": versions(), "round": trainer.round}
    buffer = io.BytesIO()
    torch.save({"trainer": trainer.get_state(), "rows": rows}, buffer)
    with uninterrupted():
        _replace(folder / LAST, lambda place: trainer.save(place, made))
        if rows[-1]["score"] >= max(row["score"] for row in rows):
            _replace(folder / BEST, lambda place: trainer.save(place, made))
        write_bytes(folder / STATE, buffer.getvalue(), ADVICE)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_text(folder / "rounds.csv", csv_text(columns, rows), ADVICE)


def _replace(folder: Path, save: Callable[[Path], None]) -> None:
    """Puts a new policy in the place of the one before."""

    def put(filled: Path, place: Path) -> None:
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        (filled / "policy").rename(place)
        shutil.rmtree(old, ignore_errors=True)

    publish_folder(folder, lambda partial: save(partial / "policy"), ADVICE, put)


@contextmanager
def _board(folder: Path, rows: list[Row]) -> Iterator[SummaryWriter]:
    """Opens TensorBoard events that show every round once, those before too."""
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    with writing(folder / "tensorboard", ADVICE), SummaryWriter(str(folder / "tensorboard")) as board:
        for row in rows:
            _show(board, row)
        yield board


def _show(board: SummaryWriter, row: Row) -> None:
    for name, value in row.items():
        if name not in ("round", "steps"):
            board.add_scalar(name, value, int(row["steps"]))
    board.flush()
