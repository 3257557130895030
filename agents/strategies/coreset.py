"""Core-set: cover the pool with the labeled images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents.base import Indices, Strategy
from agents.registry import register
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View


@register
class CoreSet(Strategy):
    """Greedy k-center on raw features, the labeled images being centers already.

    Each choice is the unlabeled image farthest, by Euclidean distance, from all labeled and chosen ones; the
    distances to the nearest center are then brought up to date. So the largest distance from any image to a labeled
    one comes down, which bounds the loss of the whole pool. Outliers are chosen early. Without labeled images the
    first choice is random.

    Differs: the paper refines the greedy solution by a mixed-integer program; comparisons use the greedy one. Public
    code of the greedy solution starts with the first image where there are no labels.
    """

    name: ClassVar[str] = "coreset"
    cost: ClassVar[str] = "one inference pass over the pool, then O((L + B) U D) products"
    source: ClassVar[str] = (
        "Sener & Savarese 2018, Active Learning for Convolutional Neural Networks: A Core-Set Approach, Algorithm 1"
    )

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses each time the image farthest from all labeled and chosen ones."""
        features, centers = view.features(indices), view.features(view.labeled)
        chosen: Indices = indices[geometry.k_center(features, count, centers, generator=generator).numpy()]
        return chosen
