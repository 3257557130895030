"""Ridge regression on frozen features: a step costs milliseconds, so that policies can be learned on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from alenv.learners.images import ImageSet
from alenv.learners.linear import LinearHead, embedding_of
from alenv.learners.registry import register
from alenv.learners.ridge_batch import RidgeBatch

PENALTIES = (0.1, 0.3, 1.0)  # that "auto" chooses from


def penalties_of(penalty: float | str) -> tuple[float, ...]:
    """Returns the penalties that a recipe's ``ridge_penalty`` lets be chosen from."""
    return PENALTIES if isinstance(penalty, str) else (penalty,)


@register("ridge")
class RidgeLearner(LinearHead):
    """Ridge regression from the embedding to one-hot labels, brought up to date by the images that are new.

    With unit-length embeddings z (D,), a constant 1 appended, and one-hot labels less 1/C, the weights solve
    (sum z z^T + penalty * I) W = sum z y^T; the constant is not penalized. Scores are z W, probabilities
    softmax(beta * scores). The cost of a cycle does not depend on how many labels came before: it is a batch of one
    head (see ``RidgeBatch``).

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
        device, size, classes = self._weights.device, self.feature_size, self._num_classes
        penalties = penalties_of(self.recipe.ridge_penalty)
        self._batch = RidgeBatch(1, size, classes, len(penalties), device)
        self._batch.begin(
            torch.zeros(1, dtype=torch.int64, device=device),
            torch.tensor([penalties], dtype=torch.float32, device=device),
            torch.ones(1, classes, dtype=torch.bool, device=device),
            torch.zeros(1, 0, size, device=device),
            torch.zeros(1, 0, dtype=torch.int64, device=device),
        )
        self._count = 0

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Learns the labels that are new.

        Args:
            images: The pool, with an embedding.
            labeled: int64 (L,) pool indices; those of the last call come first.
            labels: int64 (L,); images of no class (``OUTLIER``) teach nothing.
            cycle: Unused; the solution does not depend on it.
        """
        device = self._weights.device
        fresh, answers = (torch.from_numpy(each[self._count :]).to(device) for each in (labeled, labels))
        self._count = len(labeled)
        if len(fresh):
            only = torch.zeros(1, dtype=torch.int64, device=device)
            self._batch.learn(only, embedding_of(images)[fresh][None], answers[None])
            self._weights = self._batch.heads.weights(0)

    def get_state(self) -> dict[str, Any]:
        """Returns the weights and what they are brought up to date by; no later call changes them."""
        return {**super().get_state(), **self._batch.get_state(), "count": self._count}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave.

        Raises:
            ValueError: A tensor is of another shape or dtype, or the count is no number of labels.
        """
        count = state["count"]
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"count of {count!r}")
        own = {
            name: self.fitting(name, state[name], value) for name, value in self._batch.get_state().items()
        }
        super().set_state(state)
        self._batch.set_state(own)
        self._count = count
