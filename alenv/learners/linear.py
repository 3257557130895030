"""What all linear heads on frozen features share: scores are products with the embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from alenv.batches import in_batches
from alenv.errors import MissingHead
from alenv.learners.images import ImageSet
from alenv.learners.protocol import Predictions
from alenv.runtime import Runtime
from alenv.settings import Recipe

Head = TypeVar("Head", bound="LinearHead")


class LinearHead(ABC):
    """Scores z W of embeddings z (D,) with a constant 1 appended; subclasses say how W is found.

    Attributes:
        kind: How error messages call it.
        feature_size: D.
        frozen_features: True; they are the embedding.
        provides: No score beside the probabilities.
    """

    kind = "linear"
    frozen_features = True
    provides: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, feature_size: int, num_classes: int, runtime: Runtime) -> None:
        """Takes what the recipe says of this head.

        Args:
            recipe: With this ``head``.
            feature_size: D.
            num_classes: C.
            runtime: Device and threads; the scores are float32, what finds the weights is float64.
        """
        self.recipe = recipe
        self.runtime = runtime
        self.feature_size = feature_size
        self._num_classes = num_classes
        self.begin(0)

    @classmethod
    def build(cls: type[Head], recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> Head:
        """Makes the head for the embedding of a pool."""
        return cls(recipe, embedding_of(images).shape[1], num_classes, runtime)

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """Nothing beyond features and logits."""
        return frozenset()

    @property
    def scale(self) -> float:
        """Logits are this times the scores."""
        return 1.0

    def begin(self, key: int) -> None:
        """Forgets all labels; the weights (D + 1, C) are zeros, not random."""
        self._weights = torch.zeros(self.feature_size + 1, self._num_classes, device=self.runtime.device)

    @abstractmethod
    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Finds the weights; always new tensors, so that a state may share them instead of copying."""

    def rows(self, images: ImageSet, indices: np.ndarray) -> Tensor:
        """Returns embeddings with the constant, float32 (n, D + 1), of pool indices (n,)."""
        embedded = embedding_of(images)[torch.from_numpy(indices).to(self.runtime.device)]
        return torch.cat([embedded, embedded.new_ones(len(embedded), 1)], dim=1)

    def predict(self, images: ImageSet) -> Predictions:
        """Classifies every image of a set with an embedding.

        Products of another shape than ``infer``'s: the last bits, and so the order of ties, may differ.
        """
        blocks = images.embedding_blocks
        weights = self._weights[:-1].T.expand(len(blocks), -1, -1)
        scores = torch.baddbmm(self._weights[-1:].T, weights, blocks)  # (blocks, C, BLOCK)
        classes = first_of_largest(scores).flatten()[: len(images)]
        return Predictions(classes, partial(_logits, scores, self.scale, len(images)))

    @torch.no_grad()
    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Returns ``logits`` (n, C).

        Args:
            images: A set with an embedding.
            indices: int64 (n,) positions in it.
            maps: A linear head has no feature maps.

        Raises:
            MissingHead: ``maps`` was asked for.
        """
        if maps:
            raise self._missing("feature maps")
        embedding = embedding_of(images)

        def score(batch: Tensor) -> dict[str, Tensor]:
            rows = embedding.index_select(0, batch)  # a third of the time of embedding[batch]
            scores = torch.addmm(self._weights[-1], rows, self._weights[:-1])
            return {"logits": self.scale * scores}

        return in_batches(indices, score)

    def _missing(self, what: str) -> MissingHead:
        return MissingHead(f"A {self.kind} head has no {what}; use an environment with head='network'.")

    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Raises ``MissingHead``: a linear head has no members."""
        raise self._missing("members")

    def copy_classifier(self) -> Any:
        """Raises ``MissingHead``: there is no network."""
        raise self._missing("network")

    def get_state(self) -> dict[str, Any]:
        """Returns the weights; no later call changes them."""
        return {"weights": self._weights.cpu()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave.

        Raises:
            ValueError: The weights are of another shape or dtype.
        """
        self._weights = self.fitting("weights", state["weights"], self._weights)

    def fitting(self, name: str, given: Tensor, own: Tensor) -> Tensor:
        """Returns a tensor of a state on the device, where it is like the one that it replaces.

        Raises:
            ValueError: It is of another shape or dtype.
        """
        if given.shape != own.shape or given.dtype != own.dtype:
            raise ValueError(f"{name} of shape {tuple(given.shape)}")
        return given.to(self.runtime.device)

    def fork(self: Head, state: dict[str, Any]) -> Head:
        """Returns a learner of its own with the given state."""
        other = type(self)(self.recipe, self.feature_size, self._num_classes, self.runtime)
        other.set_state(state)
        return other


def _logits(scores: Tensor, scale: float, count: int) -> Tensor:
    """Returns (count, C) logits of scores in blocks (blocks, C, BLOCK)."""
    return scale * scores.transpose(1, 2).flatten(0, 1)[:count]


def first_of_largest(scores: Tensor) -> Tensor:
    """Returns int64 (b, n), the first of the largest of (b, C, n) along C.

    On a CPU, ``argmax`` along this dimension takes fifteen times as long, ``max`` twice.
    """
    count = scores.shape[1]
    from_last = torch.arange(count, 0, -1, dtype=torch.int32, device=scores.device)[:, None]
    largest = scores == scores.amax(1, keepdim=True)
    return count - (largest * from_last).amax(1).long()


def embedding_of(images: ImageSet) -> Tensor:
    """Returns the embedding of a set of images, float32 (n, D)."""
    assert images.embedding is not None, "a recipe with this head names an embedding"
    return images.embedding
