"""SVHN: 73,257 train and 26,032 test house-number digits of 32x32 pixels; the extra set is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alenv.data.source import Official, Source
from alenv.data.storage import RowBlock

_CLASS_NAMES = tuple(str(digit) for digit in range(10))


def _archives() -> Mapping[str, str]:
    from torchvision.datasets import SVHN as Reader  # noqa: PLC0415  (`import alenv` stays light)

    return {name: md5 for _, name, md5 in (Reader.split_list["train"], Reader.split_list["test"])}


def _read(root: Path, download: bool) -> Official:
    from torchvision.datasets import SVHN as Reader  # noqa: PLC0415  (`import alenv` stays light)

    splits = []
    for name in ("train", "test"):
        split = Reader(root, split=name, download=download)
        images = np.asarray(split.data, dtype=np.uint8).transpose(0, 2, 3, 1)  # (n, H, W, C)
        splits.append([RowBlock(images, np.asarray(split.labels, dtype=np.int64))])
    return Official(splits[0], splits[1], _CLASS_NAMES)


SVHN = Source(
    name="svhn",
    image_shape=(32, 32, 3),
    num_classes=10,
    counts=(73257, 26032),
    class_names=_CLASS_NAMES,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    archives=_archives,
    folder="",
    unpacked=None,
    read=_read,
)
