"""Folders of class folders: what lies where, before any image is opened."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from alenv import errors
from alenv.data import folder_names, label_files
from alenv.data.files_below import Found, find, is_litter

# The stored order of files that come sorted by class; the seed is recorded with the data.
ORDER_SEED = 0


@dataclass(frozen=True)
class ClassFolders:
    """The image files below one folder of class folders.

    Attributes:
        class_names: Names of the class folders, sorted.
        files: Paths relative to the root, sorted within each class.
        labels: int64 (n,), the position of each file's class in ``class_names``.
        passed: How many files of each kind are no images.
        loose: How many images lie beside the class folders, or have no label, and so have no class.
    """

    class_names: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    passed: Counter[str] = field(default_factory=Counter)
    loose: int = 0

    def take(self, rows: np.ndarray) -> ClassFolders:
        """Returns the rows int64 (n,) in this order."""
        return replace(self, files=tuple(self.files[row] for row in rows), labels=self.labels[rows])

    def shuffled(self, stream: int) -> ClassFolders:
        """Returns all rows in the fixed random order of ``ORDER_SEED``.

        Args:
            stream: 0 for the train and 1 for the test split, so that their orders differ.
        """
        return self.take(np.random.default_rng([ORDER_SEED, stream]).permutation(len(self.files)))


@dataclass(frozen=True)
class Splits:
    """The subfolders of a folder that is split already.

    Attributes:
        train: Name of the train folder.
        test: Name of the test folder.
        left_out: Names of all others, whose images are not read.
    """

    train: str
    test: str
    left_out: tuple[str, ...]


def visible_folders(folder: Path) -> list[str]:
    """Returns the names of the subfolders that are neither hidden nor some program's leftovers, sorted.

    Raises:
        DatasetNotFound: The folder does not exist or cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not is_litter(e.name)]
    except OSError as problem:
        raise errors.DatasetNotFound(
            f"{folder} cannot be read as an image folder ({problem.strerror}); give the folder that holds "
            "train/ and test/, or one folder per class."
        ) from problem
    return sorted(names, key=_composed)


def find_splits(folder: Path) -> Splits | None:
    """Returns which subfolders are the splits, or None where all of them are named like classes.

    One train and one test folder are the splits, and what lies beside them is left out. Without a test
    folder a single validation folder is the test set.

    Raises:
        UnreadableImages: Subfolders are named like splits, but not like one train and one test folder.
    """
    names = visible_folders(folder)
    roles = folder_names.roles(names)
    named = {
        role: [name for name in names if roles[name] == role]
        for role in (folder_names.TRAIN, folder_names.TEST, folder_names.VALIDATION)
    }
    train, test, validation = named.values()
    if not (train or test or validation) or _is_train_a_class(folder, roles):
        return None
    held_out = test or validation
    if len(train) != 1 or len(held_out) != 1:
        raise errors.UnreadableImages(
            f"{folder} holds {_listed([*train, *test, *validation])}, which name splits and no classes; give it "
            "one train/ and one test/ folder, or one folder per class alone, and rename what is a class."
        )
    rest = tuple(name for name in names if name not in (train[0], held_out[0]))
    return Splits(train[0], held_out[0], rest)


def list_class_folders(root: Path, split: str = "") -> ClassFolders:
    """Lists the image files of ``root/split/CLASS/...``, and counts what it passes over.

    Args:
        root: The folder that paths are relative to.
        split: The split's folder, or empty when the class folders lie in ``root`` itself.

    Raises:
        UnreadableImages: There are fewer than two class folders, one holds no images, or names show that
            they are not the classes.
    """
    top = _undoubled(root / split) if split else root
    names = visible_folders(top)
    _check_names(top, names)
    found = [find(top / name) for name in names]
    files = [os.path.relpath(file, root) for below in found for file in below.images]
    labels = np.repeat(np.arange(len(names)), [len(below.images) for below in found])
    empty = [_described(name, below) for name, below in zip(names, found, strict=True) if not below.images]
    if empty:
        raise errors.UnreadableImages(
            f"{top} has class folders without images: {', '.join(empty[:10])}; fill or remove them."
        )
    _check_depths(top, names, found)
    beside = find(top, deep=False)
    passed = sum((below.passed for below in found), beside.passed)
    return ClassFolders(
        tuple(map(_composed, names)), tuple(files), labels.astype(np.int64), passed, len(beside.images)
    )


