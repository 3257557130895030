"""FashionMNIST: 60,000 train and 10,000 test grey pictures of clothes, 28x28 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alenv.data.source import Official, Source
from alenv.data.storage import RowBlock

_CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


# MD5 of what the files hold: copies in circulation are packed by different programs.
_ARCHIVES = {
    "train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
}


def _read(root: Path, download: bool) -> Official:
    from torchvision.datasets import FashionMNIST as Reader  # noqa: PLC0415  (`import alenv` stays light)

    splits = []
    for train in (True, False):
        split = Reader(root, train=train, download=download)
        images = split.data.numpy()[..., None]  # (n, 28, 28, 1)
        splits.append([RowBlock(images, split.targets.numpy().astype(np.int64))])
    return Official(splits[0], splits[1], _CLASS_NAMES)


FASHION_MNIST = Source(
    name="fashion_mnist",
    image_shape=(28, 28, 1),
    num_classes=10,
    counts=(60000, 10000),
    class_names=_CLASS_NAMES,
    # Of its own train images; the often copied (0.1307, 0.3081) are those of handwritten MNIST.
    mean=(0.2860,),
    std=(0.3530,),
    archives=lambda: _ARCHIVES,
    folder="FashionMNIST/raw",
    unpacked=None,
    read=_read,
)
