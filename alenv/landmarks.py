"""Fixed rows of a pool, and where images lie relative to them: a few leading components, and typicality."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alenv.batches import in_batches

COMPONENTS = 64  # that positions have at most, so that distances mean the same whatever D is
REFERENCE = 4_000  # images that typicality is measured on
ANCHORS = 64  # of these, on which a change of the classifier's confidence is measured
NEIGHBORS = 20  # that typicality averages over


class Landmarks:
    """Positions of the images of one pool: unit rows of the leading components of their features.

    The reference is a fixed sample of the pool, which depends on its size alone: the same in every episode. The
    components are the leading eigenvectors of the second moments of the reference. What was computed for an image is
    kept; it does not depend on which images were asked for together.

    Attributes:
        anchors: float32 (A, d), positions of the first 64 images of the reference; d = min(64, D).
    """

    def __init__(self, features: Callable[[Tensor], Tensor], size: int, device: torch.device) -> None:
        """Computes the reference.

        Args:
            features: Maps int64 (n,) pool indices to float32 (n, D), copies. Rows that are not finite count as zeros.
            size: N.
            device: Where indices and tensors lie.
        """
        self._features = features
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(size))[:REFERENCE]
        self._rows = drawn.to(device)
        self._basis: Tensor | None = None
        sample = self._unit(self._rows)
        if sample.shape[1] > COMPONENTS:
            self._basis = leading(sample, COMPONENTS)
        width = min(sample.shape[1], COMPONENTS)
        self._known = torch.zeros(2, size, dtype=torch.bool, device=device)
        self._points = torch.zeros(size, width, device=device)
        self._typicality = torch.zeros(size, device=device)
        self._reference = self.points(self._rows)
        self.anchors = self._reference[:ANCHORS]

    def points(self, indices: Tensor) -> Tensor:
        """Returns the positions float32 (..., d), of unit length (or zero), of pool indices int64 (...)."""
        return self._table(0, self._points, indices, self._position)

    def typicality(self, indices: Tensor) -> Tensor:
        """Returns the mean cosine to the 20 nearest of the reference, an image itself apart, float32 (...)."""
        return self._table(1, self._typicality, indices, self._nearest)

    def _table(
        self, which: int, table: Tensor, indices: Tensor, compute: Callable[[Tensor], Tensor]
    ) -> Tensor:
        flat = indices.flatten()
        known = self._known[which]
        if not known[flat].all():
            missing = torch.unique(flat[~known[flat]])
            table[missing] = in_batches(missing, lambda batch: {"values": compute(batch)})["values"]
            known[missing] = True
        return table.index_select(0, flat).reshape(*indices.shape, *table.shape[1:])

    def _position(self, indices: Tensor) -> Tensor:
        rows = self._unit(indices)
        return rows if self._basis is None else unit(rows @ self._basis)

    def _nearest(self, indices: Tensor) -> Tensor:
        cosines = self.points(indices) @ self._reference.T
        cosines.masked_fill_(indices[:, None] == self._rows, -torch.inf)
        nearest = cosines.topk(min(NEIGHBORS, len(self._rows)), dim=1).values
        # The image itself is there only where the reference has no other 20.
        return nearest.masked_fill(nearest.isinf(), 0.0).mean(1)

    def _unit(self, indices: Tensor) -> Tensor:
        return unit(self._features(indices))


def unit(rows: Tensor) -> Tensor:
    """Returns rows (n, d) of unit length; rows that are not finite, and zeros, are zeros."""
    finite = rows.sum(1, keepdim=True, dtype=torch.float32).isfinite()
    rows = torch.where(finite, rows, 0.0)
    scaled: Tensor = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1e-12)
    return scaled


def leading(rows: Tensor, count: int) -> Tensor:
    """Returns the leading eigenvectors (D, count) of the second moments of ``rows`` (n, D), of the same dtype."""
    moments = (rows.T @ rows).cpu().double()  # not every device has an eigensolver
    vectors: Tensor = torch.linalg.eigh(moments)[1]
    return vectors[:, -count:].flip(1).to(rows)
