"""Digits: scikit-learn's 1,797 real handwritten digits of 8x8 pixels, which come with the library."""

from __future__ import annotations

import numpy as np

from alenv.data.dataset import Dataset, array_digest, channel_statistics, combined_checksum
from alenv.data.splits import stratified_split

NAME = "digits"
SOURCE = "scikit-learn"
COUNTS = (1297, 500)
NUM_CLASSES = 10
IMAGE_SHAPE = (8, 8, 1)

# scikit-learn's order runs through the classes, so the row would give the class away.
_ORDER_SEED = 0


def load() -> Dataset:
    """Returns the digits as 1,297 train and 500 test images, uint8 (n, 8, 8, 1), without touching the disk.

    The split is stratified and the order random, both fixed. The 17 grey levels of the source are spread
    over 0..255.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository (its test part).
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  (`import alenv` stays light)

    bunch = load_digits()
    images = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)[..., None]  # (n, 8, 8, 1)
    labels = bunch.target.astype(np.int64)
    train, test = stratified_split(labels, COUNTS[1], _ORDER_SEED)
    arrays = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    for array in arrays.values():
        array.setflags(write=False)
    mean, std = channel_statistics(arrays["train_images"])
    return Dataset(
        name=NAME,
        **arrays,
        class_names=tuple(str(digit) for digit in range(NUM_CLASSES)),
        checksum=combined_checksum({name: array_digest(array) for name, array in arrays.items()}),
        source=SOURCE,
        mean=mean,
        std=std,
    )
