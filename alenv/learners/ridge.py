"""Closed-form heads on frozen features: a step costs milliseconds, so that policies can be learned on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv.errors import MissingHead
from alenv.learners.images import ImageSet, in_batches
from alenv.learners.registry import register
from alenv.pool import OUTLIER
from alenv.runtime import Runtime
from alenv.settings import Recipe


@register("ridge")
class RidgeLearner:
    """Ridge regression from the embedding to one-hot labels, updated by the images that are new.

    With unit-length embeddings z (D,), a constant 1 appended, and one-hot labels less 1/C, the weights solve
    (sum z z^T + penalty * I) W = sum z y^T; the constant is not penalized. Scores are z W, probabilities
    softmax(beta * scores). The cost of a cycle does not depend on how many labels came before.

    Attributes:
        feature_size: D.
        frozen_features: True; they are the embedding.
        provides: No score beside the probabilities.
    """

    frozen_features = True
    provides: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, feature_size: int, num_classes: int, runtime: Runtime) -> None:
        """Takes the recipe's ``ridge_penalty`` and ``beta``.

        Args:
            recipe: With ``head="ridge"``.
            feature_size: D.
            num_classes: C.
            runtime: Device and threads; the arithmetic is float32, the solve float64.
        """
        self.recipe = recipe
        self.runtime = runtime
        self.feature_size = feature_size
        self._num_classes = num_classes
        self.begin(0)

    @classmethod
    def build(cls, recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> RidgeLearner:
        """Makes the head for the embedding of a pool."""
        return cls(recipe, _embedding(images).shape[1], num_classes, runtime)

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """Nothing beyond features and logits."""
        return frozenset()

    def begin(self, key: int) -> None:
        """Forgets all labels; a closed-form head has no random weights."""
        size, device = self.feature_size + 1, self.runtime.device
        self._gram = torch.zeros(size, size, device=device)
        self._cross = torch.zeros(size, self._num_classes, device=device)
        self._weights = torch.zeros(size, self._num_classes, device=device)
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
        embedded = _embedding(images)[torch.from_numpy(fresh).to(self.runtime.device)]
        rows = torch.cat([embedded, embedded.new_ones(len(embedded), 1)], dim=1)
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(answers).to(rows.device), self._num_classes)
        targets = one_hot.float() - 1 / self._num_classes
        # New tensors, never changed in place: a state may share them instead of copying.
        self._gram = torch.addmm(self._gram, rows.T, rows)
        self._cross = torch.addmm(self._cross, rows.T, targets)
        penalized = self._gram.double().cpu()  # small; and Apple's GPUs have no float64
        penalty = penalized.new_full((len(penalized),), float(self.recipe.ridge_penalty))
        penalty[-1] = 1e-6  # the constant: only enough to keep the factorization stable
        penalized.diagonal().add_(penalty)
        factor = torch.linalg.cholesky(penalized)
        self._weights = torch.cholesky_solve(self._cross.double().cpu(), factor).float().to(rows.device)

    def predict(self, images: ImageSet) -> Tensor:
        """Returns the class of every image of a set with an embedding, int64 (n,).

        Products of another shape than ``infer``'s: the last bits, and so the order of ties, may differ.
        """
        blocks = images.embedding_blocks
        weights = self._weights[:-1].T.expand(len(blocks), -1, -1)
        scores = torch.baddbmm(self._weights[-1:].T, weights, blocks)  # (blocks, C, BLOCK)
        return _first_of_largest(scores).flatten()[: len(images)]

    @torch.no_grad()
    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Returns ``logits`` (n, C) = beta * scores.

        Args:
            images: A set with an embedding.
            indices: int64 (n,) positions in it.
            maps: A linear head has no feature maps.

        Raises:
            MissingHead: ``maps`` was asked for.
        """
        if maps:
            raise self._missing("feature maps")
        embedding = _embedding(images)

        def score(batch: Tensor) -> dict[str, Tensor]:
            rows = embedding.index_select(0, batch)  # a third of the time of embedding[batch]
            scores = torch.addmm(self._weights[-1], rows, self._weights[:-1])
            return {"logits": self.recipe.beta * scores}

        return in_batches(indices, score)

    def _missing(self, what: str) -> MissingHead:
        return MissingHead(f"A ridge head has no {what}; use an environment with head='network'.")

    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Raises ``MissingHead``: a ridge head has no members."""
        raise self._missing("members")

    def copy_classifier(self) -> Any:
        """Raises ``MissingHead``: there is no network."""
        raise self._missing("network")

    def get_state(self) -> dict[str, Any]:
        """Returns the sums and the weights; no later call changes them."""
        sums = {"gram": self._gram, "cross": self._cross, "weights": self._weights}
        return {**{name: values.cpu() for name, values in sums.items()}, "count": self._count}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave.

        Raises:
            ValueError: A sum or the weights are of another shape or dtype, or the count is no number of labels.
        """
        device = self.runtime.device
        for name, own in (("gram", self._gram), ("cross", self._cross), ("weights", self._weights)):
            given = state[name]
            if given.shape != own.shape or given.dtype != own.dtype:
                raise ValueError(f"{name} of shape {tuple(given.shape)}")
        if isinstance(state["count"], bool) or not isinstance(state["count"], int) or state["count"] < 0:
            raise ValueError(f"count of {state['count']!r}")
        self._gram = state["gram"].to(device)
        self._cross = state["cross"].to(device)
        self._weights = state["weights"].to(device)
        self._count = int(state["count"])

    def fork(self, state: dict[str, Any]) -> RidgeLearner:
        """Returns a learner of its own with the given state."""
        other = RidgeLearner(self.recipe, self.feature_size, self._num_classes, self.runtime)
        other.set_state(state)
        return other


def _first_of_largest(scores: Tensor) -> Tensor:
    """Returns int64 (b, n), the first of the largest of (b, C, n) along C.

    On a CPU, ``argmax`` along this dimension takes fifteen times as long, ``max`` twice.
    """
    count = scores.shape[1]
    from_last = torch.arange(count, 0, -1, dtype=torch.int32, device=scores.device)[:, None]
    largest = scores == scores.amax(1, keepdim=True)
    return count - (largest * from_last).amax(1).long()


def _embedding(images: ImageSet) -> Tensor:
    assert images.embedding is not None, "a recipe with this head names an embedding"
    return images.embedding
