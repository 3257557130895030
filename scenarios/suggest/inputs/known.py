"""The images of a folder with their features and what is known of their classes, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.pool import OUTLIER
from scenarios.suggest.inputs import features, sources
from scenarios.suggest.inputs.given import Given

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """The n images that can be read.

    Attributes:
        files: Relative to their folder, sorted.
        rows: Their features, float32 (n, D).
        classes: {file: class} of those that are labeled.
        names: The classes, sorted.
        labels: int64 (n,), the position of each image's class in ``names``; -1 without a label.
        unclear: Rows of those that were marked unclear.
        failed: {file: why it cannot be read}.
        class_folders: Whether subfolders were taken for classes.
        gone: Images that labels of batches name, and that are not there any more.
        unfiled: Whether they are of an array or a dataset, and were written as files by alenv.
        passed: How many files of each kind are no images.
    """

    files: tuple[str, ...]
    rows: np.ndarray
    classes: Mapping[str, str]
    names: tuple[str, ...]
    labels: Indices
    unclear: Indices
    failed: Mapping[str, str]
    class_folders: bool
    gone: frozenset[str] = frozenset()
    unfiled: bool = False
    passed: Mapping[str, int] = field(default_factory=dict)

    def places(self, files: Iterable[str]) -> Indices:
        """Returns the rows of files, int64; of those alone that can be read."""
        place = {file: row for row, file in enumerate(self.files)}
        return np.array([place[file] for file in files if file in place], dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """Returns how many labels each class has."""
        found = np.bincount(self.labels[self.labels != OUTLIER], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))


def read(source: Given, batches: Sequence[Path], kind: str, named: bool | None) -> Known:
    """Reads the labels of a user's images from everywhere and describes the images.

    Args:
        source: The images.
        batches: Batch folders whose labels are read too.
        kind: The features.
        named: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.

    Raises:
        AlenvError: Something cannot be used; the message says what to do.
    """
    own, root = source.labels(), source.root
    found = sources.found(root, source.label_files, batches, source.project, named, own)
    described = features.described(root, found.files, kind)
    classes = {file: found.labels.classes[file] for file in described.files if file in found.labels.classes}
    names = tuple(sorted(set(classes.values())))
    number = {name: label for label, name in enumerate(names)}
    labels = np.array(
        [number[classes[file]] if file in classes else OUTLIER for file in described.files], dtype=np.int64
    )
    unclear = [row for row, file in enumerate(described.files) if file in found.labels.unclear]
    return Known(
        described.files,
        described.rows,
        classes,
        names,
        labels,
        np.array(unclear, dtype=np.int64),
        {**found.failed, **described.failed},
        found.class_folders,
        found.labels.gone,
        source.unfiled is not None,
        found.passed,
    )
