"""What was found in a folder of images: classes, splits, and everything that is not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from alenv.data.class_folders import ClassFolders, Splits
from alenv.data.files_below import find
from alenv.data.unreadable import counted

_NAMED_CLASSES = 6
_NAMED_KINDS = 8


@dataclass(frozen=True)
class Findings:
    """What lies in a folder besides the images that are read.

    Attributes:
        root: The folder.
        splits: Its train and test folder, or None where it has none.
        left_out: How many images lie in each folder beside the two.
        loose: How many images lie beside the class folders, or have no label.
        passed: How many files of each kind are no images.
        labels: The file that gives the classes, where folders do not.
    """

    root: Path
    splits: Splits | None
    left_out: Mapping[str, int]
    loose: int
    passed: Counter[str]
    labels: Path | None = None

    @classmethod
    def of(
        cls,
        root: Path,
        train: ClassFolders,
        test: ClassFolders,
        splits: Splits | None,
        labels: Path | None = None,
    ) -> Findings:
        """Counts what lies beside the listed files.

        Raises:
            UnreadableImages: A folder cannot be listed.
        """
        if splits is None:  # both are parts of one list
            return cls(root, None, {}, train.loose, train.passed, labels)
        beside = find(root, deep=False)
        others = {name: find(root / name) for name in splits.left_out}
        passed = sum((other.passed for other in others.values()), train.passed + test.passed + beside.passed)
        left_out = {name: len(other.images) for name, other in others.items() if other.images}
        loose = train.loose + test.loose + len(beside.images)
        return cls(root, splits, left_out, loose, passed)

    def sentence(
        self, train: ClassFolders, test: ClassFolders, skipped: Mapping[str, str], several: int
    ) -> str:
        """Says in one line what is read and what is not.

        Args:
            train: The train files.
            test: The test files.
            skipped: {file: reason} of those among them that cannot be decoded.
            several: How many of them hold further frames or pages, which are not read.
        """
        names = train.class_names
        parts = [
            f"{self.root}: {len(names)} classes ({_shortened(names)}), {self._counts(train, test, skipped)}"
        ]
        absent = set(range(len(names))) - set(np.unique(test.labels).tolist())
        if absent:
            parts.append(f"no test images of {_shortened([names[label] for label in sorted(absent)])}")
        if self.labels is None and (below := self._folders_below(train, test)):
            parts.append(
                f"images of {len(below):,} folders below the class folders ({_shortened(below)}) taken for the "
                "class above them"
            )
        left = [f"{name}/ ({count:,} images)" for name, count in self.left_out.items()]
        what = (
            "outside the class folders" if self.labels is None else f"without a label in {self.labels.name}"
        )
        left += [f"{self.loose:,} images {what}"] if self.loose else []
        if left:
            parts.append(f"left out: {', '.join(left)}")
        if self.passed:
            parts.append(f"passed over as no images: {kinds(self.passed)}")
        if several:
            parts.append(f"read of {several:,} files: the first frame or page alone")
        if skipped:
            parts.append(f"skipped as unreadable: {counted(skipped)}")
        return "; ".join(parts)

    def _folders_below(self, train: ClassFolders, test: ClassFolders) -> list[str]:
        """Returns the folders within class folders, where a class has several: the true classes may be these."""
        tops = (self.splits.train, self.splits.test) if self.splits else (".", ".")
        below: dict[str, set[str]] = {}
        for split, top in zip((train, test), tops, strict=True):
            for file in split.files:
                name, *inner = PurePath(os.path.relpath(os.path.dirname(file), top)).parts
                below.setdefault(name, set()).update(["/".join([name, *inner])] if inner else [])
        several = any(len(folders) > 1 for folders in below.values())
        return sorted(set().union(*below.values())) if several else []

    def _counts(self, train: ClassFolders, test: ClassFolders, skipped: Mapping[str, str]) -> str:
        kept = [sum(file not in skipped for file in split.files) for split in (train, test)]
        if self.splits is None:
            return f"{kept[0]:,} train and {kept[1]:,} test images"
        return f"{kept[0]:,} train images ({self.splits.train}/) and {kept[1]:,} test images ({self.splits.test}/)"


def _shortened(names: Sequence[str]) -> str:
    if len(names) <= _NAMED_CLASSES:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED_CLASSES - 1])}, ..., {names[-1]}"


def kinds(passed: Mapping[str, int]) -> str:
    """Returns how many files there are of each kind, the rarer kinds summed up."""
    common = sorted(passed.items(), key=lambda pair: (-pair[1], pair[0]))
    said = [f"{count:,} {kind}" for kind, count in common[:_NAMED_KINDS]]
    rest = sum(count for _, count in common[_NAMED_KINDS:])
    return ", ".join([*said, f"{rest:,} of other kinds"] if rest else said)
