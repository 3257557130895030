"""The action space of active learning: a set of distinct pool indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from numpy.typing import NDArray

from alenv.errors import InvalidQuery


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
            mask: None, or bool or int8 (N,): only indices with True or 1 are drawn.
            probability: None; sampling is uniform.

        Raises:
            InvalidQuery: The mask has another form or allows fewer than B indices, or a probability was given.
        """
        if probability is not None:
            raise InvalidQuery("A probability was given; queries are sampled uniformly, so leave it out.")
        if mask is None:
            return self.np_random.choice(self.pool_size, self.query_size, replace=False).astype(np.int64)
        allowed = np.flatnonzero(self._checked(mask))
        if len(allowed) < self.query_size:
            raise InvalidQuery(
                f"A mask allows {len(allowed)} indices, and a query takes {self.query_size}; allow at least so many."
            )
        return self.np_random.choice(allowed, self.query_size, replace=False).astype(np.int64)

    def _checked(self, mask: Any) -> NDArray[np.bool_]:
        try:
            array = np.asarray(mask)
        except ValueError:
            array = np.empty(0)
        if array.shape != (self.pool_size,) or array.dtype not in (np.dtype(bool), np.dtype(np.int8)):
            raise InvalidQuery(
                f"A mask of shape {array.shape} and type {array.dtype} was given; give bool or int8 of shape "
                f"({self.pool_size},), one entry per pool index."
            )
        return array.astype(bool)

    def __repr__(self) -> str:
        return f"Query({self.pool_size}, {self.query_size})"
