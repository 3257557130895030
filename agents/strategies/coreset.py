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

    Without labeled images the first choice is random.

    Differs: the paper refines the greedy solution by a mixed-integer program; comparisons use the greedy one.
    """

    name: ClassVar[str] = "coreset"
    cost: ClassVar[str] = "one inference pass over the pool, then O((L + B) U D) products"
    source: ClassVar[str] = "Sener & Savarese 2018, Algorithm 1"

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses each time the image farthest from all labeled and chosen ones."""
        features, centers = view.features(indices), view.features(view.labeled)
        chosen: Indices = indices[geometry.k_center(features, count, centers, generator=generator).numpy()]
        return chosen
