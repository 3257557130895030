"""The action space of active learning: a set of distinct pool indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from numpy.typing import NDArray


class Query(MultiDiscrete):
    """``query_size`` pool indices; int64 (B,), each in [0, pool_size), sampled without replacement.

    Membership does not forbid repeated indices: which indices are still unlabeled is the environment's state,
    not the space's. A sample is exactly the Random strategy once the environment has replaced labeled indices.

    Attributes:
        pool_size: N.
        query_size: B.
    """

    def __init__(
        self, pool_size: int, query_size: int, seed: int | np.random.Generator | None = None
    ) -> None:
        """Builds the space.

        Args:
            pool_size: N, at least ``query_size``.
            query_size: B, at least 1.
            seed: Seed or generator of ``sample``.
        """
        self.pool_size = int(pool_size)
        self.query_size = int(query_size)
        super().__init__(np.full(self.query_size, self.pool_size, dtype=np.int64), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[np.int64]:
        """Draws B distinct pool indices uniformly.

        Args:
            mask: None, or bool (N,): only indices that are True are drawn.
            probability: None; sampling is uniform.
        """
        if mask is None:
            return self.np_random.choice(self.pool_size, self.query_size, replace=False).astype(np.int64)
        allowed = np.flatnonzero(np.asarray(mask))
        return self.np_random.choice(allowed, self.query_size, replace=False).astype(np.int64)

    def __repr__(self) -> str:
        return f"Query({self.pool_size}, {self.query_size})"
