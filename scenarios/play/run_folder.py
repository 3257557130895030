"""The folder of one run: it can be killed at any moment and goes on from its checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from alenv.errors import CorruptRun, RunConflict
from alenv.files import make_folder, uninterrupted, write_bytes, write_text, writing
from scenarios.plan.arm import Arm
from scenarios.play.record import Record

ADVICE = "free some space or choose another folder with --out"  # where a run cannot be written
FORMAT = 1
_UNSET = "(unset)"
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
_DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


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
    """

    arm: Arm
    seed: int
    out: Path
    threads: int | None = None

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


@dataclass
class Checkpoint:
    """Everything a run needs to go on.

    Attributes:
        record: The rows so far.
        env: State of the environment.
        agent: State of the agent.
        finished: Whether the budget is spent.
    """

    record: Record
    env: Any
    agent: Any
    finished: bool


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the files of one run.

    ``checkpoint.pt`` is the one source: every other file is rewritten whole from it. The checkpoint before it
    is kept while the run lasts, in case the newest one cannot be read.
    """

    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock ends with the process, however it ends.

        Raises:
            RunConflict: Another process holds it.
            StorageError: The folder cannot be written.
        """
        make_folder(self.path, ADVICE)
        lock = filelock.FileLock(self.path / "lock")
        with writing(self.path / "lock", ADVICE):
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:  # an OSError too, but not one of writing
                raise RunConflict(
                    f"Another process is working on {self.path}; wait for it or stop it, then repeat this."
                ) from None
        try:
            for leftover in self.path.glob(".*.part"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

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
        """Tells whether the run is complete on disk.

        Raises:
            RunConflict: The folder belongs to another configuration.
        """
        meta = self.meta()
        if meta is None:
            return False
        self.check(meta, {**meta, "configuration": configuration})
        files = all((self.path / name).exists() for name in ("curve.csv", "queries.npz", "costs.csv"))
        return bool(meta["finished"]) and files

    def check(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Compares what a run was begun with and what it would go on with.

        Raises:
            RunConflict: A field differs; the message names it.
        """
        for name in _COMPARED:
            if (change := difference(found[name], wanted[name], name)) is not None:
                raise RunConflict(
                    f"The run in {self.path} was begun with {change}; choose another folder with --out, or "
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
        content = _packed(checkpoint)
        newest = self.path / "checkpoint.pt"
        with uninterrupted():
            with writing(newest, ADVICE):
                if newest.exists():
                    newest.replace(self.path / "checkpoint.previous.pt")
            write_bytes(newest, content, ADVICE)
            self.export(checkpoint.record, rows)

    def export(self, record: Record, rows: np.ndarray) -> None:
        """Rewrites ``curve.csv``, ``queries.npz`` and ``costs.csv``."""
        write_bytes(self.path / "queries.npz", record.queries_npz(rows), ADVICE)
        write_text(self.path / "costs.csv", record.costs_csv(), ADVICE)
        write_text(self.path / "curve.csv", record.curve_csv(), ADVICE)

    def load(self) -> Checkpoint | None:
        """Returns the newest checkpoint that can be read, or None where there is none yet.

        Raises:
            CorruptRun: There are checkpoints, and none can be read.
        """
        newest, previous = self.path / "checkpoint.pt", self.path / "checkpoint.previous.pt"
        if not newest.exists() and not previous.exists():
            return None
        checkpoint = _unpacked(newest)
        if checkpoint is None and (checkpoint := _unpacked(previous)) is not None:
            with writing(newest, ADVICE):
                previous.replace(newest)  # or the next save would put the damaged file in its place
        if checkpoint is None:
            raise CorruptRun(f"No checkpoint in {self.path} can be read; delete the folder to start anew.")
        return checkpoint

    def close(self, meta: Mapping[str, Any]) -> None:
        """Marks the run as finished and removes what only a running one needs."""
        with uninterrupted():
            self.write_meta({**meta, "finished": True})
            for name in ("checkpoint.previous.pt", "error.txt"):
                with writing(self.path / name, ADVICE):
                    (self.path / name).unlink(missing_ok=True)


def difference(found: Any, wanted: Any, name: str) -> str | None:
    """Describes the first field in which two JSON values differ, or returns None."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}):
            change = difference(found.get(key, _UNSET), wanted.get(key, _UNSET), key)
            if change is not None:
                return change
        return None
    if json.dumps(found) == json.dumps(wanted):
        return None
    before, now = (f"{name} unset" if value == _UNSET else f"{name}={value!r}" for value in (found, wanted))
    return f"{before}, not {now}"


def _packed(checkpoint: Checkpoint) -> bytes:
    import torch  # noqa: PLC0415  (the command line's light commands never load it)

    buffer = io.BytesIO()
    content = {
        "format": FORMAT,
        "record": checkpoint.record.state(),
        "env": checkpoint.env,
        "agent": checkpoint.agent,
        "finished": checkpoint.finished,
    }
    torch.save(content, buffer)
    return buffer.getvalue()


def _unpacked(path: Path) -> Checkpoint | None:
    """Returns the checkpoint of a file, or None when the file is damaged."""
    content = load_archive(path)
    if content is None or content.get("format") != FORMAT:
        return None
    record = Record(**content["record"])
    return Checkpoint(record, content["env"], content["agent"], content["finished"])


def load_archive(path: Path) -> dict[str, Any] | None:
    """Loads what ``torch.save`` wrote, or returns None when a single byte of it is missing or damaged.

    Torch itself notices a short file, but not a flipped bit: the archive's own checksums do.
    """
    import torch  # noqa: PLC0415  (see above)

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        content = torch.load(path, weights_only=True, map_location="cpu")
    except _DAMAGE:
        return None
    return content if isinstance(content, dict) else None
