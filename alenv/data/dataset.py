"""The record of a dataset in memory, and the two things every source computes about its arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alenv.errors import CorruptDataset

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")

_BLOCK_BYTES = 1 << 24
_ORDER_SEED = 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """One image classification dataset; every array is read-only.

    Attributes:
        name: The name it is loaded by, for instance ``"cifar10"``.
        train_images: uint8 (n, H, W, C) in 0..255, memory-mapped unless the dataset is embedded.
        train_labels: int64 (n,) in 0..num_classes - 1.
        test_images: uint8 (m, H, W, C).
        test_labels: int64 (m,).
        class_names: The name of each label.
        checksum: SHA-256 of the four arrays.
        source: Where the pixels come from: ``"official archive"``, ``"other images in the official layout"``,
            ``"re-encoded images"``, ``"image folder"``, ``"a user's arrays"`` or ``"scikit-learn"``.
        mean: Per channel, of pixels scaled to [0, 1].
        std: Per channel, of pixels scaled to [0, 1].
        paths: The file of each train row, for image folders only.
        found: What was found in the folder of images that it was read from, in one line; else None.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    checksum: str
    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    paths: tuple[str, ...] | None = None
    found: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        class_names: Sequence[str] | None = None,
    ) -> Dataset:
        """Makes a dataset of arrays, in a fixed random order, so that the order gives no class away.

        One of Hugging Face whose images have one size, ``data`` of two splits, is two lines::

            train, test = ((each["image"], each["label"]) for each in data.with_format("numpy").values())
            Dataset.of("beans", train, test, data["train"].features["label"].names)

        Args:
            name: A lower-case name.
            train: Images uint8 (n, H, W, C) or (n, H, W), and whole-number labels (n,) from 0.
            test: The same for the test images (m, ...).
            class_names: One per label; None = their numbers.

        Raises:
            CorruptDataset: An array has another shape, dtype or range.
        """
        arrays: dict[str, Any] = {}
        count = len(class_names) if class_names is not None else 1 + int(np.max(train[1], initial=0))
        for split, given in (("train", train), ("test", test)):
            images, labels = np.asarray(given[0]), np.asarray(given[1])
            if images.ndim == 3:
                images = images[..., None]
            _check_arrays(f"The {split} set of {name}", images, labels, count)
            order = np.random.default_rng(_ORDER_SEED).permutation(len(labels))
            arrays[f"{split}_images"] = images[order]
            arrays[f"{split}_labels"] = labels[order].astype(np.int64)
        for array in arrays.values():
            array.setflags(write=False)
        mean, std = channel_statistics(arrays["train_images"])
        return cls(
            name=name,
            **arrays,
            class_names=tuple(class_names or map(str, range(count))),
            checksum=combined_checksum({each: array_digest(array) for each, array in arrays.items()}),
            source="a user's arrays",
            mean=mean,
            std=std,
        )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.train_images.shape[1:]
        return int(height), int(width), int(channels)


def found_in(dataset: Dataset) -> str | None:
    """Returns what was found in the user's image folder, in one line, or None for every other dataset.

    It names the folder and its classes, counts the images of each split, and counts what is not read: images
    in other places, files of other kinds, and images that were skipped as unreadable, with the reasons.
    """
    return dataset.found if dataset.source == "image folder" else None


def _check_arrays(what: str, images: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """Raises ``CorruptDataset`` where images or labels are not of the form that a dataset has."""
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise CorruptDataset(
            f"{what} has {images.dtype} images of shape {images.shape}; give uint8 of shape (n, H, W, C)."
        )
    whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    if not whole or len(labels) != len(images) or not 0 <= labels.min() <= labels.max() < classes:
        raise CorruptDataset(
            f"{what} has {labels.dtype} labels of shape {labels.shape} for {len(images)} images; give one whole "
            f"number from 0 to {classes - 1} per image."
        )


def array_digest(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's bytes, read in blocks so that a memory map stays on disk."""
    digest = hashlib.sha256()
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()


def combined_checksum(digests: Mapping[str, str]) -> str:
    """Returns the checksum of a dataset from the digests of its four arrays."""
    return hashlib.sha256("\n".join(f"{name} {digests[name]}" for name in ARRAYS).encode()).hexdigest()


def channel_statistics(
    images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the standard deviation of every channel, for pixels scaled to [0, 1].

    Args:
        images: uint8 (n, H, W, C).

    Returns:
        Two tuples of C floats; a constant channel gets the deviation of one grey level, so that dividing
        by it is safe.
    """
    counts = np.zeros((images.shape[-1], 256), dtype=np.int64)
    rows = max(1, _BLOCK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        block = images[start : start + rows]
        for channel in range(images.shape[-1]):
            counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    levels = np.arange(256) / 255.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    deviation = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0.0))
    return tuple(mean.tolist()), tuple(np.maximum(deviation, 1.0 / 255.0).tolist())
