"""The folder of a labeling project: what is fixed at its first use, and one folder per batch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alenv import files
from alenv.errors import CorruptRun, RunConflict

FILE = "project.json"
SHARE = 5  # one label of so many of a class measures and does not teach
_ADVICE = "choose another folder with --out"


@dataclass
class Project:
    """A labeling project.

    Attributes:
        path: Its folder.
        root: The folder of the images.
        seed: Decides which labels measure.
        validation: Files whose labels measure accuracy; never trained on, and never fewer.
        trained: Files whose labels have taught.
    """

    path: Path
    root: Path
    seed: int = 0
    validation: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)

    def batches(self) -> list[Path]:
        """Returns the folders of the batches, the first one first."""
        return batches(self.path)

    def free(self, kind: str) -> Path:
        """Returns the next folder ``KIND-001``, ``KIND-002`` and so on, which does not exist yet."""
        last = max((number for number, _ in _numbered(self.path, kind)), default=0)
        return self.path / f"{kind}-{last + 1:03d}"

    def divide(self, classes: Mapping[str, str]) -> list[str]:
        """Takes a fifth of each class's labels for validation, from those that have not taught, and remembers all.

        Args:
            classes: file -> class, of images that can be read.

        Returns:
            The files of the validation split that have a label.
        """
        held, taught = set(self.validation), set(self.trained)
        by_class: dict[str, list[str]] = {}
        for file, label in classes.items():
            by_class.setdefault(label, []).append(file)
        for own in by_class.values():
            missing = len(own) // SHARE - len(held.intersection(own))
            free = sorted((file for file in own if file not in held | taught), key=self._draw)
            held.update(free[: max(missing, 0)])
        self.validation = sorted(held)
        self.trained = sorted(taught | (classes.keys() - held))
        return sorted(held & classes.keys())

    def _draw(self, file: str) -> str:
        return hashlib.sha256(f"{self.seed} {file}".encode()).hexdigest()

    def save(self) -> None:
        """Writes ``project.json``.

        Raises:
            StorageError: It cannot be written.
        """
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        text = json.dumps({**kept, "root": str(self.root)}, indent=1, ensure_ascii=False)
        files.write_text(self.path / FILE, text + "\n", _ADVICE)


def batches(path: Path) -> list[Path]:
    """Returns the batch folders of a project, the first one first; none where there is no project."""
    return [folder for _, folder in sorted(_numbered(path, "batch"))]


def files_asked(batch: Path) -> list[str]:
    """Returns the files that a batch asked for; none where its ``batch.json`` is gone or of another kind."""
    try:
        stored = json.loads((batch / "batch.json").read_text(encoding="utf-8"))
        return [str(each["file"]) for each in stored["wanted"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


@contextmanager
def opened(path: Path, root: Path, seed: int | None) -> Iterator[Project]:
    """Opens a project, or begins one, and holds it for this process.

    Args:
        path: Its folder.
        root: The folder of the images.
        seed: None = what it was, 0 at first.

    Raises:
        RunConflict: Another process holds it, or it belongs to another folder of images or another seed.
        CorruptRun: ``project.json`` cannot be read.
        StorageError: The folder cannot be written.
    """
    with files.held(path / ".lock", _ADVICE):
        yield _read(path, root, seed)


def _read(path: Path, root: Path, seed: int | None) -> Project:
    file = path / FILE
    if not file.exists():
        return Project(path, root, seed or 0)
    try:
        stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found = Project(
            path,
            Path(stored["root"]),
            int(stored["seed"]),
            list(stored["validation"]),
            list(stored["trained"]),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CorruptRun(f"{file} cannot be read ({error}); restore it, or {_ADVICE}.") from error
    if found.root != root:
        other = "other ones" if root.is_relative_to(path) else root  # an array's are kept in the project
        raise RunConflict(f"{path} is a project of the images in {found.root}, not of {other}; {_ADVICE}.")
    if seed not in (None, found.seed):
        raise RunConflict(
            f"{path} has begun with seed {found.seed}, not {seed}; leave the seed out, or {_ADVICE}."
        )
    return found


def _numbered(path: Path, kind: str) -> Iterator[tuple[int, Path]]:
    for folder in path.iterdir() if path.is_dir() else ():
        if match := re.fullmatch(rf"{kind}-(\d{{3,}})", folder.name):
            yield int(match[1]), folder
