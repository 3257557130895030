"""ImageFolder: the user's own images, one folder per class."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alenv import errors
from alenv.data import cache, storage
from alenv.data.class_folders import (
    ORDER_SEED,
    ClassFolders,
    find_splits,
    list_class_folders,
    list_labeled,
    list_splits,
)
from alenv.data.dataset import Dataset
from alenv.data.findings import Findings
from alenv.data.images import all_grey, write_splits
from alenv.data.splits import stratified_split
from alenv.data.unreadable import described

NAME = "image_folder"
SOURCE = "image folder"
OPTIONS = ("root", "image_size", "test_share", "split_seed", "on_corrupt", "labels")

# Raised when decoding changes, so that cached pixels of an older version are made again.
_VERSION = 2


@dataclass(frozen=True)
class ImageFolder:
    """An image folder as it lies on disk now.

    Attributes:
        root: The folder, absolute.
        image_size: Height and width of the stored images.
        on_corrupt: ``"raise"`` or ``"skip"``.
        order_seed: Seed of the split or, where the folder has one, of the order.
        train: The train files in stored order.
        test: The test files in stored order.
        folder: Where the pixels are cached: one place per root and options.
        fingerprint: Hash of names, sizes and times of all files; another one means the folder changed.
        findings: What lies in it, the files that are not read included.
    """

    root: Path
    image_size: int
    on_corrupt: str
    order_seed: int
    train: ClassFolders
    test: ClassFolders
    folder: Path
    fingerprint: str
    findings: Findings

    def is_cached(self) -> bool:
        """Tells whether the cache holds this folder as it is now."""
        if not cache.is_finished(self.folder):
            return False
        return bool(storage.read_meta(self.folder).get("fingerprint") == self.fingerprint)

    def fill(self, writer: storage.Writer) -> storage.Provenance:
        """Decodes every image into the cache.

        Raises:
            UnreadableImages: Files cannot be decoded, and they are not to be skipped, or none can be.
        """
        channels = 1 if all_grey(self.root, self.train.files + self.test.files) else 3
        shape = (self.image_size, self.image_size, channels)
        reading = write_splits(self.root, {"train": self.train, "test": self.test}, shape, writer)
        self._judge(reading.failed)
        return storage.Provenance(
            name=NAME,
            class_names=self.train.class_names,
            source=SOURCE,
            notes={
                "root": str(self.root),
                "fingerprint": self.fingerprint,
                "order_seed": self.order_seed,
                "skipped": dict(sorted(reading.failed.items())),
                "several": reading.several,
                "found": self.findings.sentence(self.train, self.test, reading.failed, reading.several),
            },
        )

    def read(self) -> Dataset:
        """Opens the cached pixels, with what lies in the folder now.

        Raises:
            CorruptDataset: A file is missing or damaged.
        """
        meta = storage.read_meta(self.folder)
        found = self.findings.sentence(self.train, self.test, meta["skipped"], meta["several"])
        return replace(storage.read(self.folder), found=found)

    def _judge(self, failed: Mapping[str, str]) -> None:
        if not failed:
            return
        total = len(self.train.files) + len(self.test.files)
        said = f"{len(failed)} of {total} images below {self.root} cannot be decoded: {described(failed)}"
        for name, split in (("train", self.train), ("test", self.test)):
            kept = [
                label for file, label in zip(split.files, split.labels, strict=True) if file not in failed
            ]
            lost = sorted(set(split.labels.tolist()) - set(kept))
            if lost:
                what = ", ".join(split.class_names[label] for label in lost[:10])
                raise errors.UnreadableImages(
                    f"{said}; this leaves no {name} images of {what}, so mend them."
                )
        if self.on_corrupt == "raise":
            raise errors.UnreadableImages(f'{said}; mend them, or pass on_corrupt="skip" to leave them out.')
        warnings.warn(f"{said}; they are skipped.", stacklevel=2)


def inspect(
    root: str | Path | None = None,
    image_size: int = 32,
    test_share: float = 0.2,
    split_seed: int = 0,
    on_corrupt: str = "raise",
    labels: str | Path | None = None,
) -> ImageFolder:
    """Lists an image folder without opening an image.

    A folder with one train and one test folder (``train/``, ``Training/``, ``train_images/``, ...) is taken
    as split; without a test folder, one of validation is the test set. Otherwise each subfolder is a class
    and a stratified share becomes the test set. Names that can be no class are refused. Images are stored
    with one channel if every file has a grey mode (1-bit, 8-bit or 16-bit grey, with or without alpha), else
    with three. With ``labels`` the classes are those of a file, whatever the folders are called, and images without a
    label are left out.

    Args:
        root: The folder.
        image_size: Height and width of the stored images: the shorter side is resized to it, the longer
            side cropped around the center. Features of networks trained on ImageNet gain from 128.
        test_share: Share of the test set in a folder without one, in (0, 1).
        split_seed: Seed of that split.
        on_corrupt: ``"raise"`` refuses a folder with unreadable images, ``"skip"`` leaves them out.
        labels: A CSV file or an export of Label Studio; see ``label_files.read``.

    Raises:
        InvalidLabels: ``labels`` cannot be read, or names images that are not there.
        DatasetNotFound: There is no such folder.
        UnreadableImages: It is no folder of class folders, or it is not clear what its classes are.
        InvalidProtocol: An option is outside its range.
        UnknownName: ``on_corrupt`` is neither of the two.
    """
    if root is None:
        raise errors.DatasetNotFound(
            'The image_folder dataset needs root="FOLDER", the folder of your images.'
        )
    if not isinstance(root, (str, os.PathLike)):
        raise errors.DatasetNotFound(f"root={root!r} is not the path of a folder; give a string.")
    _check_options(image_size, test_share, split_seed, on_corrupt)
    path = Path(root).expanduser().resolve()
    given = None if labels is None else Path(labels).expanduser().resolve()
    splits = find_splits(path) if given is None else None
    if splits is not None:
        train, test, seed = *list_splits(path, splits), ORDER_SEED
    else:
        everything = list_class_folders(path) if given is None else list_labeled(path, given)
        train, test, seed = *_split(path, everything, test_share, split_seed), split_seed
    options: tuple[object, ...] = (_VERSION, str(path), image_size, test_share, split_seed, on_corrupt)
    if given is not None:
        options = (*options, str(given))
    place = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:40]
    return ImageFolder(
        root=path,
        image_size=image_size,
        on_corrupt=on_corrupt,
        order_seed=seed,
        train=train,
        test=test,
        folder=cache.root() / f"{NAME}-{slug}-{place}",
        fingerprint=_fingerprint(path, train, test, given),
        findings=Findings.of(path, train, test, splits, given),
    )


def _split(
    root: Path, everything: ClassFolders, test_share: float, seed: int
) -> tuple[ClassFolders, ClassFolders]:
    wanted = max(1, round(len(everything.files) * test_share))
    train, test = stratified_split(everything.labels, wanted, seed)
    if len(test) == 0:
        raise errors.UnreadableImages(
            f"{root} has one image per class, which leaves none for a test set; add images or a test/ folder."
        )
    return everything.take(train), everything.take(test)


def _check_options(image_size: int, test_share: float, split_seed: int, on_corrupt: str) -> None:
    if isinstance(image_size, bool) or not isinstance(image_size, int) or not 4 <= image_size <= 1024:
        raise errors.InvalidProtocol(f"image_size is {image_size!r}; give a whole number from 4 to 1024.")
    if not isinstance(test_share, float) or not 0.0 < test_share < 1.0:
        raise errors.InvalidProtocol(f"test_share is {test_share!r}; give a number between 0 and 1.")
    if isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0:
        raise errors.InvalidProtocol(f"split_seed is {split_seed!r}; give a whole number from 0 up.")
    if on_corrupt not in ("raise", "skip"):
        raise errors.unknown("value of on_corrupt", on_corrupt, ("raise", "skip"))


def _fingerprint(root: Path, train: ClassFolders, test: ClassFolders, labels: Path | None) -> str:
    digest = hashlib.sha256()
    classes = {}
    if labels is not None:  # of folders, the names say them
        for split in (train, test):
            classes.update(
                {
                    file: split.class_names[label]
                    for file, label in zip(split.files, split.labels, strict=True)
                }
            )
    for name in sorted(train.files + test.files):
        try:
            facts = os.stat(root / name)
            state = f"{facts.st_size}\0{facts.st_mtime_ns}"
        except OSError:  # a link to nowhere; decoding reports it by name
            state = "unreadable"
        label = f"\0{classes[name]}" if classes else ""
        digest.update(f"{name}\0{state}{label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
