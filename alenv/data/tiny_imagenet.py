"""TinyImageNet: 100,000 train photographs of 200 classes, 64x64 pixels; its ``val`` part is the test set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alenv import errors
from alenv.data.class_folders import ClassFolders, list_class_folders
from alenv.data.images import Reading, decode_all
from alenv.data.source import Official, Source
from alenv.data.storage import RowBlock
from alenv.data.unreadable import described

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE = "tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"

_UNPACKED = "tiny-imagenet-200"
_IMAGE_SHAPE = (64, 64, 3)


def _read(root: Path, download: bool) -> Official:
    if download:
        from torchvision.datasets.utils import download_and_extract_archive  # noqa: PLC0415  (`import alenv` stays light)

        download_and_extract_archive(URL, str(root), filename=ARCHIVE, md5=MD5)
    top = root / _UNPACKED
    if not (top / "val" / "val_annotations.txt").is_file():
        raise RuntimeError("val/val_annotations.txt is missing")
    train = list_class_folders(top, "train").shuffled(0)
    test = _test_split(top, train.class_names).shuffled(1)
    found = (len(train.class_names), len(train.files), len(test.files))
    whole = found == (TINY_IMAGENET.num_classes, *TINY_IMAGENET.counts)
    names = _readable_names(top, train.class_names)
    return Official(_rows(top, train, "train"), _rows(top, test, "test"), names, shuffled=True, whole=whole)


def _test_split(top: Path, class_names: tuple[str, ...]) -> ClassFolders:
    label_of = {name: label for label, name in enumerate(class_names)}
    files, labels = [], []
    for line in (top / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines():
        file, name = line.split("\t")[:2]
        files.append(os.path.join("val", "images", file))
        labels.append(label_of[name])
    return ClassFolders(class_names, tuple(files), np.asarray(labels, dtype=np.int64))


def _readable_names(top: Path, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the first word of each WordNet id, or the id itself where two share that word."""
    lines = (top / "words.txt").read_text(encoding="utf-8").splitlines()
    words = {line.split("\t")[0]: line.split("\t")[1].split(",")[0] for line in lines if "\t" in line}
    first = [words.get(name, name) for name in class_names]
    uses = Counter(first)
    return tuple(word if uses[word] == 1 else name for word, name in zip(first, class_names, strict=True))


def _rows(top: Path, split: ClassFolders, name: str) -> Iterator[RowBlock]:
    reading = Reading(_IMAGE_SHAPE)
    yield from decode_all(top, split, reading, f"Reading {name} images")
    if reading.failed:
        raise errors.UnreadableImages(
            f"{len(reading.failed)} {name} images of {top} cannot be decoded: {described(reading.failed)}; "
            f"download {ARCHIVE} again."
        )


TINY_IMAGENET = Source(
    name="tiny_imagenet",
    image_shape=_IMAGE_SHAPE,
    num_classes=200,
    counts=(100000, 10000),
    class_names=None,
    mean=None,
    std=None,
    archives=lambda: {ARCHIVE: MD5},
    folder="",
    unpacked=_UNPACKED,
    read=_read,
)
