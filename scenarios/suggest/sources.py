"""The images of a folder, and what is known of them: label files, folders named by class, labeled batches."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alenv import errors
from alenv.data import files_below, folder_names, label_files
from alenv.data.label_files import Labels

OWN_FILES = ("batch.json", "labelstudio.json")  # of a batch folder, in which nobody writes labels
_UNLABELED = frozenset(("unlabeled", "unlabelled"))


@dataclass(frozen=True)
class Gathered:
    """What a folder holds.

    Attributes:
        files: Its images, relative to it, with forward slashes, sorted.
        labels: What is known of them.
        passed: How many files of each kind are no images.
        class_folders: Whether subfolders were taken for classes.
    """

    files: tuple[str, ...]
    labels: Labels
    passed: Counter[str]
    class_folders: bool


def found(
    root: Path, given: Sequence[Path], batches: Sequence[Path], outside: Path, class_folders: bool | None
) -> Gathered:
    """Lists the images below a folder and reads their labels from everywhere.

    Args:
        root: The folder.
        given: Label files.
        batches: Batch folders, of which every CSV or JSON file is read: ``labels.csv``, ``batch.csv`` with labels
            filled in, exports of Label Studio.
        outside: The project, whose own pictures are none of the images.
        class_folders: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.

    Raises:
        DatasetNotFound: There is no such folder.
        UnreadableImages: It holds no images.
        InvalidLabels: A file of labels cannot be read or does not fit, or two disagree.
    """
    if not root.is_dir():
        raise errors.DatasetNotFound(f"There is no folder {root}; give the folder that holds the images.")
    below = files_below.find(root)
    files = tuple(
        PurePosixPath(Path(os.path.relpath(file, root))).as_posix()
        for file in below.images
        if not Path(file).is_relative_to(outside)
    )
    if not files:
        raise errors.UnreadableImages(f"{root} holds no images; give the folder that holds them.")
    tops = {parts[0] for file in files if len(parts := PurePosixPath(file).parts) > 1}
    named = (
        any(folder_names.letters(top) in _UNLABELED for top in tops)
        if class_folders is None
        else class_folders
    )
    sources = [(str(path), label_files.read(path, files, root)) for path in given]
    for batch in batches:
        for path in sorted(batch.glob("[!.]*")):
            if path.suffix.lower() in (".csv", ".json") and path.name not in OWN_FILES:
                sources.append((str(path), label_files.read(path, files, root)))
    if named:
        sources.append(("its class folder", Labels(dict(_of_folders(files)))))
    return Gathered(files, label_files.joined(sources), below.passed, named)


def _of_folders(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the class that each file's topmost folder names; loose files and those of other folders have none."""
    for file in files:
        parts = PurePosixPath(file).parts
        if len(parts) > 1 and not folder_names.role(parts[0]):
            yield file, unicodedata.normalize("NFC", parts[0])
