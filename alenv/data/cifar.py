"""CIFAR-10 and CIFAR-100: 50,000 train and 10,000 test photographs of 32x32 pixels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alenv.data.source import Official, Source
from alenv.data.storage import RowBlock


def _class_of(name: str) -> Any:
    from torchvision import datasets  # noqa: PLC0415  (`import alenv` stays light)

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]


def _archives(name: str) -> Mapping[str, str]:
    dataset = _class_of(name)
    return {dataset.filename: dataset.tgz_md5}


def _read(name: str, root: Path, download: bool) -> Official:
    splits = []
    with warnings.catch_warnings():
        # NumPy remarks on the way the archive's old pickles spell a dtype.
        warnings.filterwarnings("ignore", message=".*align")
        for train in (True, False):
            split = _class_of(name)(root, train=train, download=download)
            images = np.asarray(split.data, dtype=np.uint8)
            splits.append([RowBlock(images, np.asarray(split.targets, dtype=np.int64))])
    return Official(splits[0], splits[1], tuple(split.classes))


CIFAR10 = Source(
    name="cifar10",
    image_shape=(32, 32, 3),
    num_classes=10,
    counts=(50000, 10000),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    mean=(0.4914, 0.4822, 0.4465),
    # The triple that the paper's recipe uses; the deviation over all pixels is (0.2470, 0.2435, 0.2616).
    std=(0.2023, 0.1994, 0.2010),
    archives=lambda: _archives("cifar10"),
    folder="",
    unpacked="cifar-10-batches-py",
    read=lambda root, download: _read("cifar10", root, download),
)

CIFAR100 = Source(
    name="cifar100",
    image_shape=(32, 32, 3),
    num_classes=100,
    counts=(50000, 10000),
    class_names=None,
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
    archives=lambda: _archives("cifar100"),
    folder="",
    unpacked="cifar-100-python",
    read=lambda root, download: _read("cifar100", root, download),
)
