"""Seeded splits and orders of rows."""

from __future__ import annotations

import numpy as np


def stratified_split(labels: np.ndarray, test_count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows into train and test so that both have the class shares of the whole.

    Args:
        labels: int64 (n,).
        test_count: How many rows go to the test set. A class keeps at least one train row, so the test set
            is smaller than asked for when nearly every row is wanted.
        seed: Seed of the split and of the order of the rows.

    Returns:
        Row numbers of the train and of the test set, int64, each in random order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (test_count / len(labels))
    wanted = np.floor(exact).astype(np.int64)
    # The rows lost to rounding down go to the classes with the largest remainders.
    largest = np.argsort(-(exact - wanted), kind="stable")[: test_count - int(wanted.sum())]
    wanted[largest] += 1
    wanted = np.minimum(wanted, sizes - 1)
    is_test = np.zeros(len(labels), dtype=bool)
    for label, count in zip(classes, wanted, strict=True):
        is_test[order[labels[order] == label][:count]] = True
    return order[~is_test[order]], order[is_test[order]]
