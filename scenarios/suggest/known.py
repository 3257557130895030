"""The images of a folder with their features and what is known of their classes, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data.label_files import Labels
from alenv.pool import OUTLIER
from scenarios.suggest import features, sources

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
    passed: Mapping[str, int] = field(default_factory=dict)

    def places(self, files: Iterable[str]) -> Indices:
        """Returns the rows of files, int64; of those alone that can be read."""
        place = {file: row for row, file in enumerate(self.files)}
        return np.array([place[file] for file in files if file in place], dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """Returns how many labels each class has."""
        found = np.bincount(self.labels[self.labels != OUTLIER], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))


def read(
    root: Path,
    given: Sequence[Path],
    batches: Sequence[Path],
    outside: Path,
    kind: str,
    named: bool | None,
    own: Labels | None = None,
) -> Known:
    """Reads the labels of a folder's images from everywhere and describes the images.

    Args:
        root: The folder of the images.
        given: Label files.
        batches: Batch folders whose labels are read too.
        outside: The project, whose own pictures are none of the images.
        kind: The features.
        named: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.
        own: Labels that came with the images.

    Raises:
        AlenvError: Something cannot be used; the message says what to do.
    """
    source = sources.found(root, given, batches, outside, named, own)
    described = features.described(root, source.files, kind)
    classes = {file: source.labels.classes[file] for file in described.files if file in source.labels.classes}
    names = tuple(sorted(set(classes.values())))
    number = {name: label for label, name in enumerate(names)}
    labels = np.array(
        [number[classes[file]] if file in classes else OUTLIER for file in described.files], dtype=np.int64
    )
    unclear = [row for row, file in enumerate(described.files) if file in source.labels.unclear]
    return Known(
        described.files,
        described.rows,
        classes,
        names,
        labels,
        np.array(unclear, dtype=np.int64),
        {**source.failed, **described.failed},
        source.class_folders,
        source.labels.gone,
        source.passed,
    )
