"""Ridge regression on frozen features: a step costs milliseconds, so that policies can be learned on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv.learners.images import ImageSet
from alenv.learners.linear import LinearHead
from alenv.learners.registry import register
from alenv.pool import OUTLIER

PENALTIES = (0.1, 0.3, 1.0)  # that "auto" chooses from
OF_CONSTANT = 1e-6  # the constant's penalty: only enough to keep the factorization stable


@register("ridge")
class RidgeLearner(LinearHead):
    """Ridge regression from the embedding to one-hot labels, updated by the images that are new.

    With unit-length embeddings z (D,), a constant 1 appended, and one-hot labels less 1/C, the weights solve
    (sum z z^T + penalty * I) W = sum z y^T; the constant is not penalized. Scores are z W, probabilities
    softmax(beta * scores). The cost of a cycle does not depend on how many labels came before.

    Source: Golub, Heath and Wahba 1979, "Generalized Cross-Validation as a Method for Choosing a Good Ridge
    Parameter", for ``ridge_penalty="auto"``.
    Differs: it chooses from three penalties. With smaller ones the estimate is poor at a few dozen labels; a larger
    one was chosen wrongly for CIFAR-10 below 1,000.
    """

    kind = "ridge"

    @property
    def scale(self) -> float:
        """The recipe's ``beta``."""
        return self.recipe.beta

    def begin(self, key: int) -> None:
        """Forgets all labels; a closed-form head has no random weights."""
        super().begin(key)
        size, device = self.feature_size + 1, self.runtime.device
        self._gram = torch.zeros(size, size, device=device)
        self._cross = torch.zeros(size, self._num_classes, device=device)
        self._count = 0

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Adds the labels that are new and solves.

        Args:
            images: The pool, with an embedding.
            labeled: int64 (L,) pool indices; those of the last call come first.
            labels: int64 (L,); images of no class (``OUTLIER``) teach nothing.
            cycle: Unused; the solution does not depend on it.
        """
        fresh, answers = labeled[self._count :], labels[self._count :]
        teaching = answers != OUTLIER
        fresh, answers = fresh[teaching], answers[teaching]
        self._count = len(labeled)
        rows = self.rows(images, fresh)
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(answers).to(rows.device), self._num_classes)
        targets = one_hot.float() - 1 / self._num_classes
        self._gram = torch.addmm(self._gram, rows.T, rows)
        self._cross = torch.addmm(self._cross, rows.T, targets)
        gram, cross = self._gram.cpu(), self._cross.cpu()  # small
        penalty = self.recipe.ridge_penalty
        if isinstance(penalty, str):
            penalty = best_penalty(gram, cross, PENALTIES)
        # In float64, which Apple's GPUs do not have.
        self._weights = _solved(gram.double(), cross.double(), penalty)[0].float().to(rows.device)

    def get_state(self) -> dict[str, Any]:
        """Returns the sums and the weights; no later call changes them."""
        return {
            **super().get_state(),
            "gram": self._gram.cpu(),
            "cross": self._cross.cpu(),
            "count": self._count,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave.

        Raises:
            ValueError: A sum or the weights are of another shape or dtype, or the count is no number of labels.
        """
        gram = self.fitting("gram", state["gram"], self._gram)
        cross = self.fitting("cross", state["cross"], self._cross)
        count = state["count"]
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"count of {count!r}")
        super().set_state(state)
        self._gram, self._cross, self._count = gram, cross, count


def _solved(gram: Tensor, cross: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Returns the weights (D + 1, C) and the Cholesky factor, float64."""
    penalties = gram.new_full((len(gram),), penalty)
    penalties[-1] = OF_CONSTANT
    factor = torch.linalg.cholesky(gram + torch.diag(penalties))
    return torch.cholesky_solve(cross, factor), factor


def best_penalty(gram: Tensor, cross: Tensor, penalties: tuple[float, ...]) -> float:
    """Returns the penalty with the lowest generalized cross-validation error.

    The error is (residual sum of squares / n) / (1 - d / n)^2 with d the trace of the hat matrix. All of it follows
    from the sums: n is their last entry, and the squares of one row of targets sum to 1 - 1/C.

    Args:
        gram: float32 or float64 (D + 1, D + 1), sum z z^T with the constant last.
        cross: (D + 1, C), sum z y^T.
        penalties: Ascending. Of equal ones the first is taken; the last where there are no labels.
    """
    count = float(gram[-1, -1])
    if count == 0:
        return penalties[-1]
    squares = count * (1 - 1 / cross.shape[1])
    errors = []
    for penalty in penalties:
        weights, factor = _solved(gram, cross, penalty)
        inverse = torch.cholesky_inverse(factor).diagonal()
        freedom = len(gram) - penalty * float(inverse[:-1].sum()) - OF_CONSTANT * float(inverse[-1])
        residual = squares - 2 * float((weights * cross).sum()) + float((weights * (gram @ weights)).sum())
        errors.append(max(residual, 0.0) / max(1 - freedom / count, 1e-6) ** 2)
    return penalties[errors.index(min(errors))]
