"""Classifiers fitted to some of the labels and asked about other images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alenv import Asking
from alenv.pool import OUTLIER

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Refit:
    """The head of the present classifier, fitted anew to any set of labels.

    Attributes:
        rows: Features, float32 (n, D).
        labels: int64 (n,), -1 without a label.
        num_classes: C.
        penalty: Of the head.
    """

    rows: np.ndarray
    labels: Indices
    num_classes: int
    penalty: float

    def probabilities(self, teaching: Indices, asked: Indices) -> Floats:
        """Returns what a head that knows some labels says of other images; no other row is read.

        Args:
            teaching: int64 (L,), rows whose labels teach; at least one.
            asked: int64 (m,), other rows.

        Returns:
            Probabilities, float32 (m, C).
        """
        if not len(asked):
            return np.zeros((0, self.num_classes), dtype=np.float32)
        rows = np.concatenate([teaching, asked])
        labels = np.concatenate([self.labels[teaching], np.full(len(asked), OUTLIER)])
        asking = Asking(self.rows[rows], labels, self.num_classes, penalty=self.penalty)
        view = asking.view(1)
        found: Floats = view.probabilities(np.arange(len(teaching), len(rows))).cpu().numpy()
        return found[:, : self.num_classes]
