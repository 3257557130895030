"""What images a user gives: a folder, an array, or a dataset of Hugging Face; and the project they belong to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alenv import errors
from alenv.data.label_files import Labels
from scenarios.suggest.inputs import unfiled
from scenarios.suggest.inputs.unfiled import Unfiled

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Given:
    """Images of a user.

    Attributes:
        project: The folder of their project.
        root: The folder of the images; for those that are no files, where the project keeps them.
        label_files: Files of labels.
        unfiled: The images, where they are no files.
    """

    project: Path
    root: Path
    label_files: tuple[Path, ...]
    unfiled: Unfiled | None = None

    def labels(self) -> Labels | None:
        """Makes the folder of images that are no files, and returns the labels that came with them.

        Raises:
            StorageError: The folder cannot be written.
        """
        if self.unfiled is None:
            return None
        self.unfiled.write(self.project)
        return self.unfiled.labels(self.root)


def read(root: Any, labels: Any, images: Any, out: PathLike | None) -> Given:
    """Reads what ``suggest`` was given; nothing is written.

    Args:
        root: A folder of images or one that ``Dataset.save_to_disk`` wrote, or a ``datasets.Dataset``; None = an array.
        labels: Files of labels; a label per image beside an array; the column of labels in a dataset.
        images: An array, or None.
        out: The project's folder; None = ``NAME-labeling`` in the current one.

    Raises:
        AlenvError: It cannot be used; the message says what to do.
    """
    if (root is None) == (images is None):
        both = "A folder and an array" if root is not None else "Neither a folder nor an array"
        raise errors.InvalidQuery(f"{both} of images were given; give one of the two.")
    if images is not None:
        return _unfiled(unfiled.of_arrays(images, labels), unfiled.NAME, out)
    if not isinstance(root, (str, os.PathLike)):
        return _unfiled(unfiled.of_dataset(root, _column(labels)), unfiled.NAME, out)
    home = folder(root)
    if unfiled.is_saved_dataset(home):
        return _unfiled(unfiled.of_dataset(unfiled.loaded(home), _column(labels)), home.name, out)
    paths = [labels] if isinstance(labels, (str, os.PathLike)) else list(() if labels is None else labels)
    if not all(isinstance(each, (str, os.PathLike)) for each in paths):
        raise errors.InvalidLabels(
            "Labels that are no files were given for a folder of images; give CSV files or exports of Label Studio."
        )
    return Given(project_of(home.name, out), home, tuple(Path(each).expanduser() for each in paths))


def folder(root: PathLike) -> Path:
    """Returns the whole path of a folder.

    Raises:
        DatasetNotFound: There is none.
    """
    home = Path(root).expanduser().resolve()
    if not home.is_dir():
        raise errors.DatasetNotFound(f"There is no folder {home}; give the folder that holds the images.")
    return home


def project_of(name: str, out: PathLike | None) -> Path:
    """Returns the folder of a project: the one that was named, or ``NAME-labeling`` in the current one."""
    return (Path(f"{name or unfiled.NAME}-labeling") if out is None else Path(out).expanduser()).resolve()


def _unfiled(images: Unfiled, name: str, out: PathLike | None) -> Given:
    project = project_of(name, out)
    return Given(project, images.folder(project), (), images)


def _column(labels: Any) -> str | None:
    """Returns the column that labels of a dataset are to come from."""
    names = [labels] if isinstance(labels, str) else list(() if labels is None else labels)
    if len(names) > 1 or not all(isinstance(name, str) for name in names):
        raise errors.InvalidLabels(
            f"labels={labels!r} were given for a dataset; name the one column that holds them."
        )
    return names[0] if names else None
