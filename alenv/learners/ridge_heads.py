"""Many linear heads as tensors, and one of them as a learner that a view can read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alenv.learners.images import ImageSet
from alenv.learners.linear import LinearHead, first_of_largest


class Heads(NamedTuple):
    """Linear heads that score rows z (D,) by ``slopes @ z + constants``.

    Attributes:
        slopes: float32 (..., C, D).
        constants: float32 (..., C); minus infinity for a class that an episode does not have.
    """

    slopes: Tensor
    constants: Tensor

    def correct(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Counts the rows that are classified rightly, by the first of the largest scores.

        Args:
            rows: float32 (D, n), the rows as columns.
            labels: int64 (n,).

        Returns:
            int64 (...).
        """
        scores = self.slopes.flatten(0, -2) @ rows  # one product for all episodes
        scores = scores.view(-1, self.slopes.shape[-2], rows.shape[1]) + self.constants.view(
            -1, self.slopes.shape[-2], 1
        )
        return (first_of_largest(scores) == labels).sum(1).view(self.constants.shape[:-1])

    def classes_of(self, rows: Tensor) -> Tensor:
        """Classifies float32 (E, n, D), each episode's own rows by its own head; returns int64 (E, n)."""
        return first_of_largest(torch.baddbmm(self.constants[:, :, None], self.slopes, rows.transpose(1, 2)))

    def weights(self, index: int) -> Tensor:
        """Returns one of E heads as ``LinearHead`` has it, float32 (D + 1, C)."""
        return torch.cat([self.slopes[index].T, self.constants[index][None]])

    def of(self, which: Tensor) -> Heads:
        """Returns some of E heads."""
        return Heads(self.slopes[which], self.constants[which])

    def logits(self, rows: Tensor, scale: float) -> Tensor:
        """Returns ``scale`` times the scores, float32 (E, n, C), of float32 (E, n, D); they lie class by class."""
        scores = torch.baddbmm(self.constants[:, :, None], self.slopes, rows.transpose(1, 2))
        return scores.mul_(scale).transpose(1, 2)


class RidgeOfBatch(LinearHead):
    """One head of a batch as a learner, so that a ``View`` can read it; the batch fits it."""

    kind = "ridge"

    @property
    def scale(self) -> float:
        """The recipe's ``beta``."""
        return self.recipe.beta

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Is never called."""
        raise NotImplementedError("The batch fits its heads.")
