"""What strategies measure distances on, and the classifier's head as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from agents import options
from agents.base import Indices

if TYPE_CHECKING:
    from alenv import View

FEATURES = ("embedding", "classifier")
ROWS = 4096  # that are in float64 at once
RIDGE = 1e-10  # of the mean squared feature: only enough to solve for features that never vary


def needs_of(features: str) -> tuple[str, ...]:
    """Returns what a view must offer for an option ``features``.

    Raises:
        UnknownName: It is neither ``"embedding"`` nor ``"classifier"``.
    """
    return ("embedding",) if options.word("features", features, FEATURES) == "embedding" else ()


def points(view: View, indices: Indices, features: str) -> Tensor:
    """Returns float32 (n, D) of unit length; what a diverged classifier gives becomes 0.

    Args:
        view: What may be read.
        indices: int64 (n,).
        features: ``"embedding"``, the frozen, label-free one of the recipe, or ``"classifier"``, its penultimate
            features.
    """
    rows = view.embedding(indices) if features == "embedding" else finite(view.features(indices))
    # The rows are a copy already, so nothing else is changed.
    return rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12))


def finite(values: Tensor) -> Tensor:
    """Sets rows of values (n, d) with any that is not finite to 0, in place."""
    # A sum of finite float32 values in float64 cannot overflow, and of others it is not finite.
    return values.masked_fill_(~values.sum(1, keepdim=True, dtype=torch.float64).isfinite(), 0.0)


class Head(NamedTuple):
    """The linear map from features to logits.

    Attributes:
        weight: float32 (C, D).
        bias: float32 (C,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Maps features (n, D) to logits (n, C)."""
        return torch.addmm(self.bias, features, self.weight.T)


def fitted_head(features: Tensor, logits: Tensor) -> Head:
    """Returns the head that maps features to logits, by least squares.

    Networks and linear heads alike give logits that are a linear function of their features, so that this recovers
    it from any classifier, without a look inside. With fewer than D + 1 images it is the smallest of those that fit.

    Args:
        features: float32 (n, D).
        logits: float32 (n, C); rows that are not finite count for nothing.
    """
    size, classes = features.shape[1], logits.shape[1]
    gram = torch.zeros(size + 1, size + 1, dtype=torch.float64)
    products = torch.zeros(size + 1, classes, dtype=torch.float64)
    for h, z in zip(torch.split(features, ROWS), torch.split(logits, ROWS), strict=True):
        rows = torch.nn.functional.pad(h.cpu().double(), (0, 1), value=1.0)  # the constant last
        known = rows.isfinite().all(1) & z.cpu().isfinite().all(1)
        rows, targets = rows[known], z.cpu().double()[known]
        gram += rows.T @ rows
        products += rows.T @ targets
    gram.diagonal().add_(RIDGE * float(gram.trace()) / len(gram) + torch.finfo(torch.float64).tiny)
    solved = torch.linalg.solve(gram, products).float().to(features.device)
    return Head(solved[:-1].T.contiguous(), solved[-1])
