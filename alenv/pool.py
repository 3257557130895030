"""Which images are the task, which dataset rows the pool holds, and which of its images are labeled at reset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alenv.data import Dataset
from alenv.errors import InvalidProtocol
from alenv.settings import Protocol

Indices = NDArray[np.int64]
OUTLIER = -1  # the label of an image that belongs to no class


@dataclass(frozen=True)
class Task:
    """What is to be learned of a dataset.

    Attributes:
        class_names: The C classes.
        labels: int64 (n,) of all training rows; ``OUTLIER`` for images of no class.
        test_rows: int64 (m,), the test rows that belong to a class.
        test_labels: int64 (m,).
    """

    class_names: tuple[str, ...]
    labels: Indices
    test_rows: Indices
    test_labels: Indices

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)


def task(loaded: Dataset, outliers: int) -> Task:
    """Leaves the last ``outliers`` classes of a dataset out of the task.

    Raises:
        InvalidProtocol: Fewer than two classes would be left.
    """
    classes = loaded.num_classes - outliers
    if outliers and classes < 2:
        raise InvalidProtocol(
            f"outliers={outliers} was given for {loaded.num_classes} classes; two must be left to tell apart, so "
            f"use at most {max(0, loaded.num_classes - 2)}."
        )
    test_rows = np.flatnonzero(loaded.test_labels < classes)
    return Task(
        class_names=loaded.class_names[:classes],
        labels=np.where(loaded.train_labels < classes, loaded.train_labels, OUTLIER).astype(np.int64),
        test_rows=test_rows,
        test_labels=loaded.test_labels[test_rows].astype(np.int64),
    )


def build(labels: Indices, num_classes: int, protocol: Protocol) -> tuple[Indices, Indices]:
    """Splits the training rows into pool and validation split and shapes the pool.

    Args:
        labels: int64 (n,) labels of all training rows (``OUTLIER``: no class); they shape classes, and leave no
            trace in the order.
        num_classes: C.
        protocol: ``validation``, ``pool_size``, ``imbalance``, ``redundancy``, seeded by ``data_seed``.

    Returns:
        The pool's dataset rows (N,) and the validation rows (V,).

    Raises:
        InvalidProtocol: The validation split leaves no pool, or a smaller one than ``pool_size``.
    """
    eligible = int((labels != OUTLIER).sum())
    if protocol.validation >= eligible:
        raise InvalidProtocol(
            f"validation={protocol.validation} was given for {eligible} training images; use at most "
            f"{eligible - 1}."
        )
    random = np.random.default_rng(protocol.data_seed)
    order = random.permutation(len(labels))
    validation = np.sort(order[labels[order] != OUTLIER][: protocol.validation])
    rows = np.setdiff1d(order, validation)
    if protocol.pool_size is not None:
        if protocol.pool_size > len(rows):
            raise InvalidProtocol(
                f"pool_size={protocol.pool_size} was given for {len(rows)} training images; use at most {len(rows)}."
            )
        drawn = order[np.isin(order, rows)]
        rows = np.sort(drawn[: protocol.pool_size])
    if protocol.imbalance > 1:
        rows = imbalanced(rows, labels, num_classes, protocol.imbalance, random)
    if protocol.redundancy > 1:
        rows = redundant(rows, labels, protocol.redundancy, protocol.initial_size, random)
    return rows, validation


def imbalanced(
    rows: Indices, labels: Indices, num_classes: int, ratio: float, random: np.random.Generator
) -> Indices:
    """Thins the classes so that their sizes fall geometrically from class 0 to class C-1 by ``ratio`` in all.

    Outliers all stay.

    Args:
        rows: int64 (n,) dataset rows.
        labels: int64 labels of all training rows.
        num_classes: C.
        ratio: Size of the largest class over that of the smallest, at least 1.
        random: Draws which images stay.
    """
    kept = [rows[labels[rows] == OUTLIER]]
    present = np.bincount(labels[rows][labels[rows] != OUTLIER])
    largest = present[present > 0].min()  # a class without images limits nothing
    for label in range(num_classes):
        size = max(1, round(largest * ratio ** (-label / max(1, num_classes - 1))))
        kept.append(random.permutation(rows[labels[rows] == label])[:size])
    return np.sort(np.concatenate(kept))


def redundant(
    rows: Indices, labels: Indices, times: int, initial_size: int, random: np.random.Generator
) -> Indices:
    """Repeats images of all but a unique block, keeping the pool's size and its classes.

    The initial set and a tenth of the pool stay unique. Of each class in the rest, one image in ``times`` is
    kept and repeated to fill that class's places.

    Args:
        rows: int64 (n,) dataset rows, each once.
        labels: int64 labels of all training rows.
        times: Copies of each repeated image, at least 2.
        initial_size: Size of the initial set.
        random: Draws what stays.

    Returns:
        int64 (n,) dataset rows in random order.

    Source: the paper, A.15, with 6,000 unique images for 1,000 initial ones of 50,000.
    """
    order = random.permutation(rows)
    unique = initial_size + len(rows) // 10
    parts = [order[:unique]]
    rest = order[unique:]
    for label in np.unique(labels[rest]):
        members = rest[labels[rest] == label]
        parts.append(np.resize(members[: -(-len(members) // times)], len(members)))
    return random.permutation(np.concatenate(parts))
