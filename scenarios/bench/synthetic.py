"""A pool that is made up: features as after a ReLU, and the logits that go with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv.recipe import Protocol, Recipe

_CHUNK = 4096  # rows planted at a time, so that building the pool leaves little behind


class SyntheticView:
    """What agents read of ``env.unwrapped.view``, over planted tensors.

    Attributes:
        labeled: int64 (L,), the first pool indices.
        unlabeled: int64 (U,), the others.
        candidates: int64 (K,), a random part of the unlabeled, ten times the query.
        num_classes: C.
        query_size: B.
    """

    cycle = 1
    validation = None
    previous = None

    def __init__(self, *, pool: int, features: int, classes: int, query_size: int, seed: int = 0) -> None:
        """Plants class centers and images around them.

        Args:
            pool: N; as many images as the query takes are labeled already.
            features: D.
            classes: C.
            query_size: B.
            seed: Of everything random.
        """
        random = torch.Generator().manual_seed(seed)
        centers = torch.randn(classes, features, generator=random)
        head = centers / features**0.5
        self._targets = torch.randint(classes, (pool,), generator=random)
        self._features = torch.empty(pool, features)
        self._logits = torch.empty(pool, classes)
        for start in range(0, pool, _CHUNK):
            rows = slice(start, min(start + _CHUNK, pool))
            noise = torch.randn(rows.stop - start, features, generator=random)
            planted = torch.relu(centers[self._targets[rows]] + 1.5 * noise)
            self._features[rows] = planted
            self._logits[rows] = planted @ head.T
        self._predicted_loss = torch.rand(pool, generator=random)
        labeled = min(query_size, pool // 2)
        self.labeled = np.arange(labeled, dtype=np.int64)
        self.unlabeled = np.arange(labeled, pool, dtype=np.int64)
        shuffled = np.random.default_rng(seed).permutation(self.unlabeled)
        self.candidates = shuffled[: 10 * query_size]
        self.num_classes, self.query_size = classes, query_size

    def __len__(self) -> int:
        return len(self._features)

    def features(self, indices: Any = None) -> Tensor:
        """Returns float32 (n, D)."""
        return self._rows(self._features, indices)

    def logits(self, indices: Any = None) -> Tensor:
        """Returns float32 (n, C)."""
        return self._rows(self._logits, indices)

    def probabilities(self, indices: Any = None) -> Tensor:
        """Returns float32 (n, C)."""
        return self.logits(indices).softmax(1)

    def predicted_loss(self, indices: Any = None) -> Tensor:
        """Returns float32 (n,)."""
        return self._rows(self._predicted_loss, indices)

    def labels(self, indices: Any = None) -> Tensor:
        """Returns int64 (n,); None means all labeled."""
        return self._targets[torch.as_tensor(self.labeled if indices is None else indices)]

    def _rows(self, values: Tensor, indices: Any) -> Tensor:
        return values if indices is None else values[torch.as_tensor(indices)]


class SyntheticEnv:
    """Stands in for an environment whose view is synthetic; it cannot step."""

    def __init__(self, view: SyntheticView) -> None:
        self.view = view
        self.recipe = Recipe(joint="loss_prediction")  # so that agents which need its scores accept it
        self.protocol = Protocol(initial_size=len(view.labeled), query_size=view.query_size)

    @property
    def unwrapped(self) -> SyntheticEnv:
        """The environment itself, as Gymnasium has it."""
        return self