def list_labeled(root: Path, labels: Path) -> ClassFolders:
    """Lists the images below ``root`` that a file of labels has a class for; see ``label_files.read``.

    Raises:
        InvalidLabels: The file cannot be read, does not fit the images, or names fewer than two classes.
        DatasetNotFound: The folder does not exist or cannot be listed.
    """
    visible_folders(root)
    found = find(root)
    files = [os.path.relpath(file, root) for file in found.images]
    known = label_files.read(labels, files, root)
    if len(known.names) < 2:
        raise errors.InvalidLabels(f"{labels} names {len(known.names)} classes; give labels of at least two.")
    order = sorted(known.classes, key=lambda file: (known.classes[file], file))
    place = {name: number for number, name in enumerate(known.names)}
    numbers = np.array([place[known.classes[file]] for file in order], dtype=np.int64)
    return ClassFolders(known.names, tuple(order), numbers, found.passed, len(files) - len(order))


def list_splits(root: Path, splits: Splits) -> tuple[ClassFolders, ClassFolders]:
    """Lists the train and the test folder below ``root``, both in a fixed random order.

    Raises:
        UnreadableImages: The two have different class folders, or one is no folder of class folders.
    """
    train, test = list_class_folders(root, splits.train), list_class_folders(root, splits.test)
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))
        raise errors.UnreadableImages(
            f"The class folders of {root}/{splits.train} and {root}/{splits.test} differ "
            f"({', '.join(odd[:10])}); both need the same ones."
        )
    return train.shuffled(0), test.shuffled(1)


def _undoubled(split: Path) -> Path:
    """Returns the folder of a split that was unpacked into a folder of its own name."""
    return split / split.name if visible_folders(split) == [split.name] else split


def _composed(name: str) -> str:
    """Returns a name as most systems spell it; macOS stores an accent apart from its letter."""
    return unicodedata.normalize("NFC", name)


def _is_train_a_class(folder: Path, roles: Mapping[str, str]) -> bool:
    """Tells whether ``train`` is the vehicle: two other classes or more, no split, and images of its own."""
    marked = [name for name, role in roles.items() if role]
    alone = len(marked) == 1 and marked[0].lower() == "train" and len(roles) >= 3
    return alone and not visible_folders(folder / marked[0])


def _check_names(top: Path, names: Sequence[str]) -> None:
    roles = folder_names.roles(names)
    odd = [] if _is_train_a_class(top, roles) else [name for name in names if roles[name]]
    inner = [top / name for name in (odd or names) if len(visible_folders(top / name)) > 1]
    if odd:
        hint = f"give root={inner[0]}" if len(inner) == 1 else "give the folder that holds the class folders"
        raise errors.UnreadableImages(
            f"{top} holds {_listed(odd)}, which name parts of a dataset and no classes; {hint} (one folder per "
            "class, all images with their class), or rename what is a class."
        )
    alike = sorted(name for name, count in Counter(map(_composed, names)).items() if count > 1)
    if alike:
        raise errors.UnreadableImages(f"{top} has {_listed(alike)} twice, in two spellings; merge the two.")
    if len(names) < 2 and inner:
        raise errors.UnreadableImages(f"{top} has {len(names)} class folders; give root={inner[0]}.")
    if len(names) < 2:
        raise errors.UnreadableImages(
            f"{top} has {len(names)} class folders; put each class's images into a folder of its own, two "
            "classes at least."
        )


def _check_depths(top: Path, names: Sequence[str], found: Sequence[Found]) -> None:
    """Refuses folders below the class folders that are splits, masks, or the true classes."""
    uses: Counter[str] = Counter()
    for name, below in zip(names, found, strict=True):
        places = {os.path.dirname(os.path.relpath(file, top / name)) for file in below.images}
        for place in sorted(places - {""}):
            part = next((p for p in Path(place).parts if folder_names.role(p)), None)
            if part is not None and not folder_names.is_holder(part):
                raise errors.UnreadableImages(
                    f"{top / name} holds {part}/ with images, which names a part of a dataset; put the splits "
                    "above the class folders (train/CLASS/, test/CLASS/), and move all else elsewhere."
                )
        uses.update({os.path.basename(place) for place in places - {""}})
    repeated = sorted(place for place, count in uses.items() if count > 1)
    if len(repeated) > 1:
        raise errors.UnreadableImages(
            f"{top} has folders of the same names ({', '.join(repeated[:10])}) below several of "
            f"{_listed(names)}, so that either could be the classes; put each class's images into one folder "
            "without subfolders, the splits into train/ and test/."
        )


def _described(name: str, below: Found) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(below.passed.items()))
    return f"{name} ({kinds})" if kinds else name


def _listed(names: Sequence[str]) -> str:
    """Returns the first ten folder names as words."""
    return ", ".join(f"{name}/" for name in names[:10]) + (", ..." if len(names) > 10 else "")
