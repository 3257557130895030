"""BADGE: k-means++ on the gradients that the classifier's own guesses would cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents.base import Indices, Strategy
from agents.registry import register
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View


def gradient_factors(logits: Tensor) -> Tensor:
    """Returns p - onehot(argmax p) of ``logits`` (n, C), float32 (n, C).

    The gradient of the cross-entropy to the guessed class, by the last layer's weights, is the outer product
    of this and the features. The guessed class's own entry, p - 1, is summed from the others: subtracted, it
    would round to 0 for confident images.
    """
    factors = logits.detach().float().softmax(1)
    guess = factors.argmax(1, keepdim=True)
    factors.scatter_(1, guess, 0.0)
    return factors.scatter_(1, guess, -factors.sum(1, keepdim=True))


def gradient_distances(factors: Tensor, features: Tensor) -> tuple[Tensor, geometry.DistancesTo]:
    """Returns squared norms and distances of the gradients a_i x h_i, which are never built.

    |a_i x h_i - a_j x h_j|^2 = |a_i|^2 |h_i|^2 + |a_j|^2 |h_j|^2 - 2 (a_i . a_j) (h_i . h_j).

    Args:
        factors: a, (n, C).
        features: h, (n, D).

    Returns:
        The squared norms (n,), and the function from rows (m,) to their squared distances (m, n) to all rows.
    """
    norms = geometry.squared_norms(factors).mul_(geometry.squared_norms(features))

    def squared_distances_to(rows: Tensor) -> Tensor:
        rows = rows.to(features.device)
        products = (factors[rows] @ factors.T).mul_(features[rows] @ features.T)
        scale = norms[rows, None] + norms
        return geometry.without_noise(products.mul_(-2.0).add_(scale), scale)

    return norms, squared_distances_to


@register
class Badge(Strategy):
    """k-means++ seeding on gradient embeddings: uncertain images, and different ones.

    The first choice has the longest gradient; each further one is drawn with probability proportional to its squared
    distance to the nearest chosen. Labeled images are no centers. An image's gradient embedding is that of the loss
    to its guessed class by the last layer's weights, an outer product of C and D numbers: long where the guess is
    uncertain.

    Differs: embeddings are never built, distances come from the two factors. A chosen image is never drawn again;
    some public codes trust that its distance is 0. With nothing but duplicates left, the rest is uniform.
    """

    name: ClassVar[str] = "badge"
    cost: ClassVar[str] = "one inference pass over the pool, then O(B U (C + D)) products"
    source: ClassVar[str] = (
        "Ash et al. 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, Algorithm 1"
    )

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Draws ``count`` of ``indices`` by D^2 sampling."""
        factors = gradient_factors(view.logits(indices))
        norms, distances = gradient_distances(factors, view.features(indices))
        first = geometry.largest(norms.nan_to_num_(nan=0.0), generator)
        positions = geometry.k_means_plus_plus(count, len(indices), distances, generator, first)
        chosen: Indices = indices[positions.numpy()]
        return chosen
