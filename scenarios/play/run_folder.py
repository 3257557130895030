"""The folder of one run: it can be killed at any moment and goes on from its checkpoint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alenv.errors import CorruptRun, RunConflict, StorageError
from alenv.files import held, uninterrupted, write_bytes, write_text, writing
from scenarios.plan.arm import Arm
from scenarios.play.changes import difference
from scenarios.play.checkpoint import Checkpoint, load_arrays, packed, unpacked
from scenarios.play.record import Record

ADVICE = "free some space or choose another folder with --out"  # where a run cannot be written
FIRST_CYCLES = "first_cycles"  # folder of what ``first_cycle`` shares
_COMPARED = (
    "configuration",
    "recipe",
    "protocol",
    "options",
    "dataset",
    "device",
    "precision",
    "threads",
    "versions",
)
_META = {*_COMPARED, "label", "finished"}
_CHECKPOINTS = ("checkpoint.previous.pt", "checkpoint.pt")


def short_hash(configuration: Mapping[str, Any]) -> str:
    """Returns eight hexadecimal digits that identify a JSON-able configuration."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def slug(text: str) -> str:
    """Returns ``text`` as a readable file name: lower-case letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^a-z0-9._=]+", "-", text.lower()).strip("-.") or "run"


@dataclass(frozen=True)
class Run:
    """One arm with one seed, and the folder of the comparison it belongs to.

    Attributes:
        arm: A resolved arm (see ``Arm.resolved``).
        seed: Seed of the environment and of the agent.
        out: Folder of the whole comparison.
        threads: Threads of a training step; None leaves the choice to the environment.
        keep_weights: Whether the last checkpoint stays when the run has finished.
        render: Whether the picture of every cycle is kept.
    """

    arm: Arm
    seed: int
    out: Path
    threads: int | None = None
    keep_weights: bool = False
    render: bool = False

    @property
    def configuration(self) -> dict[str, Any]:
        """What makes this run the run it is; JSON values."""
        return {**self.arm.configuration(), "seed": self.seed}

    @property
    def name(self) -> str:
        """A readable slug and a short hash of the configuration."""
        return f"{slug(self.arm.label)}-seed{self.seed}-{short_hash(self.configuration)}"

    @property
    def title(self) -> str:
        """What to call the run in a sentence."""
        return f"{self.arm.label} seed {self.seed}"

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its files."""
        return RunFolder(self.out / self.name)


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the files of one run.

    While the run lasts, ``checkpoint.pt`` is the one source: every other file is rewritten whole from it. The
    checkpoint before it is kept, in case the newest one cannot be read. Of a finished run ``record.json`` is the
    source, and the checkpoints with their weights go unless they are asked for.
    """

    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock ends with the process, however it ends.

        Raises:
            RunConflict: Another process holds it.
            StorageError: The folder cannot be written.
        """
        with held(self.path / "lock", ADVICE):
            for leftover in self.path.glob(".*.part"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)
            yield

    def meta(self) -> dict[str, Any] | None:
        """Returns ``meta.json``, or None where the run has not begun.

        Raises:
            CorruptRun: The file cannot be read.
        """
        path = self.path / "meta.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            if not (isinstance(found, dict) and found.keys() >= _META):
                raise ValueError("something is missing")
            return found
        except (OSError, ValueError) as error:
            raise CorruptRun(f"{path} cannot be read; delete its folder to start the run anew.") from error

    def cycles(self) -> int:
        """Returns how many queries a run that has begun makes (T)."""
        protocol = (self.meta() or {})["protocol"]
        return int(protocol["budget"]) // int(protocol["query_size"])

    def finished(self, configuration: Mapping[str, Any]) -> bool:
        """Tells whether the run has been played to its end.

        Raises:
            RunConflict: The folder belongs to another configuration.
        """
        meta = self.meta()
        if meta is None:
            return False
        self.check(meta, {**meta, "configuration": configuration})
        return bool(meta["finished"])

    def whole(self, configuration: Mapping[str, Any]) -> bool:
        """Tells whether the run is finished and its files say what its record says, as far as that can be read.

        Raises:
            RunConflict: The folder belongs to another configuration.
        """
        if not self.finished(configuration):
            return False
        record = self.kept()
        if record is None:
            return all((self.path / name).exists() for name in ("curve.csv", "queries.npz", "costs.csv"))
        try:
            texts = all((self.path / name).read_text() == text for name, text in record.texts().items())
        except (OSError, ValueError):
            return False
        found = self.queries() or {}
        bought = record.bought()
        return texts and all(name in found and np.array_equal(found[name], bought[name]) for name in bought)

    def queries(self) -> dict[str, np.ndarray] | None:
        """Returns the arrays of ``queries.npz``, or None where it is missing or damaged."""
        return load_arrays(self.path / "queries.npz")

    def check(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Compares what a run was begun with and what it would go on with.

        Raises:
            RunConflict: A field differs; the message names it.
        """
        for name in _COMPARED:
            if (change := difference(found[name], wanted[name], name)) is not None:
                raise RunConflict(
                    f"The run in {self.path} was {change}; choose another folder with --out, or "
                    "delete this one."
                )

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        """Writes ``meta.json``."""
        write_text(self.path / "meta.json", json.dumps(meta, indent=2, sort_keys=True) + "\n", ADVICE)

    def save(self, checkpoint: Checkpoint, rows: np.ndarray) -> None:
        """Writes the checkpoint and, from it, every other file; a signal waits until all are written.

        Args:
            checkpoint: The state after a cycle.
            rows: Dataset row of every pool index, int64 (N,).
        """
        content = packed(checkpoint)
        newest = self.path / "checkpoint.pt"
        with uninterrupted():
            with writing(newest, ADVICE):
                if newest.exists():
                    newest.replace(self.path / "checkpoint.previous.pt")
            write_bytes(newest, content, ADVICE)
            self.export(checkpoint.record, rows)

    def export(self, record: Record, rows: np.ndarray) -> None:
        """Rewrites ``queries.npz``, ``costs.csv``, ``curve.csv`` and, where the test set says them, ``classes.csv``."""
        write_bytes(self.path / "queries.npz", record.queries_npz(rows), ADVICE)
        for name, text in record.texts().items():
            write_text(self.path / name, text, ADVICE)

    def load(self) -> Checkpoint | None:
        """Returns the newest checkpoint that can be read, or None where there is none yet.

        Raises:
            CorruptRun: There are checkpoints, and none can be read.
        """
        newest, previous = self.path / "checkpoint.pt", self.path / "checkpoint.previous.pt"
        if not newest.exists() and not previous.exists():
            return None
        checkpoint = unpacked(newest)
        if checkpoint is None and (checkpoint := unpacked(previous)) is not None:
            with writing(newest, ADVICE):
                previous.replace(newest)  # or the next save would put the damaged file in its place
        if checkpoint is None:
            raise CorruptRun(f"No checkpoint in {self.path} can be read; delete the folder to start anew.")
        return checkpoint

    def kept(self) -> Record | None:
        """Returns the record of a finished run, or None where there is none that can be read."""
        try:
            return Record.from_text((self.path / "record.json").read_text())
        except (OSError, ValueError):
            return None

    def record(self) -> Record | None:
        """Returns what a finished run has measured, from its checkpoint where it has that alone; or None."""
        if (record := self.kept()) is not None:
            return record
        with suppress(CorruptRun, StorageError):
            saved = self.load()
            if saved is not None and saved.finished:
                return saved.record
        return None

    def close(self, meta: Mapping[str, Any], record: Record, keep_weights: bool) -> None:
        """Marks the run as finished and removes what only a running one needs.

        Args:
            meta: Content of ``meta.json``.
            record: What the run has measured.
            keep_weights: Whether its checkpoint stays.
        """
        kept = keep_weights and (self.path / "checkpoint.pt").exists()
        with uninterrupted():
            write_text(self.path / "record.json", record.text(), ADVICE)
            self.write_meta({**meta, **record.totals(), "finished": True, "weights_kept": kept})
            self.tidy()

    def keeps_weights(self) -> bool:
        """Tells whether the weights of a finished run were asked for; those of an earlier version count so."""
        return bool((self.meta() or {}).get("weights_kept", True))

    def tidy(self) -> None:
        """Removes from a finished run what only a running one needs, which a killed process may have left.

        Raises:
            StorageError: It cannot be removed.
        """
        names = _CHECKPOINTS[:1] if self.keeps_weights() else _CHECKPOINTS
        for name in (*names, "error.txt"):
            with writing(self.path / name, ADVICE):
                (self.path / name).unlink(missing_ok=True)
