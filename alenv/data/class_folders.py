"""Folders of class folders: what lies where, before any image is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alenv import errors

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

# The stored order of files that come sorted by class; the seed is recorded with the data.
ORDER_SEED = 0


@dataclass(frozen=True)
class ClassFolders:
    """The image files below one folder of class folders.

    Attributes:
        class_names: Names of the class folders, sorted.
        files: Paths relative to the root, sorted within each class.
        labels: int64 (n,), the position of each file's class in ``class_names``.
    """

    class_names: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> ClassFolders:
        """Returns the rows int64 (n,) in this order."""
        return ClassFolders(self.class_names, tuple(self.files[row] for row in rows), self.labels[rows])

    def shuffled(self, stream: int) -> ClassFolders:
        """Returns all rows in the fixed random order of ``ORDER_SEED``.

        Args:
            stream: 0 for the train and 1 for the test split, so that their orders differ.
        """
        return self.take(np.random.default_rng([ORDER_SEED, stream]).permutation(len(self.files)))


def visible_folders(folder: Path) -> list[str]:
    """Returns the names of the subfolders that are not hidden, sorted.

    Raises:
        DatasetNotFound: The folder does not exist or cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as problem:
        raise errors.DatasetNotFound(
            f"{folder} cannot be read as an image folder ({problem.strerror}); give the folder that holds "
            "train/ and test/, or one folder per class."
        ) from problem


def has_splits(folder: Path) -> bool:
    """Tells whether a folder has both a ``train`` and a ``test`` subfolder."""
    return {"train", "test"} <= set(visible_folders(folder))


def list_class_folders(root: Path, split: str = "") -> ClassFolders:
    """Lists the image files of ``root/split/CLASS/...``; hidden files and other file types are passed over.

    Args:
        root: The folder that paths are relative to.
        split: ``"train"``, ``"test"``, or empty when the class folders lie in ``root`` itself.

    Raises:
        UnreadableImages: There are fewer than two class folders, or one holds no images.
    """
    top = root / split if split else root
    names = visible_folders(top)
    if len(names) < 2:
        raise errors.UnreadableImages(
            f"{top} has {len(names)} class folders; put each class's images into a folder of its own, two "
            "classes at least."
        )
    files: list[str] = []
    labels: list[int] = []
    empty: list[str] = []
    for label, name in enumerate(names):
        found = _images_below(top / name)
        if not found:
            empty.append(name)
        files.extend(os.path.relpath(file, root) for file in found)
        labels.extend([label] * len(found))
    if empty:
        raise errors.UnreadableImages(
            f"{top} has class folders without images: {', '.join(empty[:10])}; fill or remove them."
        )
    return ClassFolders(tuple(names), tuple(files), np.asarray(labels, dtype=np.int64))


def list_splits(root: Path) -> tuple[ClassFolders, ClassFolders]:
    """Lists ``root/train`` and ``root/test``, both in a fixed random order.

    Raises:
        UnreadableImages: The two have different class folders, or one is no folder of class folders.
    """
    train, test = list_class_folders(root, "train"), list_class_folders(root, "test")
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))
        raise errors.UnreadableImages(
            f"The class folders of {root}/train and {root}/test differ ({', '.join(odd[:10])}); both need "
            "the same ones."
        )
    return train.shuffled(0), test.shuffled(1)


def _images_below(folder: Path) -> list[str]:
    found: list[str] = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found.extend(
            os.path.join(place, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        )
    return sorted(found)
