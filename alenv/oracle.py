"""The oracle: the only holder of labels that have not been bought."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.errors import HiddenLabel
from alenv.pool import OUTLIER
from alenv.seeding import Purpose, numpy_stream

Indices = NDArray[np.int64]


class Oracle:
    """Reveals labels of pool images, and remembers which it has revealed."""

    def __init__(self, labels: Indices, num_classes: int, noise: float) -> None:
        """Takes the true labels.

        Args:
            labels: int64 (N,); ``OUTLIER`` for images of no class.
            num_classes: C.
            noise: Share of labels that are replaced by another class, drawn anew for every episode.
        """
        self._true = labels.astype(np.int64)
        self._num_classes = num_classes
        self._noise = noise
        self._answers = self._true
        self._bought = np.zeros(len(labels), dtype=bool)

    def begin(self, key: int) -> None:
        """Forgets what was bought and draws the label noise of an episode."""
        self._bought[:] = False
        if self._noise:
            random = numpy_stream(key, Purpose.LABEL_NOISE)
            wrong = (random.random(len(self._true)) < self._noise) & (self._true != OUTLIER)
            shift = random.integers(1, self._num_classes, size=len(self._true))
            self._answers = np.where(wrong, (self._true + shift) % self._num_classes, self._true)

    def reveal(self, indices: Indices) -> Indices:
        """Returns the labels (n,) of pool indices (n,) and marks them as bought."""
        self._bought[indices] = True
        return self._answers[indices]

    def hide(self, indices: Indices) -> None:
        """Takes the purchase of pool indices (n,) back, when the cycle it belonged to did not complete."""
        self._bought[indices] = False

    def bought(self, indices: Indices) -> Indices:
        """Returns the labels (n,) of pool indices (n,) that were bought before.

        Raises:
            HiddenLabel: At least one was not bought.
        """
        hidden = indices[~self._bought[indices]]
        if len(hidden):
            raise HiddenLabel(
                f"The label of pool index {hidden[0]} has not been bought; ask only for labels of indices in "
                "view.labeled."
            )
        return self._answers[indices]

    def answer(self, indices: Indices) -> Indices:
        """Returns the labels (n,) that ``reveal`` would give, without buying; for ``peek`` alone."""
        return self._answers[indices]
